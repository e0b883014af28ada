"""Whether a policy and the episodes of a store go together, as far as their files tell.

What cannot be read from files (whether the policy succeeds) is not judged. Weights are not loaded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.optimize import linear_sum_assignment

from salus_ros.cli.machine import Check
from salus_ros.core.errors import PolicyError
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.cameras import in_words, match_cameras
from salus_ros.policies.checkpoint import IMAGE_PREFIX, PIPELINES, policy_cameras, read_json

Array = NDArray[np.float64]

STEPS_READ = 20_000
"""Steps of a store that are looked at, from its first."""

FAR = 5.0
"""Deviations of the policy's training from which a value is far outside of it."""

FAR_SHARE = 0.01
DEGREES = (30.0, 110.0)
"""Ratio of two spreads, about 180 / pi, that degrees beside radians have."""

CLEARLY = 3.0
"""How much better than the order that there is another one must fit, in deviations."""

FEATURES = {"state": "observation.state", "action": "action"}


def fit_checks(policy: Path, store: Path) -> list[Check]:
    """Compare cameras, sizes, normalisation, order of joints, rates and instructions.

    Args:
        policy: Folder of a LeRobot checkpoint.
        store: Episode store.

    Raises:
        SalusError: if one of them cannot be read.
    """
    config, reader = read_json(policy / "config.json"), StoreReader(store)
    statistics = _statistics(policy)
    checks = [_cameras(policy, config, reader), _rates(config, reader), _tasks(reader)]
    for column, feature in FEATURES.items():
        part = "output_features" if column == "action" else "input_features"
        size = (config.get(part) or {}).get(feature, {}).get("shape", [0])[0]
        given = reader.spec.state_dim if column == "state" else reader.spec.action_dim
        if size != given:
            found = f"the policy has {size} values, the store {given}"
            remedy = f"record the {column} that the policy was trained with"
            checks.append(Check(f"{column} size", "missing", found, remedy))
            continue
        values = reader.to_numpy([column], slice(0, min(reader.steps, STEPS_READ)))[column]
        names = reader.spec.state_names if column == "state" else reader.spec.action_names
        checks += _values(
            column, statistics.get(feature, {}), np.asarray(values, np.float64), names
        )
    return checks


def _cameras(policy: Path, config: dict[str, Any], reader: StoreReader) -> Check:
    spec = reader.spec
    if not spec.cameras:
        found = f"the store has no images; the policy takes {', '.join(policy_cameras(policy))}"
        return Check("cameras", "note", found, "record with cameras to compare them")
    try:
        matching = match_cameras(policy_cameras(policy), spec.cameras)
    except PolicyError as error:
        found, _, remedy = str(error).partition("; ")
        return Check("cameras", "missing", found, remedy)
    features = config.get("input_features") or {}
    sizes = {tuple(features[IMAGE_PREFIX + name]["shape"][1:]) for name in matching}
    if sizes != {spec.image_size}:
        trained = ", ".join(f"{h}x{w}" for h, w in sorted(sizes))
        height, width = spec.image_size
        found = f"{in_words(matching)}; trained on {trained}, recorded in {height}x{width}"
        return Check("cameras", "note", found, "a policy that does not resize refuses them")
    return Check("cameras", "ok", in_words(matching))


def _rates(config: dict[str, Any], reader: StoreReader) -> Check:
    rates = sorted({meta.rate_hz for meta in reader.episodes()})
    told = ", ".join(f"{rate:g}" for rate in rates)
    if len(rates) != 1:
        remedy = "a policy has one rate; keep episodes of different rates in different stores"
        return Check("rate", "note", f"episodes of {told or 'no'} Hz", remedy)
    chunk, executed = config.get("chunk_size"), config.get("n_action_steps")
    found = f"{told} Hz"
    if isinstance(chunk, int):
        found += f": a chunk of {chunk} actions is {chunk / rates[0]:.2g} s"
    if isinstance(executed, int):
        found += f", of which {executed / rates[0]:.2g} s are executed"
    remedy = "a checkpoint does not say its rate: compare with that of its training data"
    return Check("rate", "note", found, remedy)


