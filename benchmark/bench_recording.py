"""Recording without loss: CPU beside the transport's, highest rate, pause between episodes.

Real processes on real DDS: a source publishes three 256 x 256 cameras, joints, actions, signals
and predictions of shipped episodes by the wall clock, the recorder node records, and a reader
opens the store again and again meanwhile. The reference of the recorder's CPU is a node with the
same subscriptions that does nothing; that of its highest rate is writing the same bytes raw and
recording with LeRobot's own dataset, both in one process without a transport.

    python benchmark/bench_recording.py [--minutes 5] [--rates 30 60 90 120] [--json]
"""

import argparse
import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from processes import cpu_s, peak_mb, started
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from salus_msgs.msg import (
    EpisodeStatus,
    FailureHorizons,
    PolicyAction,
    RecorderStatus,
    VlaSignals,
)
from salus_ros.core import schema
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import Outcome
from salus_ros.episodes import Episode, EpisodeStore, StoreReader
from salus_ros.nodes import convert
from salus_ros.nodes.parameters import PANDA_JOINTS
from salus_ros.nodes.qos import status_qos, stream_qos
from salus_ros.nodes.simulator import DDS_PROFILE, choose_transport
from salus_ros.worlds.panda import CAMERAS

FRAMES = 150
SHORT_S = 15.0
LAG_S = 0.5
START_TIMEOUT_S = 60.0
READ_EVERY_S = 0.5
TOPICS: dict[str, type] = {
    **{f"camera/{camera}/image_raw": Image for camera in CAMERAS},
    "joint_states": JointState,
    "action": PolicyAction,
    "signals": VlaSignals,
    "failure_horizons": FailureHorizons,
}


def shipped_frames() -> Episode:
    """A few seconds of a shipped episode with images."""
    reader = StoreReader("shipped:pictures")
    lengths = [rows.stop - rows.start for rows in map(reader.rows, range(len(reader)))]
    return reader.episode(int(np.argmax(lengths)))


class Source(Node):
    """Publishes episodes by the wall clock, every message of a step with one stamp."""

    def __init__(self, namespace: str) -> None:
        super().__init__("source", namespace=namespace)
        qos = stream_qos()
        self.out = {
            topic: self.create_publisher(kind, topic, qos) for topic, kind in TOPICS.items()
        }
        self.episode = self.create_publisher(EpisodeStatus, "episode", status_qos())
        self.status: RecorderStatus | None = None
        self.create_subscription(RecorderStatus, "recorder_status", self._on_status, status_qos())
        shown = shipped_frames()
        self.steps = min(FRAMES, len(shown))
        self.images = {
            camera: [
                convert.array_to_image(frames[t], convert.header(0)) for t in range(self.steps)
            ]
            for camera, frames in shown.images.items()
        }
        self.shown = shown
        self.late_s = 0.0

    def _on_status(self, message: RecorderStatus) -> None:
        self.status = message

    def spin_until(self, done: Any, what: str) -> None:
        """Take part in the graph until something holds; give up after a while."""
        end = time.monotonic() + START_TIMEOUT_S
        while not done():
            if time.monotonic() > end:
                raise SystemExit(f"{what} within {START_TIMEOUT_S:.0f} s: never; {self.status}")
            rclpy.spin_once(self, timeout_sec=0.01)

    def wait_for_reader(self) -> None:
        """Wait until somebody listens to everything."""
        publishers = [*self.out.values(), self.episode]
        self.spin_until(lambda: all(p.get_subscription_count() for p in publishers), "a listener")

    def run(self, episode_id: str, steps: int, rate_hz: float, first_s: float) -> float:
        """Publish an episode that begins at a steady time, and return when the next one may."""
        for step in range(steps):
            due_s = first_s + step / rate_hz
            while (left_s := due_s - time.monotonic()) > 0:
                rclpy.spin_once(self, timeout_sec=min(left_s, 0.002))
            self.late_s = max(self.late_s, -left_s)
            self.step(episode_id, step, rate_hz)
        end = self.status_of(episode_id, steps, EpisodeStatus.PHASE_ENDED, rate_hz)
        end.outcome = Outcome.SUCCESS
        self.episode.publish(end)
        return first_s + (steps + 1) / rate_hz

    def status_of(self, episode_id: str, step: int, phase: int, rate_hz: float) -> EpisodeStatus:
        """Where an episode stands now."""
        head = convert.header(time.time_ns())
        return EpisodeStatus(
            header=head, episode_id=episode_id, step=step, phase=phase, rate_hz=rate_hz,
            failure_step=-1, fault="none", fault_step=-1, task="benchmark",
        )  # fmt: skip

    def step(self, episode_id: str, step: int, rate_hz: float) -> None:
        """Publish all of one step."""
        status = self.status_of(episode_id, step, EpisodeStatus.PHASE_RUNNING, rate_hz)
        head, t = status.header, step % self.steps
        self.episode.publish(status)
        for camera in CAMERAS:
            image = self.images[camera][t]
            image.header = head
            self.out[f"camera/{camera}/image_raw"].publish(image)
        joints = convert.joint_state(PANDA_JOINTS, self.shown.state[t], head)
        self.out["joint_states"].publish(joints)
        common = {"header": head, "episode_id": episode_id, "step": step}
        action = convert.float_array(self.shown.action[t])
        self.out["action"].publish(PolicyAction(**common, action=action, policy_id="benchmark"))
        signals = VlaSignals(**common, fresh=True, num_samples=4)
        convert.fill_signals(signals, self.shown.signals[t], self.shown.signals_valid[t])
        if self.shown.embedding is not None:
            signals.embedding = convert.float_array(self.shown.embedding[t])
        self.out["signals"].publish(signals)
        horizons = FailureHorizons(
            **common,
            horizons=np.float32(schema.HORIZONS_S),
            failure_types=[1, 2, 3, 4],
            probability=np.zeros(16, np.float32),
            model_id="benchmark",
        )
        self.out["failure_horizons"].publish(horizons)


