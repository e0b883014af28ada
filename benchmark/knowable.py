"""What can be known of a store's failures: its moments are played on with new noise.

    python benchmark/knowable.py STORE [--policy FOLDER] [--states 600] [--branches 4]
        [--replays 100] [--to-the-end 0] [--noise-memory STEPS] [--workers 2] [--seed 0]
        [--log FILE] [--json]

First some episodes are run again from seed and recorded actions. Then the real policy is run on
from sampled states at which it planned anew, with other noise, until it is decided what fails
within the longest horizon. The share of these futures in which it does is what one knows who has
the true state, a perfect simulator and the policy; a second observer knows the plan just drawn
too, whose recorded actions are done first.

A state takes about 2 s of processor time in v0 and twice that in v1, so the default sizes 10 and
20 minutes on two free cores; 3,000 states give intervals half as wide. With --log the same
command goes on from what was played, with more states too; Ctrl-C prints the figures so far.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from salus_ros.collection.moments import (
    OBSERVERS,
    BranchConfig,
    Moment,
    PlayedMoments,
    moment_pool,
)
from salus_ros.collection.replay import STATE_ATOL_RAD, replay, world_of
from salus_ros.core.errors import ConfigError, SalusError
from salus_ros.core.pool import Lost
from salus_ros.core.schema import horizon_steps
from salus_ros.episodes.reader import StoreReader
from salus_ros.evaluation.episode_evaluation import episodes_of, rank
from salus_ros.evaluation.limits import (
    failure_probability,
    knowable,
    sample_steps,
    step_weights,
    strata,
)
from salus_ros.policies.checkpoint import policy_id
from salus_ros.policies.tiny import shipped_policy
from salus_ros.training.dataset import Samples, load_samples
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.world import PickPlaceEnv

CONSOLE = Console(stderr=True)

ASSUMED = (
    "a fault that has not begun is unknown: no future has one, the recorded episodes do",
    "steps between two replans are as knowable as those of the replans, which alone are sampled",
    "of the policy's noise nothing is known from the state, though what it did so far tells of a "
    "noise that is remembered; the plan tells what is remembered of its own",
    "few branches make a probability coarse, which makes the figures a little too low; the best "
    "threshold is chosen on the same states, which makes F1 a little too high",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """The store that is looked at."""

    reader: StoreReader
    samples: Samples
    config: BranchConfig

    @property
    def replans(self) -> NDArray[np.int64]:
        """Usable rows of the samples at which the policy planned anew."""
        return np.flatnonzero(self.samples.usable & self.samples.fresh)

    def moment(self, row: int, *, to_the_end: bool = False) -> Moment:
        """The moment of a row."""
        record = self.samples.records[self.samples.episode[row]]
        return Moment(record.index, int(self.samples.step[row]), to_the_end)


def open_subject(given: argparse.Namespace) -> Subject:
    """Read a store, and how its episodes were made; refuses what cannot be run again."""
    for name, least in (("branches", 1), ("workers", 1), ("states", 0), ("to_the_end", 0)):
        if getattr(given, name) < least:
            said = f"--{name.replace('_', '-')} is {getattr(given, name)}"
            raise ConfigError(f"{said}; at least {least} is needed")
    if not given.states and not given.to_the_end:
        raise ConfigError("--states and --to-the-end are 0; give one of them")
    reader = StoreReader(given.store)
    samples = load_samples([given.store], inputs=())
    metas = [record.meta for record in samples.records]
    env_id = world_of(metas)
    policy = given.policy or shipped_policy(env_id)
    acted = sorted({meta.policy_id for meta in metas})
    asked = policy_id(policy, given.noise_memory)
    if acted != [asked]:
        raise ConfigError(
            f"in '{given.store}' acted the policies {', '.join(acted)}, given is '{asked}'; give "
            "the one that acted with --policy"
        )
    later = samples.step[samples.fresh & (samples.step > 0)]
    every = int(later.min()) if len(later) else 1
    if not np.array_equal(samples.fresh, samples.step % every == 0):
        raise ConfigError(
            f"the policy did not replan every {every} steps throughout '{given.store}'; only "
            "episodes of `salus collect` with one --replan-every can be played on"
        )
    config = BranchConfig(
        store=str(given.store),
        policy=policy,
        env_id=env_id,
        replan_every=every,
        noise_memory=given.noise_memory,
        branches=given.branches,
        horizon=max(horizon_steps(samples.horizons_s, metas[0].rate_hz)),
        seed=given.seed,
    )
    return Subject(reader, samples, config)


def replay_some(subject: Subject, number: int) -> dict[str, Any]:
    """Run some episodes again; how many of them repeat."""
    reader, rng = subject.reader, np.random.default_rng(subject.config.seed)
    chosen = rng.permutation([record.index for record in subject.samples.records])[:number]
    env = PickPlaceEnv(physics=PHYSICS[subject.config.env_id], render_images=False)
    done = [
        replay(env, reader.episode(int(index), images=False), reader.spec.truth_names)
        for index in track(chosen, "replays", console=CONSOLE, transient=True)
    ]
    env.close()
    truths = [one.truth_error for one in done if not np.isnan(one.truth_error)]
    return {
        "episodes": len(done),
        "repeat": sum(one.repeats for one in done),
        "outcome": sum(one.outcome is one.meta.outcome for one in done),
        "failure_type": sum(one.failure_type is one.meta.failure_type for one in done),
        "failure_step": sum(one.failure_step == one.meta.failure_step for one in done),
        "joints": sum(one.state_error_rad <= STATE_ATOL_RAD for one in done),
        "with_truth": len(truths),
        "truth_to_the_bit": sum(error == 0.0 for error in truths),
        "largest_truth_error": max(truths, default=None),
    }


def play(
    config: BranchConfig, moments: Sequence[Moment], played: PlayedMoments, workers: int
) -> bool:
    """Play the moments that are not played yet; False if that was interrupted."""
    left = [moment for moment in moments if moment not in played.fates]
    try:
        with moment_pool(config, left, workers) as pool:
            results = track(pool.results(), "states", len(left), console=CONSOLE, transient=True)
            for moment, fates in results:
                assert not isinstance(fates, Lost)  # what a worker lost is played again
                played.add(moment, fates)
    except KeyboardInterrupt:
        return False
    return True


def judge(subject: Subject, chosen: NDArray[np.int64], played: PlayedMoments) -> dict[str, Any]:
    """What is knowable within the horizons, for each observer."""
    samples, replans, types = subject.samples, subject.replans, subject.samples.failure_types
    near = strata(samples.labels[replans], types)
    futures = {place: played.fates.get(subject.moment(replans[place])) for place in chosen}
    there = np.array([place for place, fates in futures.items() if fates is not None], np.int64)
    rows, weights = replans[there], step_weights(near, there)
    horizons = horizon_steps(samples.horizons_s, samples.records[0].meta.rate_hz)
    labels = samples.labels[rows]  # (N, H, K)
    found: dict[str, Any] = {}
    for name in OBSERVERS:
        shares = [
            failure_probability(futures[place][name], samples.step[row], horizons, types)  # type: ignore[index]
            for place, row in zip(there, rows, strict=True)
        ]
        found[name] = knowable(
            np.array([0 * labels[0] if share is None else share for share in shares]),
            labels,
            weights,
            samples.episode[rows],
            episodes_of(samples).failed,
            samples.horizons_s,
            types,
        ) | {"states_without_a_future_that_counts": sum(share is None for share in shares)}
    counts = {
        str(name): {"all": int(sum(near == name)), "played": int(sum(near[there] == name))}
        for name in np.unique(near)
    }
    rates = samples.labels[replans].mean(axis=0)  # (H, K), of all states
    base = {
        f"{horizon:g} s": {kind.label: float(r) for kind, r in zip(types, row, strict=True)}
        for horizon, row in zip(samples.horizons_s, rates, strict=True)
    }
    return {"states": counts, "base_rate": base, "observers": found}


def landmark_rows(subject: Subject, number: int) -> NDArray[np.int64]:
    """Rows of some episodes at the last replan of the first quarter of the time limit."""
    samples, rows = subject.samples, subject.replans
    quarter = int(episodes_of(samples).share_of_limit(0.25)[0])
    landmark = (quarter - 1) // subject.config.replan_every * subject.config.replan_every
    there = rows[samples.step[rows] == landmark]
    return np.random.default_rng(subject.config.seed).permutation(there)[:number]


def judge_to_the_end(
    subject: Subject, rows: NDArray[np.int64], played: PlayedMoments
) -> dict[str, Any]:
    """How well the episodes that still run at the landmark can be ranked, for each observer."""
    samples, types = subject.samples, subject.samples.failure_types
    limit = PHYSICS[subject.config.env_id].max_steps
    result: dict[str, Any] = {}
    for name in OBSERVERS:
        scores, places = [], []
        for row in rows.tolist():
            moment = subject.moment(row, to_the_end=True)
            if (fates := played.fates.get(moment)) is None:
                continue
            share = failure_probability(fates[name], moment.step, (limit,), types)
            scores.append(0.0 if share is None else float(share.sum()))
            places.append(int(samples.episode[row]))
        if not scores:
            continue
        score, episodes = np.array(scores), episodes_of(samples.subset(places))
        result["step"] = moment.step
        result["episodes"] = len(scores)
        result["failures"] = int(episodes.failed.sum())
        result[name] = {
            **rank(score, episodes),
            "decided": float(np.isin(score, (0.0, 1.0)).mean()),
        }
    return result


def parse() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="made by `salus collect`, or shipped:standard")
    parser.add_argument(
        "--policy", type=Path, help="the one that acted in it; the shipped one of its world"
    )
    parser.add_argument("--states", type=int, default=600, help="within the horizons; 0: none")
    parser.add_argument("--branches", type=int, default=4, help="of each state and observer")
    parser.add_argument("--replays", type=int, default=100, help="episodes run again to compare")
    parser.add_argument("--to-the-end", type=int, default=0, help="episodes played to their end")
    parser.add_argument("--noise-memory", type=float, help="as collected; the policy's own")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="keeps what is played, to go on with")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All of it, as JSON values."""
    started = time.perf_counter()
    subject = open_subject(given)
    samples, config = subject.samples, subject.config
    settings = asdict(config) | {"policy": policy_id(config.policy, given.noise_memory)}
    played = PlayedMoments(given.log, settings)
    replays = replay_some(subject, given.replays)
    near = strata(samples.labels[subject.replans], samples.failure_types)
    chosen = np.empty(0, np.int64)
    if given.states:
        chosen = sample_steps(near, given.states, config.seed)
    late = landmark_rows(subject, given.to_the_end)
    moments = [subject.moment(row) for row in subject.replans[chosen]]
    moments += [subject.moment(row, to_the_end=True) for row in late]
    held = sum(moment in played.fates for moment in moments)
    whole = play(config, moments, played, given.workers)
    asked = [moment for moment in moments if moment in played.fates]
    return {
        "benchmark": "knowable",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        **settings,
        "episodes": len(samples.records),
        "failures": int(episodes_of(samples).failed.sum()),
        "replays": replays,
        "asked": len(moments),
        "played": len(asked),
        "from_log": held,
        "interrupted": not whole,
        "not_reached": sum(played.fates[moment] is None for moment in asked),
        **(judge(subject, chosen, played) if given.states else {}),
        "to_the_end": judge_to_the_end(subject, late, played),
        "assumed": ASSUMED,
        "seconds": round(time.perf_counter() - started),
    }


