"""The nodes as processes of their own, as `ros2 launch` would start them, and what they say."""

import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salus_ros.cli.output import err_console
from salus_ros.cli.progress import bar
from salus_ros.core.errors import SalusError
from salus_ros.episodes.reader import StoreReader

NAMESPACE = f"/salus_demo_{os.getpid()}"
"""One for each run, so that two demos on one machine do not hear each other."""

SHOWN = 0.005
"""Probability below which a kind of failure is not worth a word."""

SILENCE_S = 180.0
"""It gives up when the graph says nothing for so long."""

COMMIT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


@dataclass
class Seen:
    """What the monitor has told.

    Attributes:
        endings: How each episode ended.
        recorder: The last status of the recorder.
        inference_ms: Durations of policy runs.
        prediction_ms: Times from signals to their prediction.
        finished: Whether the simulator has run all its episodes.
        step: Step of the running episode; None between two.
        alarm: Whether the last prediction of the running episode alarms.
    """

    endings: list[str] = field(default_factory=list)
    recorder: dict[str, Any] = field(default_factory=dict)
    inference_ms: list[float] = field(default_factory=list)
    prediction_ms: list[float] = field(default_factory=list)
    finished: bool = False
    step: int | None = None
    alarm: bool = False


class RunningGraph:
    """The running nodes; a context manager that ends them in good order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen = Seen()
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "RunningGraph":
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("simulator", "vla", "recovery", "predictor", "monitor", "recorder"):
            self.stop(name)

    def start(
        self, node: str, renamed: Mapping[str, str] | None = None, /, **parameters: object
    ) -> None:
        """Start a node as a process; what it says goes to `logs/NODE.log`.

        Args:
            node: Its module below `salus_ros.nodes`.
            renamed: Topics that it knows by another name.
            parameters: Of the node.
        """
        command = [sys.executable, *node_command(node, NAMESPACE, parameters, renamed)]
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

    def run_episodes(self, count: int, store: Path, title: str, **parameters: object) -> None:
        """Run `count` episodes, until the recorder has written them.

        Args:
            count: Number of episodes.
            store: Where the recorder writes.
            title: Name of the progress bar.
            parameters: Others of the simulator node.
        """
        self.seen.finished = False
        already, seen_before = episodes_in(store), len(self.seen.endings)
        self.start("simulator", episodes=count, **parameters)
        with bar(title, count, err_console) as advance:
            advance(0, _status([], None))
            while not self.seen.finished:
                self._follow()
                endings = self.seen.endings[seen_before:]
                advance(len(endings), _status(endings, self.seen.step))
        self.stop("simulator")
        deadline = time.monotonic() + COMMIT_TIMEOUT_S
        while episodes_in(store) + self._not_recorded() < already + count:
            if time.monotonic() > deadline:
                break  # the table shows what is missing
            time.sleep(0.2)
            self._drain()

    def _not_recorded(self) -> int:
        return 1 if self.seen.recorder.get("error") else 0

    def _follow(self) -> None:
        """Wait for the next thing that the monitor says."""
        deadline = time.monotonic() + SILENCE_S
        while True:
            for name, process in self._processes.items():
                if process.poll() not in (None, 0):
                    raise SalusError(f"{name} ended with {process.returncode}: {self._tail(name)}")
            try:
                self._take(self._lines.get(timeout=0.5))
                return
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise SalusError(
                        f"the graph has said nothing for {SILENCE_S:.0f} s; "
                        f"its logs are in '{self._folder / 'logs'}'"
                    ) from None

    def _drain(self) -> None:
        while not self._lines.empty():
            self._take(self._lines.get())

    def _take(self, line: str) -> None:
        said, seen = json.loads(line), self.seen
        match said.pop("kind"):
            case "episode":
                seen.finished |= said["finished"]
                over = said["ended"] or said["finished"]
                seen.step = None if over else int(said["step"])
                seen.alarm &= not over
                if said["ended"]:
                    success = said["outcome"] == "success"
                    seen.endings.append("success" if success else said["failure_type"])
            case "recorder":
                seen.recorder = said
            case "inference":
                seen.inference_ms.append(said["ms"])
            case "prediction":
                seen.prediction_ms.append(said["ms"])
                if said["alarm"] != seen.alarm:
                    seen.alarm = said["alarm"]
                    err_console.print(alarm_line(said))

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)

    def _tail(self, node: str) -> str:
        lines = (self._folder / "logs" / f"{node}.log").read_text().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def node_command(
    node: str,
    namespace: str,
    parameters: Mapping[str, object],
    renamed: Mapping[str, str] | None = None,
) -> list[str]:
    """Arguments of Python that run a node in a namespace, with a clock of its own there."""
    command = ["-m", f"salus_ros.nodes.{node}", "--ros-args"]
    for name, other in ({"__ns": namespace, "/clock": "clock"} | dict(renamed or {})).items():
        command += ["-r", f"{name}:={other}"]
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        command += ["-p", f"{name}:={text}"]
    return command


def alarm_line(said: Mapping[str, Any]) -> str:
    """Say that the alarm began or ended: how likely the episode fails, how soon, and of what."""
    begun = f"{'ALARM' if said['alarm'] else 'the alarm ends'} at step {said['step']}"
    if not math.isfinite(said["risk"]):
        return f"{begun}: the step cannot be judged"
    kinds = sorted(said["types"].items(), key=lambda item: -item[1])
    soon = ", ".join(f"{kind} {share:.0%}" for kind, share in kinds if share >= SHOWN)
    told = [f"a failure within {said['horizon_s']:.1f} s {said['risk']:.0%}"]
    told[0] += f" ({soon})" if soon else ""
    if math.isfinite(said["episode_failure"]):
        told.append(f"at all {said['episode_failure']:.0%}")
    return f"{begun}: {', '.join(told)}"


def episodes_in(store: Path) -> int:
    """Number of episodes of a store; 0 while it is not there."""
    try:
        return len(StoreReader(store))
    except SalusError:  # not there yet
        return 0


def _status(endings: list[str], step: int | None) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in sorted(Counter(endings).items()))
    at = "" if step is None else f"episode {len(endings) + 1} at step {step}"
    return "; ".join(part for part in (counts, at) if part) or "waiting for the nodes"
