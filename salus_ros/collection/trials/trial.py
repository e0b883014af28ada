"""A paired trial from beginning to end: episodes, plan, courses by parallel workers, figures."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros.collection.collect import CollectionResult, collect
from salus_ros.collection.trials.config import TrialConfig
from salus_ros.collection.trials.course import Course, Courses, Recorded
from salus_ros.collection.trials.figures import trial_figures
from salus_ros.collection.trials.plan import NEVER, first_alarms, planned_steps
from salus_ros.collection.trials.records import Records, Task
from salus_ros.core.errors import ConfigError
from salus_ros.core.pool import Desk, Lost, Pool
from salus_ros.episodes.reader import StoreReader
from salus_ros.evaluation.predictor_evaluation import held_out
from salus_ros.policies.registry import POLICY_MODULES
from salus_ros.prediction.extras import EXTRAS, stored_parts
from salus_ros.prediction.predictor import Predictor
from salus_ros.recovery.behaviours.manifold import FollowSuccess
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.watch import Watch
from salus_ros.training.dataset import Samples, read_extra
from salus_ros.worlds.mujoco import WORLDS


@dataclass(frozen=True, slots=True, eq=False)
class TrialResult:
    """What a trial found.

    Attributes:
        figures: JSON values, see `trial_figures`.
        recorded: The episodes without intervention.
        courses: Those of each arm, in the order of the episodes.
    """

    figures: dict[str, Any]
    recorded: Sequence[Recorded]
    courses: Mapping[str, Sequence[Course]]


def run_trial(
    config: TrialConfig,
    store: Path,
    records: Path,
    episodes: int,
    seed: int,
    workers: int = 1,
    on_episode: Callable[[CollectionResult], None] | None = None,
    on_course: Callable[[int, int, str], None] | None = None,
) -> TrialResult:
    """Run the episodes of seeds `seed` to `seed + episodes - 1` under each arm.

    What the store and the records hold is not run again, so the same call goes on after a kill.
    Episodes that the predictor has seen are left out.

    Args:
        config: What to compare.
        store: Of the episodes without intervention; made, or gone on with.
        records: File of the courses done; made, or gone on with.
        episodes: How many.
        seed: Of the first.
        workers: Parallel processes; the result does not depend on it.
        on_episode: Told of each episode without intervention.
        on_course: Told how many courses are done, of how many, and a few words.

    Raises:
        ConfigError: if the predictor is not calibrated for the rate, if it has seen all episodes,
            or if store or records were begun with other options.
        SalusError: what a worker could not do.
    """
    predictor = Predictor.load(config.model)
    watch = Watch(predictor, config.alpha)  # refuses before anything is run
    reads = predictor.checkpoint.features.extras
    collection = replace(config.collection, lookahead="lookahead" in reads)
    collect(collection, store, episodes, seed, workers, on_episode)
    samples, left_out, _ = held_out(predictor, [store])
    wanted = range(seed, seed + episodes)
    places = [n for n, record in enumerate(samples.records) if record.meta.seed in wanted]
    if not places:
        raise ConfigError(
            f"the predictor was made with all episodes of seeds {wanted[0]} to {wanted[-1]} of "
            f"'{store}'; give another --seed"
        )
    recorded = recorded_episodes(
        samples.subset(places), predictor, watch, _read_by_behaviours(config)
    )
    tasks = _tasks(config, recorded)
    kept = Records(records, config.decides(predictor.model_id))
    try:
        missing = [task for task in tasks if task not in kept.courses]
        done = len(tasks) - len(missing)
        changed: Counter[str] = Counter()
        by_seed = {one.meta.seed: one for one in recorded}
        with _pool(config, by_seed, missing, workers) as pool:
            for task, course in pool.results():
                assert not isinstance(course, Lost)  # what a worker lost is run again
                kept.add(task, course)
                done += 1
                before = by_seed[task.seed].meta.outcome
                if course.outcome is not before:
                    changed[f"{task.arm}: {course.outcome.name.lower()}"] += 1
                if on_course is not None:
                    on_course(done, len(tasks), _listed(changed))
    finally:
        kept.close()
    courses: dict[str, list[Course]] = {}
    for task in tasks:
        courses.setdefault(task.arm, []).append(kept.courses[task])
    policy = recorded[0].meta.policy_id
    figures = {
        "world": config.collection.env_id,
        "policy": policy,
        "predictor": predictor.model_id,
        "doubt": predictor.doubt(policy),
        "alpha": config.alpha,
        "first_seed": seed,
        "episodes": len(recorded),
        "left_out": left_out["seen_in_training"] + left_out["used_in_calibration"],
        **trial_figures(recorded, courses),
    }
    return TrialResult(figures, recorded, courses)


def _read_by_behaviours(config: TrialConfig) -> list[str]:
    """Those of `EXTRAS` that a behaviour of the trial reads."""
    names = {choice.behaviour for arm in config.parsed for choice in arm.choices}
    if FollowSuccess.name not in names:
        return []
    assert config.settings.manifold is not None  # checked
    inputs = Manifold.load(config.settings.manifold).settings.inputs
    return [name for name in EXTRAS if name in inputs]


def recorded_episodes(
    samples: Samples, predictor: Predictor, watch: Watch, told: Sequence[str] = ()
) -> list[Recorded]:
    """The episodes in the order of their seeds, with what is foreseen in each.

    Args:
        samples: Of the episodes.
        predictor: What foresees.
        watch: Its alarm.
        told: Which of `EXTRAS` are wanted, where the store has them.
    """
    prediction = predictor.predict_episodes(*samples.inputs)
    steps = np.arange(len(samples.step))
    readers = {path: StoreReader(path) for path in {record.store for record in samples.records}}
    found = []
    for record, rows in zip(samples.records, samples.slices, strict=True):
        arrays = readers[record.store]
        own_rows = arrays.rows(record.index)
        own = arrays.to_numpy(["action", "state"], own_rows)
        chosen = np.isin(steps, steps[rows])
        forecasts = watch.replay(prediction.rows(chosen))
        has = stored_parts(arrays.spec)
        extras = {name: read_extra(arrays, name, own_rows) for name in told if name in has}
        found.append(Recorded(record.meta, own["action"], own["state"], forecasts, extras))
    return sorted(found, key=lambda one: one.meta.seed)


def _tasks(config: TrialConfig, recorded: Sequence[Recorded]) -> list[Task]:
    """Each episode under each arm, all arms of an episode one after the other."""
    metas, lengths = [one.meta for one in recorded], [len(one.actions) for one in recorded]
    alarms = first_alarms([one.forecasts for one in recorded])
    limit = WORLDS[config.collection.env_id]["physics"].max_steps
    plans = {
        arm.name: planned_steps(arm.planned, metas, lengths, alarms, limit, config.seed)
        if arm.planned
        else [NEVER] * len(metas)
        for arm in config.parsed
    }
    return [
        Task(meta.seed, arm.name, plans[arm.name][place])
        for place, meta in enumerate(metas)
        for arm in config.parsed
    ]


def _pool(
    config: TrialConfig, recorded: Mapping[int, Recorded], tasks: Sequence[Task], workers: int
) -> Pool[Task, Course]:
    return Pool(
        partial(_work, config, recorded),
        tasks,
        workers,
        restart=True,
        ahead=16 * max(1, workers),
        advice="use fewer --workers",
        preload=POLICY_MODULES,
    )


def _work(config: TrialConfig, recorded: Mapping[int, Recorded], desk: Desk[Task, Course]) -> None:
    """Body of a worker."""
    courses = Courses(config)
    arms = {arm.name: arm for arm in config.parsed}
    for task in desk:
        assert task is not None  # one at a time
        desk.send(task, courses.run(recorded[task.seed], arms[task.arm], task.at))
        desk.done(task)
    courses.close()


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
