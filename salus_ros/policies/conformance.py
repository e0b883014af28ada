"""Whether a policy's checkpoint and its tap keep the contract, tried on the policy itself.

The checks run the policy on made-up observations of the sizes in its configuration; what it does
there is of no meaning, but that it does the same again is.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from salus_ros.core.errors import SalusError
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.checkpoint import IMAGE_PREFIX, PIPELINES, check_files, read_json
from salus_ros.policies.following import PolicyStep
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tap import Observation

TOLERANCE = 1e-3
"""Largest difference of two chunks that are the same but for rounding, in normalised units."""

STEPS, REPEATS = 4, 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was checked.
        passed: Whether it holds; None for what is only measured.
        detail: What was found, and where it does not hold what to do.
    """

    check: str
    passed: bool | None
    detail: str


def check_policy(folder: Path, device: str = "cpu", num_samples: int = 4) -> list[Finding]:
    """Try a policy.

    Args:
        folder: A LeRobot checkpoint.
        device: Torch device.
        num_samples: K.

    Returns:
        What was found. Where the policy cannot be loaded that is one finding, and the last.
    """
    try:
        check_files(folder)
        runner = PolicyRunner(folder, device, num_samples, replan_every=1)
    except SalusError as error:
        return [Finding("loads", False, str(error))]
    given = list(made_up(folder, runner))
    spec = runner._spec
    missing = "; ".join(f"no {name}: {reason}" for name, reason in runner.unavailable.items())
    about = (
        f"cameras {', '.join(spec.cameras)}; state {spec.state_dim}, action {spec.action_dim}, "
        f"{spec.executed} of {spec.plan_length} steps executed, K = {runner.num_samples}"
    )
    return [
        Finding("loads", True, about),
        Finding("signals", None, missing or "all twelve"),
        *_normalisation(folder),
        _played(runner, given),
        _repeats(runner, given),
        _is_causal(runner, given),
        _is_own(runner, given),
        _cost(runner, given),
    ]


def made_up(folder: Path, runner: PolicyRunner) -> Iterator[Observation]:
    """Observations of the sizes in a policy's configuration."""
    features = read_json(folder / "config.json").get("input_features") or {}
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        images = {}
        for name in runner.cameras:
            shape = features.get(IMAGE_PREFIX + name, {}).get("shape", (3, 256, 256))
            images[name] = rng.integers(0, 256, (*shape[1:], 3), dtype=np.uint8)
        state = rng.standard_normal(runner.state_dim).astype(np.float32)
        yield Observation(images, state, "pick up the cube", step)


def _play(runner: PolicyRunner, given: Sequence[Observation], seed: int = 0) -> list[PolicyStep]:
    runner.reset(seed)
    return [runner.step(one.images, one.state, one.task, one.step) for one in given]


def _normalisation(folder: Path) -> list[Finding]:
    """Whether state and actions, and images where they are to be, have statistics."""
    from safetensors.numpy import load_file

    findings = []
    for file, step_name, what in (
        (PIPELINES[0], "normalizer_processor", ("STATE", "VISUAL")),
        (PIPELINES[1], "unnormalizer_processor", ("ACTION",)),
    ):
        check = f"normalisation ({', '.join(what).lower()})"
        steps = read_json(folder / file).get("steps", [])
        found = next((s for s in steps if step_name in s.get("registry_name", "")), None)
        if found is None:
            names = ", ".join(str(step.get("registry_name")) for step in steps) or "none"
            detail = (
                f"no {step_name} in {file} (its steps: {names}); a policy that is given raw "
                "values acts wrongly, unless it normalises by a step of its own"
            )
            findings.append(Finding(check, None if steps else False, detail))
            continue
        config = found.get("config", {})
        state = found.get("state_file")
        stored = load_file(folder / state) if state and (folder / state).is_file() else {}
        lacking, identity = [], []
        for key, feature in config.get("features", {}).items():
            mode = config.get("norm_map", {}).get(feature.get("type"), "IDENTITY")
            if feature.get("type") not in what or mode == "IDENTITY" or "empty_camera" in key:
                continue
            values = {
                name.rpartition(".")[2]: v
                for name, v in stored.items()
                if name.startswith(f"{key}.")
            }
            needed = {"MEAN_STD": ("mean", "std"), "MIN_MAX": ("min", "max")}.get(mode, ())
            if not values or any(name not in values for name in needed):
                lacking.append(key)
            elif mode == "MEAN_STD" and (values["mean"] == 0).all() and (values["std"] == 1).all():
                identity.append(key)
        detail = "statistics are there"
        if lacking:
            detail = (
                f"no statistics of {', '.join(lacking)} in {state or file}: they pass as they "
                "are; save the processors that make_pre_post_processors makes with the data "
                "set's stats"
            )
        elif identity:
            detail = f"mean 0 and deviation 1 for {', '.join(identity)}: nothing is normalised"
        findings.append(Finding(check, not lacking and not identity, detail))
    return findings


