// Lines over the steps of an episode. A value that does not exist is a gap.

const INK = "#1a1a2e", FAINT = "#9aa0a8", GRID = "#e5e7eb";

export const text = (value) => {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : value.toPrecision(3);
};

export class Plot {
  // lines: [{name, colour, dashed, of: (step) => number | null | "inf"}]; range: [low, high] or null
  constructor(parent, title, lines, range, seek) {
    this.lines = lines;
    this.range = range;
    this.box = document.createElement("div");
    this.box.className = "plot";
    const head = document.createElement("div");
    head.className = "title";
    if (title) head.append(Object.assign(document.createElement("b"), {textContent: title}));
    this.labels = lines.map((line) => {
      const label = document.createElement("span");
      label.style.color = line.colour;
      head.append(label);
      return label;
    });
    this.canvas = document.createElement("canvas");
    this.box.append(head, this.canvas);
    parent.append(this.box);
    this.canvas.addEventListener("click", (event) => {
      const share = event.offsetX / this.canvas.clientWidth;
      if (this.first !== undefined) seek(Math.round(this.first + share * this.span));
    });
  }

  said(value) { // a probability has its two decimals
    return this.range && typeof value === "number" ? value.toFixed(2) : text(value);
  }

  draw(steps, shown) {
    const ratio = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!width) return;
    if (this.canvas.width !== Math.round(width * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const at = shown === null ? steps[steps.length - 1] : steps.find((one) => one.step === shown);
    this.lines.forEach((line, i) => {
      const value = at === undefined ? null : line.of(at);
      this.labels[i].textContent = (line.name ? line.name + " " : "") + this.said(value);
    });
    if (!steps.length) return;
    this.first = steps[0].step;
    this.span = Math.max(1, steps[steps.length - 1].step - this.first);
    const [low, high] = this.range || this.limits(steps);
    const x = (step) => ((step - this.first) / this.span) * (width - 2) + 1;
    const y = (value) => height - 2 - ((value - low) / (high - low)) * (height - 4);
    pen.strokeStyle = GRID;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const share of [0, 0.5, 1]) {
      const line = y(low + share * (high - low));
      pen.moveTo(0, line);
      pen.lineTo(width, line);
    }
    pen.stroke();
    if (this.range) this.shade(pen, steps, x, height);
    for (const line of this.lines) this.drawLine(pen, line, steps, x, y);
    if (!this.range && low < high) this.drawEnds(pen, text(low), text(high), height);
    if (shown !== null) {
      pen.strokeStyle = INK;
      pen.beginPath();
      pen.moveTo(x(shown), 0);
      pen.lineTo(x(shown), height);
      pen.stroke();
    }
  }

  shade(pen, steps, x, height) { // where there was an alarm, and where the risk was not known
    const width = Math.max(1, x(this.first + 1) - x(this.first));
    for (const one of steps) {
      if (one.level !== "alarm" && one.level !== "unknown") continue;
      pen.fillStyle = one.level === "alarm" ? "#c6282833" : "#e69f0022";
      pen.fillRect(x(one.step) - width / 2, 0, width, height);
    }
  }

  drawEnds(pen, low, high, height) {
    pen.font = "9px system-ui, sans-serif";
    for (const [value, line] of [[high, 9], [low, height - 3]]) {
      pen.fillStyle = "rgba(255, 255, 255, 0.8)";
      pen.fillRect(1, line - 8, pen.measureText(value).width + 2, 10);
      pen.fillStyle = FAINT;
      pen.fillText(value, 2, line);
    }
  }

  drawLine(pen, line, steps, x, y) {
    pen.strokeStyle = pen.fillStyle = line.colour;
    pen.lineWidth = 1.3;
    pen.setLineDash(line.dashed ? [4, 3] : []);
    pen.beginPath();
    let last = null;
    steps.forEach((one, i) => {
      const value = line.of(one);
      if (typeof value !== "number") { last = null; return; }
      const next = steps[i + 1];
      const joined = last !== null && one.step - last === 1;
      if (joined) pen.lineTo(x(one.step), y(value));
      else {
        pen.moveTo(x(one.step), y(value));
        const alone = next === undefined || next.step - one.step !== 1
          || typeof line.of(next) !== "number";
        if (alone) pen.fillRect(x(one.step) - 1, y(value) - 1, 2, 2);
      }
      last = one.step;
    });
    pen.stroke();
    pen.setLineDash([]);
  }

  limits(steps) {
    let low = Infinity, high = -Infinity;
    for (const line of this.lines) {
      for (const one of steps) {
        const value = line.of(one);
        if (typeof value === "number") { low = Math.min(low, value); high = Math.max(high, value); }
      }
    }
    if (low > high) return [0, 1];
    return low === high ? [low - 1, high + 1] : [low, high];
  }
}