def listen(namespace: str) -> None:
    """Subscribe as the recorder does and do nothing, until killed."""
    rclpy.init()
    node = Node("listener", namespace=namespace)
    for topic, kind in (*TOPICS.items(), ("episode", EpisodeStatus)):
        node.create_subscription(kind, topic, lambda _: None, stream_qos(), raw=kind is Image)
    with suppress(ExternalShutdownException):
        rclpy.spin(node)


def read_while(path: Path, stop: threading.Event, seen: list[int]) -> None:
    """Open the store again and again and read the last episode's signals."""
    while not stop.wait(READ_EVERY_S):
        try:
            reader = StoreReader(path)
        except StoreError:
            continue  # not there yet
        if len(reader):
            reader.episode(len(reader) - 1, images=False)
        seen.append(len(reader))


def play(
    lengths: list[int], rate_hz: float, store: Path | None, codec: str = "lossless"
) -> dict[str, Any]:
    """Publish episodes to the recorder, or to a node that only listens where no store is given."""
    namespace = f"/bench_{time.time_ns()}"
    if store is None:
        command = [str(Path(__file__)), "--listen", namespace]
    else:
        ros = ["--ros-args", "-r", f"__ns:={namespace}", "-p", f"store_path:={store}"]
        own = ["-p", "max_age_ms:=0.0", "-p", "min_free_mb:=0", "-p", "reliable_sensors:=true"]
        own += ["-p", f"image_codec:={codec}"]
        command = ["-m", "salus_ros.nodes.recorder", *ros, *own]
    rclpy.init()
    stop, seen = threading.Event(), list[int]()
    try:
        with started(*command) as process:
            source = Source(namespace)
            source.wait_for_reader()
            if store is not None:
                source.spin_until(lambda: source.status is not None, "the recorder's status")
                threading.Thread(target=read_while, args=(store, stop, seen), daemon=True).start()
            before_s, begun_s = cpu_s(process.pid), time.monotonic()
            next_s = begun_s + 0.2
            for number, steps in enumerate(lengths):
                next_s = source.run(f"e{number}", steps, rate_hz, next_s)
            ended_s = time.monotonic()
            figures: dict[str, Any] = {"late_s": source.late_s}
            if store is not None:

                def settled() -> bool:
                    status = source.status
                    assert status is not None
                    over = status.state in (RecorderStatus.STATE_IDLE, RecorderStatus.STATE_ERROR)
                    return over and (
                        status.episodes_committed == len(lengths) or bool(status.last_error)
                    )

                source.spin_until(settled, "the end of writing")
                status = source.status
                assert status is not None
                figures |= {
                    "committed": status.episodes_committed,
                    "steps": status.steps_recorded,
                    "gaps": status.steps_with_gaps,
                    "messages_dropped": status.messages_dropped,
                    "error": status.last_error,
                    "committed_after_s": time.monotonic() - ended_s,
                    "reads": len(seen),
                }
            figures["peak_mb"] = peak_mb(process.pid)
            figures["cpu"] = (cpu_s(process.pid) - before_s) / (ended_s - begun_s)
            source.destroy_node()
    finally:
        stop.set()
        rclpy.try_shutdown()
    return figures


def whole(figures: dict[str, Any], lengths: list[int]) -> bool:
    """Whether everything was recorded, and the source kept to its rate."""
    return (
        figures["committed"] == len(lengths)
        and figures["steps"] == sum(lengths)
        and not (figures["gaps"] or figures["messages_dropped"])
        and figures["late_s"] < LAG_S
    )