def _played(runner: PolicyRunner, given: Sequence[Observation]) -> Finding:
    """The answers have the sizes that the tap says, and the signals that it does not deny."""
    spec, steps = runner._spec, _play(runner, given)
    shapes: dict[str, tuple[Any, Any]] = {
        "chunks": (steps[-1].plans.shape, (runner.num_samples, spec.plan_length, spec.action_dim)),
        "hidden state": (steps[-1].embedding.shape, (spec.embedding_dim,)),
        "visual embedding": (
            steps[-1].visual_embedding.shape[1:],
            (spec.visual_dim,),
        ),
        "expert embedding": (steps[-1].expert_embedding.shape, (spec.expert_dim,)),
    }
    wrong = [f"{what} {a}, said {b}" for what, (a, b) in shapes.items() if tuple(a) != tuple(b)]
    if not all(np.isfinite(step.plans).all() for step in steps):
        wrong.append("an action is not finite")
    valid = dict(zip(SIGNAL_NAMES, steps[-1].valid, strict=True))
    denied = runner.unavailable
    wrong += [f"{name} never comes" for name, v in valid.items() if not v and name not in denied]
    wrong += [f"{name} comes, though denied" for name, v in valid.items() if v and name in denied]
    return Finding("sizes and signals are as said", not wrong, "; ".join(wrong) or "they are")


def _repeats(runner: PolicyRunner, given: Sequence[Observation]) -> Finding:
    first = _play(runner, given)
    torch.randn(7)  # what others draw must not show
    apart = _apart(first, _play(runner, given))
    detail = "the same from the same seed" if not apart else f"{apart} differ from the same seed"
    if not apart and runner.num_samples > 1:
        other = _play(runner, given, seed=1)
        if not _apart(first, other):
            return Finding("determinism", False, "another seed gives the same K chunks")
    return Finding("determinism", not apart, detail)


def _is_causal(runner: PolicyRunner, given: Sequence[Observation]) -> Finding:
    half = STEPS // 2
    changed = [
        *given[:half],
        *(Observation(o.images, -2 * o.state, o.task, o.step) for o in given[half:]),
    ]
    apart = _apart(_play(runner, given)[:half], _play(runner, changed)[:half])
    detail = f"{apart} change with what comes later; the tap keeps something between calls"
    return Finding("causality", not apart, detail if apart else "the past does not change")


def _apart(one: Sequence[PolicyStep], other: Sequence[PolicyStep]) -> str:
    """What differs of two runs of an episode."""
    names = (
        *("action", "plans", "signals", "further"),
        *("embedding", "visual_embedding", "expert_embedding"),
    )
    return ", ".join(
        name
        for name in names
        if not all(
            np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True)
            for a, b in zip(one, other, strict=True)
        )
    )


def _drawn(runner: PolicyRunner, step: int) -> torch.Tensor | None:
    if runner._spec.noise_shape is None:
        return None
    return torch.from_numpy(runner._noise(step)).to(runner._device)


def _is_own(runner: PolicyRunner, given: Sequence[Observation]) -> Finding:
    """The executed chunk is that of the policy's own library, in normalised units."""
    tap, check = runner._tap, "equal to LeRobot's own call"
    runner.reset(0)
    largest, length = 0.0, 0
    for one in given:
        runner._see(one)
        past, noise, seed = runner._past(), _drawn(runner, one.step), runner._drawn(one.step)
        ours = tap.sample(
            [past], None if noise is None else noise[None], [seed], runner.num_samples
        )[0].chunks[0]
        own = tap.own_chunk(past, noise, seed)
        length = len(own)
        largest = max(largest, float((ours[:length] - own).abs().max()))
    detail = (
        f"largest difference {largest:.2g} in {length} steps of a chunk, allowed {TOLERANCE:g}"
    )
    return Finding(check, largest <= TOLERANCE, detail)


def replan_cost(
    runner: PolicyRunner, given: Observation, repeats: int = REPEATS
) -> tuple[float, float]:
    """Median ms of a replan with its signals, and of the policy's own call for one chunk, in turn.

    Args:
        runner: The policy; its episode is begun anew.
        given: What it is given.
        repeats: Calls of each.
    """
    tap, noise, past = runner._tap, _drawn(runner, 0), [given] * runner.observation_steps

    def own() -> None:
        tap.actions(tap.own_chunk(past, noise, 0)[None])

    def ours() -> None:
        runner.reset(0)
        runner.step(given.images, given.state, given.task, 0)

    times: dict[Callable[[], None], list[float]] = {own: [], ours: []}
    for _ in range(repeats):
        for call, taken in times.items():
            started = time.perf_counter()
            call()
            if str(runner._device).startswith("cuda"):
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - started)
    alone, tapped = (1e3 * statistics.median(taken) for taken in times.values())
    return tapped, alone


def _cost(runner: PolicyRunner, given: Sequence[Observation]) -> Finding:
    tapped, alone = replan_cost(runner, given[0])
    detail = (
        f"{tapped:.0f} ms with K = {runner.num_samples} and signals, {alone:.0f} ms for one chunk "
        f"of its own: {tapped / alone:.2f} times"
    )
    return Finding("cost", None, detail)
