// The page: tells apart live and recorded, keeps the steps, draws them, sends the buttons.
// All text from outside enters as textContent, never as markup.

import {Plot, text} from "/plot.js";

const WINDOW = 600; // live steps that are drawn
const SILENT_MS = 3000; // of the server, after which nothing shown counts any more
const WORDS = {alarm: "ALARM", unknown: "NOT KNOWN", calm: "CALM", idle: "IDLE"};
const LINES = ["#1f6fb4", "#e08214", "#2a9d62", "#8e5ea2"];
const $ = (id) => document.getElementById(id);

const view = {parts: {}, steps: [], form: null, shown: null, heard: 0, updates: 0, recording: null};
window.view = view; // to look into from the console

function make(name, content, className) {
  const element = document.createElement(name);
  if (content !== undefined) element.textContent = content;
  if (className) element.className = className;
  return element;
}

// What comes in

function take(update) {
  view.heard = Date.now();
  view.updates += 1;
  Object.assign(view.parts, update.parts);
  if (update.anew) view.steps = [];
  if (update.form) setForm(update.form);
  for (const one of update.steps) {
    let place = view.steps.length;
    while (place > 0 && view.steps[place - 1].step > one.step) place -= 1;
    if (place > 0 && view.steps[place - 1].step === one.step) view.steps[place - 1] = one;
    else view.steps.splice(place, 0, one);
  }
  if (!view.recording && view.steps.length > WINDOW) view.steps.splice(0, view.steps.length - WINDOW);
  if (update.parts.cameras) setCameras(update.parts.cameras);
  if (update.parts.buttons) setButtons(update.parts.buttons);
  for (const name of ["episode", "gate", "recorder", "topics"]) {
    if (update.parts[name]) fill($(name), Object.entries(update.parts[name]));
  }
  if (update.parts.diagnostics) {
    const rows = update.parts.diagnostics.map((one) => [one.name, one.text, one.level]);
    fill($("diagnostics"), rows);
  }
  draw();
}

function fill(table, rows) {
  table.replaceChildren(...rows.filter((row) => row[1] !== null && row[1] !== "").map((row) => {
    const line = make("tr");
    line.append(make("td", row[0]), make("td", text(row[1]), row[2]));
    return line;
  }));
}

function setForm(form) {
  if (JSON.stringify(form) === JSON.stringify(view.form)) return;
  view.form = form;
  for (const name of ["risk", "kinds", "signals"]) $(name).replaceChildren();
  const last = form.horizons_s.length - 1;
  view.plots = [new Plot($("risk"), "probability", [
    {name: "of failure soon (risk)", colour: "#1a1a2e", of: (one) => one.risk},
    {name: "alarm above", colour: "#1a1a2e", dashed: true, of: (one) => one.limit},
    {name: "that it fails at all", colour: LINES[1], of: (one) => one.episode_failure},
    {name: "alarm above", colour: LINES[1], dashed: true, of: (one) => one.episode_limit},
    {name: "of no progress", colour: LINES[2], of: (one) => one.no_progress},
  ], [0, 1], seek)];
  form.kinds.forEach((kind, k) => {
    const lines = form.horizons_s.map((horizon, h) => ({
      name: horizon + " s",
      colour: form.colours[k] + Math.round(255 * (0.4 + 0.6 * (last ? h / last : 1))).toString(16),
      of: (one) => (one.probability ? one.probability[h * form.kinds.length + k] : null),
    }));
    view.plots.push(new Plot($("kinds"), kind.replaceAll("_", " "), lines, [0, 1], seek));
  });
  form.signals.forEach((name, i) => {
    const of = (one) => (one.signals ? one.signals[i] : null);
    const line = {name: "", colour: LINES[Math.floor(i / 4) % 4], of};
    view.plots.push(new Plot($("signals"), name.replaceAll("_", " "), [line], null, seek));
  });
}

function setCameras(cameras) {
  const known = JSON.stringify(Object.keys(cameras));
  if ($("cameras").dataset.known !== known) {
    $("cameras").dataset.known = known;
    $("cameras").replaceChildren(...Object.keys(cameras).map((name) => {
      const figure = make("figure");
      figure.dataset.name = name;
      figure.append(make("canvas"), make("figcaption", name));
      return figure;
    }));
  }
  for (const figure of $("cameras").children) {
    const wrong = cameras[figure.dataset.name];
    const caption = figure.querySelector("figcaption");
    caption.textContent = figure.dataset.name + (wrong ? ": " + wrong : "");
    caption.className = wrong ? "wrong" : "";
  }
}

async function picture(name, blob) {
  const figure = [...$("cameras").children].find((one) => one.dataset.name === name);
  if (!figure) return;
  const bitmap = await createImageBitmap(blob);
  const canvas = figure.querySelector("canvas");
  if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
  if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}

// What is drawn

