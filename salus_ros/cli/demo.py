"""`salus demo`: the whole job in one command: record, train, predict live, report."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salus_ros.cli.output import EXIT_INTERRUPTED, err_console, out_console, print_line
from salus_ros.cli.progress import epoch_bar
from salus_ros.worlds.physics import ENV_ID

if TYPE_CHECKING:
    from salus_ros.cli.node_processes import RunningGraph
    from salus_ros.prediction.predictor import Predictor

EPOCHS = 10
ALPHA = 0.05
LIVE_SEED = 11405
"""Of an episode that fails by the policy's own doing and whose failure can be foreseen; chosen for
that, since half of the failures cannot. None of the shipped ones has it."""

RECOVERY = "policy@alarm"
"""What takes the arm where the live episode is run again."""

STORE = "episodes.zarr"
LOOKED = "lookahead.zarr"
"""The recorded episodes with what is seen ahead in them, which a predictor learns from."""

LEARNT_FROM = "standard"
"""The shipped episodes that the predictor learns from together with the recorded ones."""


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for everything; runs/demo-TIME by default.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to record.")] = 12,
    policy: Annotated[
        Path | None, typer.Option(help="Policy folder; the shipped tiny SmolVLA by default.")
    ] = None,
    live_seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Seed of the live episode; that of a failure which can be foreseen by default.",
        ),
    ] = LIVE_SEED,
    env_id: Annotated[
        str,
        typer.Option(
            help="The built-in world, or the same under another engine: salus/PickPlace-physx, "
            "-physx-newton (make physx), -isaac. The live episode's failure is one of the default."
        ),
    ] = ENV_ID,
    recovery: Annotated[
        bool,
        typer.Option(
            help="Where the live episode fails, run it once more and hand the arm at the alarm to "
            "the recovery policy that ships."
        ),
    ] = True,
) -> None:
    """Watch a SmolVLA move an arm, record it, learn when it fails, predict it live, and save it.

    The predictor learns from the recorded episodes together with the shipped ones, and runs live
    in one more episode, in which the policy fails: its alarm is told as it comes. Then the same
    episode is run again, and a recovery takes the arm at the alarm. Another --live-seed may
    succeed, fail unforeseen, or not be saved. It needs ROS 2: salus doctor says whether it is
    there.
    """
    from salus_ros.worlds.mujoco import CELLS
    from salus_ros.worlds.options import known

    same = tuple(name for name, cell in CELLS.items() if cell == ENV_ID)
    known(env_id, same, "env_id")
    folder = out or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")
    if policy is not None:  # before anything is started
        from salus_ros.policies.checkpoint import check_files

        check_files(policy)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run(folder, episodes, policy, live_seed, env_id, recovery)
    except KeyboardInterrupt:
        err_console.print(f"stopped; whole episodes are kept: salus info {folder / STORE}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


class _Stopwatch:
    """How long each part of the demo takes, in s."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.parts: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._started

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part."""
        before = self.seconds
        yield
        self.parts[name] = self.seconds - before


def _run(
    folder: Path,
    episodes: int,
    policy: Path | None,
    live_seed: int,
    env_id: str,
    recovery: bool,
) -> None:
    clock = _Stopwatch()
    print_line(f"everything goes to {folder}; Ctrl-C stops and keeps what is recorded")
    from salus_ros.cli.node_processes import RunningGraph, episodes_in
    from salus_ros.episodes.reader import StoreReader
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.reports.numbers.store import store_summary
    from salus_ros.reports.pages.recordings import write_report
    from salus_ros.reports.tables.demo import demo_tables
    from salus_ros.reports.tables.store import store_tables
    from salus_ros.reports.tables.training import split_and_measure_tables

    store, model, report = folder / STORE, folder / "predictor", folder / "report"
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with RunningGraph(folder) as graph:
        with clock.part("recording"):
            graph.start("monitor")
            graph.start("recorder", store_path=store, max_age_ms=0.0, reliable_sensors=True)
            # Who listens must be found before anything is published, the monitor included.
            given = {"env_id": env_id} | ({"policy_path": policy} if policy else {})
            listeners = "predictor,recorder,monitor"
            graph.start("vla", wait_for=listeners, reliable_sensors=True, **given)
            graph.start("predictor", wait_for="recorder,monitor", reliable_sensors=True)
            _simulate(graph, episodes, 0, 0, store, "recording", "random", env_id)
            graph.stop("predictor")
        with clock.part("training"):
            results = _train(_look_ahead(store), model)
        with clock.part("live prediction"):
            heard = "recorder,monitor"
            graph.start("predictor", model_path=model, wait_for=heard, reliable_sensors=True)
            graph.seen.prediction_ms.clear()
            title = f"live, seed {live_seed}"
            _simulate(graph, 1, live_seed, live_seed, store, title, "none", env_id)
        live = episodes_in(store) - 1
        if recovery and graph.seen.endings[-1:] != ["success"]:
            with clock.part("the same with recovery"):
                graph.stop("vla")
                behind = {"action": "policy_action"}
                graph.start("vla", behind, wait_for=listeners, reliable_sensors=True, **given)
                graph.start("recovery", arm=RECOVERY, env_id=env_id, wait_for="recorder")
                title = f"again, {RECOVERY}"
                first = max(0, live_seed - 1)  # another name for the same seed
                _simulate(graph, 1, first, live_seed, store, title, "none", env_id, ",recovery")
    with clock.part("evaluation and report"):
        reader, predictor = StoreReader(store), Predictor.load(model)
        unseen = _evaluate(predictor, _look_ahead(store))
        page = write_report(store, report, live, model)
    for table in (
        *store_tables(store_summary(reader)),
        *split_and_measure_tables(results),
        *demo_tables(reader, live, predictor, unseen, graph.seen, clock.parts, clock.seconds),
    ):
        out_console.print(table)
    print_line(f"open {page}")
    print_line(f"watch it again: salus report {store} --model {model} --out {report}")


def _simulate(
    graph: "RunningGraph",
    count: int,
    first: int,
    seed: int,
    store: Path,
    title: str,
    fault: str,
    env_id: str,
    beside: str = "",
) -> None:
    graph.run_episodes(
        count,
        store,
        title,
        seed=seed - first,
        first_episode=first,
        fault=fault,
        env_id=env_id,
        wait_for="vla,predictor,recorder,monitor" + beside,
        exit_when_done=False,
    )


def _look_ahead(store: Path) -> Path:
    """The recorded episodes, without images, with what is seen ahead; gone on with."""
    from salus_ros.collection.lookahead import lookahead_store
    from salus_ros.episodes.reader import StoreReader

    looked = store.with_name(LOOKED)
    lookahead_store(StoreReader(store), looked, workers=os.cpu_count() or 1, images=False)
    return looked


def _train(store: Path, model: Path) -> dict[str, Any]:
    from salus_ros.episodes.shipped import shipped
    from salus_ros.evaluation.predictor_evaluation import evaluate
    from salus_ros.prediction.config import PRESETS
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.training.calibrate import calibrate
    from salus_ros.training.dataset import load_samples
    from salus_ros.training.train import train_predictor, without_lacking

    with epoch_bar(err_console, EPOCHS) as on_epoch:
        samples = load_samples([shipped(LEARNT_FROM), store])
        config = without_lacking(replace(PRESETS["tcn"], epochs=EPOCHS), samples)
        results = train_predictor(samples, model, evaluate, config, "cpu", on_epoch)
    calibrate(Predictor.load(model), samples, ALPHA).save(model)
    return results


def _evaluate(predictor: "Predictor", store: Path) -> dict[str, Any]:
    """What the predictor is worth on the episodes that it has never seen."""
    from salus_ros.episodes.shipped import shipped
    from salus_ros.evaluation.predictor_evaluation import evaluate_stores

    found = evaluate_stores(predictor, [shipped(LEARNT_FROM), store])
    return dict(found["episode_level"])