def tell(result: dict[str, Any]) -> str:
    """The result for a reader."""
    replays = result["replays"]
    lines = [
        f"{result['store']}: {result['episodes']} episodes, {result['failures']} failures, "
        f"{result['env_id']}, {result['policy']}",
        f"{replays['repeat']} of {replays['episodes']} replayed episodes repeat to the step, "
        f"{replays['joints']} with all joints; the truth to the bit in "
        f"{replays['truth_to_the_bit']} of {replays['with_truth']} that have it",
        f"{result['played']} of {result['asked']} states played, {result['branches']} futures "
        f"each, {result['not_reached']} not reached",
    ]
    states = result.get("states", {}).items()
    lines += ["of " + ", ".join(f"{k} {v['played']}/{v['all']}" for k, v in states)] * bool(states)
    for name, found in result.get("observers", {}).items():
        lines.append(
            f"\nknows the {name}: best F1 {_told(found['best_f1'], 'f1')}, without "
            f"timeouts {_told(found['without_timeout'], 'f1')}"
        )
        lines.append(f"  {'':<16}{'base rate':>10}  {'AP (95 %)':<22}mean before it")
        for horizon, types in found["by_horizon_and_type"].items():
            for kind, one in types.items():
                mean = "-" if (m := one["mean_before_failure"]) is None else f"{m:.2f}"
                lines.append(
                    f"  {horizon} {kind:<10}{result['base_rate'][horizon][kind]:>10.4f}  "
                    f"{_told(one, 'average_precision'):<22}{mean} ({one['positives']})"
                )
    end = result["to_the_end"]
    for name in OBSERVERS if end else ():
        lines.append(
            f"\nto the end from step {end['step']}, knows the {name}: AUROC within task "
            f"{_told(end[name], 'auroc_within_task')} of {end['episodes']} episodes, "
            f"{end['failures']} failures; {end[name]['decided']:.0%} decided"
        )
    return "\n".join([*lines, "", *(f"assumed: {line}" for line in result["assumed"]), ""])


def _told(found: dict[str, Any], name: str) -> str:
    """A figure with its interval."""
    value, ends = found[name], found[f"{name}_interval"]
    told = "-" if value is None else f"{value:.3f}"
    return told if None in ends else f"{told} ({ends[0]:.2f} to {ends[1]:.2f})"


def main() -> None:
    """Measure and print."""
    given = parse()
    try:
        result = measure(given)
    except (SalusError, OSError) as error:
        sys.exit(f"knowable: {error}")
    sys.stdout.write(json.dumps(result, indent=1) + "\n" if given.json else tell(result))


if __name__ == "__main__":
    main()