function banner() {
  if (view.recording) {
    const one = view.steps.find((step) => step.step === view.shown);
    return one ? {level: one.level, text: one.text} : {level: "unknown", text: "no step"};
  }
  if (Date.now() - view.heard > SILENT_MS) {
    return {level: "unknown", text: "the server does not answer: nothing below counts"};
  }
  return view.parts.banner || {level: "unknown", text: "nothing has come yet"};
}

let asked = false;
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const now = banner();
    $("banner").className = now.level;
    $("banner").firstElementChild.textContent = WORDS[now.level] || now.level;
    $("banner").lastElementChild.textContent = now.text;
    for (const plot of view.plots || []) plot.draw(view.steps, view.recording ? view.shown : null);
  });
}

// Buttons

function setButtons(why) {
  for (const button of $("presses").children) {
    const reason = why["*"] ?? why[button.dataset.name];
    button.disabled = Boolean(reason);
    button.title = button.dataset.title + (reason ? " - " + reason : "");
  }
}

async function press(name, asks) {
  const body = {};
  if (asks.includes("task")) body.task = $("task").value;
  if (asks.includes("outcome")) {
    body.outcome = $("outcome").value;
    if (body.outcome === "failure") {
      body.kind = $("kind").value;
      if ($("step").value !== "") body.step = Number($("step").value);
    }
  }
  $("answer").className = "";
  $("answer").textContent = name + " ...";
  let answer;
  try {
    const response = await fetch("/do/" + name, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
    });
    const said = await response.text();
    try { answer = JSON.parse(said); } catch { answer = {done: false, text: said}; }
  } catch (error) {
    answer = {done: false, text: String(error)};
  }
  $("answer").textContent = answer.text;
  $("answer").className = answer.done ? "" : "refused";
}

// Live

function connect() {
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/live");
  socket.binaryType = "blob";
  let names = [], left = 0;
  const done = () => { if (!left && socket.readyState === 1) socket.send("shown"); };
  socket.onmessage = async (event) => {
    if (typeof event.data === "string") {
      const update = JSON.parse(event.data);
      names = update.frames.map((frame) => frame[0]);
      left = names.length;
      take(update);
      done();
      return;
    }
    try { await picture(names.shift(), event.data); } catch { /* the next one may be whole */ }
    left -= 1;
    done();
  };
  socket.onclose = () => { view.steps = []; setTimeout(connect, 1000); };
}

// Recorded

let busy = false;
async function show(step) {
  const last = view.steps.length - 1;
  view.shown = Math.max(0, Math.min(last, step));
  $("slider").value = view.shown;
  $("place").textContent = "step " + view.shown + " of " + last;
  draw();
  if (busy) return;
  busy = true;
  let done = -1;
  while (done !== view.shown) { // whatever was asked for meanwhile, the last of it is shown
    done = view.shown;
    for (const name of Object.keys(view.parts.cameras)) {
      const at = "/frame/" + view.recording.index + "/" + encodeURIComponent(name) + "/" + done;
      const response = await fetch(at);
      if (response.ok) await picture(name, await response.blob());
    }
  }
  busy = false;
}

function seek(step) { if (view.recording) show(step); }

async function open(index) {
  const last = view.recording.episodes - 1;
  index = Math.max(0, Math.min(last, index));
  const response = await fetch("/episode/" + index);
  if (!response.ok) {
    $("place").textContent = await response.text();
    return;
  }
  view.recording.index = index;
  $("index").value = index;
  $("count").textContent = "of 0 to " + last;
  take(await response.json());
  $("slider").max = view.steps.length - 1;
  const failed = view.parts.episode["failure step"];
  await show(failed === null ? 0 : failed);
}

let playing = 0;
function play() {
  clearInterval(playing);
  playing = playing ? 0 : setInterval(() => {
    if (view.shown >= view.steps.length - 1) play(); else if (!busy) show(view.shown + 1);
  }, 1000 / view.parts.episode.rate);
  $("play").textContent = playing ? "pause" : "play";
}

async function begin() {
  const about = await (await fetch("/about")).json();
  $("kind").replaceChildren(...about.kinds.map((kind) => make("option", kind)));
  $("presses").replaceChildren(...about.buttons.map((one) => {
    const button = make("button", one.text);
    button.dataset.name = one.name;
    button.dataset.title = button.title = one.title;
    button.disabled = true;
    button.onclick = () => press(one.name, one.asks);
    return button;
  }));
  if (!about.recording) {
    connect();
    setInterval(draw, 1000);
    return;
  }
  view.recording = about.recording;
  document.title = "SALUS " + about.recording.store;
  $("player").hidden = false;
  $("slider").oninput = () => show(Number($("slider").value));
  $("index").onchange = () => open(Number($("index").value));
  $("before").onclick = () => open(view.recording.index - 1);
  $("after").onclick = () => open(view.recording.index + 1);
  $("play").onclick = play;
  await open(about.recording.first);
}

begin();
