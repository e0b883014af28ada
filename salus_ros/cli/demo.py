"""The whole job in one command: collect, train, predict live, report.

Starts the nodes as processes of their own, as `ros2 launch` would, and follows what they say.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from salus_ros.cli.progress import bar, epoch_bar
from salus_ros.core.errors import SalusError
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.shipped import shipped

NAMESPACE = f"/salus_demo_{os.getpid()}"
"""One for each run, so that two demos on one machine do not hear each other."""

SILENCE_S = 180.0
"""The demo gives up when the graph says nothing for so long."""

COMMIT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
EXIT_INTERRUPTED = 130
FAULT_RATE = 0.1
"""Share of the recorded episodes that get each fault."""

EPOCHS = 10
ALPHA = 0.05
LIVE_FAULT = "slip"
STORE = "episodes.zarr"

console = Console()
errors = Console(stderr=True)


@dataclass
class Seen:
    """What the monitor has told."""

    endings: list[str] = field(default_factory=list)
    recorder: dict[str, Any] = field(default_factory=dict)
    inference_ms: list[float] = field(default_factory=list)
    prediction_ms: list[float] = field(default_factory=list)
    alarms: int = 0
    finished: bool = False


class Graph:
    """The running nodes; a context manager that ends them in good order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen = Seen()
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Graph":
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("simulator", "vla", "predictor", "monitor", "recorder"):
            self.stop(name)

    def start(self, node: str, **parameters: object) -> None:
        """Start a node as a process; what it says goes to `logs/NODE.log`."""
        command = [sys.executable, "-m", f"salus_ros.nodes.{node}", "--ros-args"]
        command += ["-r", f"__ns:={NAMESPACE}", "-r", "/clock:=clock"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{name}:={text}"]
        watched = node == "monitor"
        with (self._folder / "logs" / f"{node}.log").open("a") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if watched else log,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the demo, which ends them in order
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        self._processes[node] = process
        if watched:
            threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def stop(self, node: str) -> None:
        """End a node as Ctrl-C would, and wait for it."""
        process = self._processes.pop(node, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run_episodes(self, first: int, count: int, store: Path, title: str, fault: str) -> None:
        """Run `count` episodes from number `first` on, until the recorder has written them."""
        self.seen.finished = False
        already, seen_before = _episodes_in(store), len(self.seen.endings)
        self.start(
            "simulator",
            episodes=count,
            seed=0,
            first_episode=first,
            fault=fault,
            fault_rate=FAULT_RATE,
            wait_for="vla,predictor,recorder,monitor",
            exit_when_done=False,
        )
        with bar(title, count, errors) as advance:
            advance(0, "starting the nodes")
            while not self.seen.finished:
                step = self._follow()
                endings = self.seen.endings[seen_before:]
                counts = ", ".join(f"{k} {n}" for k, n in sorted(Counter(endings).items()))
                advance(len(endings), f"{counts} {f'step {step}' if step is not None else ''}")
        self.stop("simulator")
        deadline = time.monotonic() + COMMIT_TIMEOUT_S
        while _episodes_in(store) + self._not_recorded() < already + count:
            if time.monotonic() > deadline:
                break  # the table shows what is missing
            time.sleep(0.2)
            self._drain()

    def _not_recorded(self) -> int:
        return 1 if self.seen.recorder.get("error") else 0

    def _follow(self) -> int | None:
        """Take what the monitor says; returns the step of the running episode, if it is known."""
        deadline = time.monotonic() + SILENCE_S
        while True:
            for name, process in self._processes.items():
                if process.poll() not in (None, 0):
                    raise SalusError(f"{name} ended with {process.returncode}: {self._tail(name)}")
            try:
                return self._take(self._lines.get(timeout=0.5))
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise SalusError(
                        f"the graph has said nothing for {SILENCE_S:.0f} s; "
                        f"its logs are in '{self._folder / 'logs'}'"
                    ) from None

    def _drain(self) -> None:
        while not self._lines.empty():
            self._take(self._lines.get())

    def _take(self, line: str) -> int | None:
        said, seen = json.loads(line), self.seen
        match said.pop("kind"):
            case "episode":
                seen.finished |= said["finished"]
                if said["ended"]:
                    success = said["outcome"] == "success"
                    seen.endings.append("success" if success else said["failure_type"])
                return int(said["step"])
            case "recorder":
                seen.recorder = said
            case "inference":
                seen.inference_ms.append(said["ms"])
            case "prediction":
                seen.prediction_ms.append(said["ms"])
                seen.alarms += said["alarm"]
        return None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)

    def _tail(self, node: str) -> str:
        lines = (self._folder / "logs" / f"{node}.log").read_text().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for everything; runs/demo-TIME by default.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to record.")] = 24,
    policy: Annotated[
        Path | None, typer.Option(help="Policy folder; the shipped tiny SmolVLA by default.")
    ] = None,
) -> None:
    """Watch a SmolVLA move an arm, record it, learn when it fails, and predict it live.

    The predictor learns from the recorded episodes together with the shipped ones.
    """
    folder = out or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")
    try:
        _run(folder, episodes, policy)
    except KeyboardInterrupt:
        errors.print(f"stopped; whole episodes are kept: salus info {folder / STORE}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _run(folder: Path, episodes: int, policy: Path | None) -> None:
    from salus_ros.evaluation.predictor_evaluation import evaluate
    from salus_ros.prediction.config import PRESETS
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.reports import write_report
    from salus_ros.reports.summary import store_summary, store_tables, training_tables
    from salus_ros.training.calibrate import calibrate
    from salus_ros.training.dataset import load_samples
    from salus_ros.training.train import train_predictor

    store, model, report = folder / STORE, folder / "predictor", folder / "report"
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    started = time.monotonic()
    console.print(f"everything goes to {folder}; Ctrl-C stops and keeps what is recorded")
    with Graph(folder) as graph:
        graph.start("monitor")
        graph.start("recorder", store_path=store, max_age_ms=0.0, reliable_sensors=True)
        # Who listens must be found before anything is published, the monitor included.
        given = {"policy_path": policy} if policy else {}
        graph.start("vla", wait_for="predictor,recorder,monitor", reliable_sensors=True, **given)
        graph.start("predictor", wait_for="recorder,monitor")
        graph.run_episodes(0, episodes, store, "recording", "random")
        graph.stop("predictor")
        config = replace(PRESETS["tcn"], epochs=EPOCHS)
        with epoch_bar(errors, config.epochs) as on_epoch:
            samples = load_samples([shipped("standard"), store])
            results = train_predictor(samples, model, evaluate, config, "cpu", on_epoch)
        calibrate(Predictor.load(model), samples, ALPHA).save(model)
        graph.start("predictor", model_path=model, wait_for="recorder,monitor")
        graph.seen.prediction_ms.clear()
        graph.run_episodes(episodes, 1, store, f"live prediction, fault {LIVE_FAULT}", LIVE_FAULT)
    reader = StoreReader(store)
    page = write_report(store, report, len(reader) - 1, model)
    for table in (*store_tables(store_summary(reader)), *training_tables(results)):
        console.print(table)
    console.print(_summary(reader, graph.seen, time.monotonic() - started))
    console.print(f"open {page}", soft_wrap=True)
    console.print(f"[dim]watch it again: salus report {store} --model {model} --out {report}[/]")


def _summary(reader: StoreReader, seen: Seen, seconds: float) -> Table:
    table = Table("the graph", "", title="Demo", title_justify="left")
    counts = Counter(meta.ending for meta in reader.episodes())
    rows: list[tuple[str, str]] = [
        ("episodes recorded", f"{len(reader)}: " + _listed(counts)),
        ("steps recorded", str(reader.steps)),
        ("messages dropped", str(seen.recorder.get("dropped", "unknown"))),
        ("steps without an input", _gaps(reader)),
        ("policy and signals, ms", _quantiles(seen.inference_ms)),
        ("signals to prediction, ms", _quantiles(seen.prediction_ms)),
        ("live episode", reader.meta(len(reader) - 1).ending),
        ("steps of it with an alarm", f"{seen.alarms} (promised: {ALPHA:.0%} false)"),
        ("seconds in all", f"{seconds:.0f}"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table


def _gaps(reader: StoreReader) -> str:
    """Steps that lack an image, the state, the action or the signals."""
    ages = reader.to_numpy(["age_ms"])["age_ms"]  # (N, streams), NaN where there is no sample
    inputs = [i for i, name in enumerate(reader.spec.streams) if name != "prediction"]
    return str(int(np.isnan(ages[:, inputs]).any(axis=1).sum()))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))


def _quantiles(values: list[float]) -> str:
    if not values:
        return "none"
    p50, p99 = np.percentile(values, [50, 99])
    return f"median {p50:.1f}, p99 {p99:.1f} (n = {len(values)})"


def _episodes_in(store: Path) -> int:
    try:
        return len(StoreReader(store))
    except SalusError:  # not there yet
        return 0


def main() -> int:
    """Run the demo; an error that SALUS raises on purpose is one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        typer.run(demo)
    except SalusError as error:
        errors.print(Text.assemble(("error: ", "bold red"), (str(error), "red")), soft_wrap=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