def highest_rate(rates: list[float], folder: Path) -> tuple[float, dict[str, Any]]:
    """The highest of the rates at which nothing was lost, and what happened at each."""
    best, tried = 0.0, {}
    for rate_hz in rates:
        lengths = [round(SHORT_S * rate_hz)]
        figures = play(lengths, rate_hz, folder / f"rate{rate_hz:g}.zarr")
        tried[f"{rate_hz:g}"] = figures
        if not whole(figures, lengths):
            break
        best = rate_hz
    return best, tried


def write_raw(episode: Episode, path: Path) -> float:
    """Steps per second at which the images are written as they are, on the disk at the end."""
    started_s = time.perf_counter()
    with path.open("wb") as file:
        for t in range(len(episode)):
            for frames in episode.images.values():
                file.write(frames[t])
        os.fsync(file.fileno())
    return len(episode) / (time.perf_counter() - started_s)


def write_store(episode: Episode, path: Path) -> float:
    """Steps per second of the episode store."""
    spec = StoreReader("shipped:pictures").spec
    started_s = time.perf_counter()
    with EpisodeStore.create(path, spec) as store:
        store.append(episode)
    return len(episode) / (time.perf_counter() - started_s)


def write_lerobot(episode: Episode, path: Path, *, videos: bool) -> float:
    """Steps per second of LeRobot's own recording, with its image threads."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    axes = ["height", "width", "channels"]
    kind = "video" if videos else "image"
    features = {
        "observation.state": {"dtype": "float32", "shape": (7,), "names": None},
        "action": {"dtype": "float32", "shape": (7,), "names": None},
    } | {
        f"observation.images.{camera}": {"dtype": kind, "shape": frames.shape[1:], "names": axes}
        for camera, frames in episode.images.items()
    }
    started_s = time.perf_counter()
    dataset = LeRobotDataset.create(
        repo_id="local/benchmark", fps=30, features=features, root=path, use_videos=videos,
        image_writer_threads=4 * len(episode.images),
    )  # fmt: skip
    for t in range(len(episode)):
        frame = {"observation.state": episode.state[t], "action": episode.action[t], "task": "b"}
        images = {f"observation.images.{c}": v[t] for c, v in episode.images.items()}
        dataset.add_frame(frame | images)
    dataset.save_episode()
    dataset.finalize()
    return len(episode) / (time.perf_counter() - started_s)


def run(minutes: float, rates: list[float]) -> dict[str, Any]:
    """Measure everything."""
    lengths = [round(minutes * 60 * 30), *[90] * 5]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded = play(lengths, 30.0, folder / "long.zarr")
        transport = play([round(SHORT_S * 30)], 30.0, None)
        best, tried = highest_rate(rates, folder)
        episode = shipped_frames()
        speeds = {
            "raw": write_raw(episode, folder / "raw"),
            "store": write_store(episode, folder / "store.zarr"),
            "lerobot_images": write_lerobot(episode, folder / "images", videos=False),
            "lerobot_videos": write_lerobot(episode, folder / "videos", videos=True),
        }
    return {
        "benchmark": "recording",
        "command": f"python benchmark/bench_recording.py --minutes {minutes:g} --json",
        "cpus": os.cpu_count(),
        "minutes": minutes,
        "lossless": whole(recorded, lengths),
        "recorded": recorded,
        "transport_cpu": transport["cpu"],
        "cpu_beyond_transport": recorded["cpu"] - transport["cpu"],
        "pause_between_episodes_s": 2 / 30,
        "highest_rate_hz": best,
        "rates": tried,
        "steps_per_s_in_process": speeds,
        "ratio_highest_rate_to_raw": best / speeds["raw"],
        "ratio_highest_rate_to_lerobot_images": best / speeds["lerobot_images"],
        "ratio_highest_rate_to_lerobot_videos": best / speeds["lerobot_videos"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="of the long episode (5)")
    parser.add_argument("--rates", type=float, nargs="+", default=[30, 45, 60, 90, 120, 150, 180])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--listen", metavar="NAMESPACE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.listen:
        listen(given.listen)
        return
    choose_transport(DDS_PROFILE)
    result = run(given.minutes, given.rates)
    if given.json:
        print(json.dumps(result, indent=2))
        return
    recorded, speeds = result["recorded"], result["steps_per_s_in_process"]
    print(f"three cameras at 30 Hz for {given.minutes:g} minutes, then five short episodes")
    print(f"  committed {recorded['committed']}, gaps {recorded['gaps']}, "
          f"dropped {recorded['messages_dropped']} {recorded['error']}")  # fmt: skip
    print(f"  CPU: recorder {recorded['cpu']:.2f} of a core, transport alone "
          f"{result['transport_cpu']:.2f}; beyond it {result['cpu_beyond_transport']:.2f} "
          "(aim: below 0.25)")  # fmt: skip
    print(f"  highest rate without loss: {result['highest_rate_hz']:g} steps/s")
    for name, speed in speeds.items():
        ratio = result["highest_rate_hz"] / speed
        print(f"  {name:<16} {speed:8.1f} steps/s in one process; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