def _tasks(reader: StoreReader) -> Check:
    tasks = sorted({meta.task for meta in reader.episodes()})
    if "" in tasks:
        remedy = "give task: the policy is told what to do in words"
        return Check("instructions", "note", "some episodes have none", remedy)
    return Check("instructions", "ok", "; ".join(tasks[:5]) + (" ..." if len(tasks) > 5 else ""))


def _statistics(policy: Path) -> dict[str, dict[str, Array]]:
    """Mean and deviation of each feature, as its normalisation knows them; empty: none."""
    found: dict[str, dict[str, Array]] = {}
    for pipeline in PIPELINES:
        for step in read_json(policy / pipeline).get("steps", []):
            file = policy / str(step.get("state_file", ""))
            if "normalizer" not in str(step.get("registry_name", "")) or not file.is_file():
                continue
            for key, value in load_file(file).items():
                feature, _, statistic = key.rpartition(".")
                found.setdefault(feature, {})[statistic] = np.asarray(value, np.float64)
    return found


def _values(
    column: str, known: dict[str, Array], values: Array, names: tuple[str, ...]
) -> Iterator[Check]:
    """Compare the values (N, D) with what the policy was trained on."""
    values = values[np.isfinite(values).all(axis=1)]
    if not {"mean", "std"} <= set(known) and {"min", "max"} <= set(known):
        middle, width = (known["min"] + known["max"]) / 2, known["max"] - known["min"]
        known = {"mean": middle, "std": width / 4}
    if not {"mean", "std"} <= set(known) or known["mean"].shape != values.shape[1:]:
        remedy = "nothing to compare with; `salus check policy` looks at the pipelines"
        yield Check(f"{column} normalisation", "note", "the policy has no statistics", remedy)
        return
    if not len(values):
        yield Check(f"{column} normalisation", "note", "no finite value in the store", "")
        return
    named = names if len(names) == values.shape[1] else tuple(map(str, range(values.shape[1])))
    mean, std = known["mean"], np.maximum(known["std"], 1e-6)
    spread = np.maximum(values.std(axis=0), 1e-6)
    yield _units(column, std / spread, (np.abs(values - mean) > FAR * std).mean(axis=0), named)
    order = _order(values.mean(axis=0), spread, mean, std)
    if order is not None:
        wanted = ", ".join(named[place] for place in order)
        found = f"the store has {', '.join(named)}; the policy's training looks like {wanted}"
        remedy = "compare with the training data; state_joints gives the order"
        yield Check(f"{column} order", "missing", found, remedy)
    else:
        yield Check(f"{column} order", "ok", ", ".join(named))


def _units(column: str, ratio: Array, far: Array, names: tuple[str, ...]) -> Check:
    name = f"{column} normalisation"
    for factor, told, meant in ((ratio, "radians", "degrees"), (1 / ratio, "degrees", "radians")):
        if DEGREES[0] < float(np.median(factor)) < DEGREES[1]:
            found = f"the spreads differ {np.median(factor):.0f} times: {told} in the store, "
            found += f"{meant} in the policy's training?"
            return Check(name, "missing", found, f"record {meant}, or convert on the way")
    outside = [f"{n} in {s:.0%}" for n, s in zip(names, far, strict=True) if s > FAR_SHARE]
    if outside:
        found = f"further than {FAR:g} deviations from the policy's training: {', '.join(outside)}"
        remedy = "steps that the policy has never seen; check units, signs and zero positions"
        return Check(name, "missing", found, remedy)
    return Check(name, "ok", f"within {FAR:g} deviations of the policy's training")


def _order(mean: Array, spread: Array, trained: Array, deviation: Array) -> list[int] | None:
    """Place of the store's column that is like each of the policy's, if not its own (D,).

    None where the order that there is fits about as well as the best one.
    """
    offset = np.abs(mean[:, None] - trained) / deviation  # (store, policy)
    cost = offset + np.abs(np.log(spread[:, None] / deviation))
    places, of = linear_sum_assignment(cost)
    best = np.empty(len(of), int)
    best[of] = places
    gained = np.trace(cost) - cost[places, of].sum()
    return best.tolist() if gained > CLEARLY and (best != np.arange(len(best))).any() else None
