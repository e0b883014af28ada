"""What the policy plans and sees, as the columns of a store."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError
from salus_ros.episodes import StoreSpec
from salus_ros.episodes.layout import data_arrays
from salus_ros.messages.signals import SignalsRow
from salus_ros.recording.rows import SIGNALS, Refused, Row

if TYPE_CHECKING:
    from salus_ros.policies.following import PolicyStep

PLAN, STEP, SAMPLES = "plan", "plan_step", "plan_samples"
VISUAL, EXPERT, FURTHER = "visual_embedding", "expert_embedding", "further_signals"
COLUMNS = (PLAN, STEP, SAMPLES, VISUAL, EXPERT)


def signals_row(
    answer: "PolicyStep",
    cameras: Sequence[str],
    further: Sequence[str] = (),
    *,
    samples: bool = False,
) -> SignalsRow:
    """What a policy says of a step, as `read_signals` reads it of its message.

    Args:
        answer: Of the policy.
        cameras: Its names of its cameras.
        further: Its names of its signals beyond the twelve.
        samples: Whether all sampled plans are kept.
    """
    with np.errstate(over="ignore"):
        plans = answer.plans.astype(np.float16)
    return SignalsRow(
        answer.signals,
        answer.valid,
        answer.fresh,
        answer.embedding,
        answer.chunk_statistics,
        plan=plans[0] if plans.size else None,
        plan_samples=plans if samples and plans.size else None,
        visual_embedding=answer.visual_embedding if answer.visual_embedding.size else None,
        expert_embedding=answer.expert_embedding if answer.expert_embedding.size else None,
        plan_step=answer.plan_step,
        visual_cameras=tuple(cameras),
        further=answer.further if answer.further.size else None,
        further_names=tuple(further),
    )


def policy_sizes(rows: Sequence[Row], action_dim: int) -> dict[str, Any]:
    """Sizes of a new store: those of the first samples that are sound.

    Args:
        rows: The first rows.
        action_dim: Values of an action, which those of a plan have too.
    """
    said: list[SignalsRow] = [s for row in rows if (s := row.samples.get(SIGNALS)) is not None]
    plan = next(_sound(said, PLAN, lambda p: p.ndim == 2 and p.shape[1] == action_dim), None)
    visual = next(_sound(said, VISUAL, lambda v: v.ndim == 2), None)
    expert = next(_sound(said, EXPERT, lambda v: v.ndim == 1), None)
    further = next((one.further_names for one in said if one.further is not None), ())
    sizes: dict[str, Any] = {"further_signals": further} if further else {}
    if plan is not None:
        shape = plan.plan.shape
        of_samples = _sound(said, SAMPLES, lambda p: p.shape[1:] == shape)
        samples = next((one.plan_samples for one in of_samples), ())
        sizes |= {"plan_length": shape[0], "plan_samples": len(samples)}
    if visual is not None:
        dim = visual.visual_embedding.shape[1]
        sizes |= {"visual_cameras": visual.visual_cameras, "visual_dim": dim}
    if expert is not None:
        sizes["expert_dim"] = expert.expert_embedding.size
    return sizes


def policy_columns(rows: Sequence[Row], spec: StoreSpec, refused: Refused) -> dict[str, Any]:
    """Columns of the store that the rows' signals fill, by name; NaN where they do not.

    What does not fit the store, or is not finite, is refused by itself: the rest of its message
    is used.

    Args:
        rows: The rows.
        spec: Sizes of the store.
        refused: Told the column and the reason.
    """
    layouts = {name: one for name, one in data_arrays(spec).items() if name in COLUMNS}
    columns = {
        name: np.full((len(rows), *one.row_shape), np.nan, one.dtype)
        for name, one in layouts.items()
    }
    for t, row in enumerate(rows):
        said: SignalsRow | None = row.samples.get(SIGNALS)
        for names in ((PLAN, STEP, SAMPLES), (VISUAL,), (EXPERT,)):
            if said is None or names[0] not in columns or getattr(said, names[0]) is None:
                continue
            try:
                taken = {
                    name: _checked(said, name, spec, columns[name].shape[1:])
                    for name in names
                    if name in columns
                }
            except ObservationError as error:
                refused(names[0], error)
                continue
            for name, values in taken.items():
                columns[name][t] = values
    if spec.further_signals:
        columns[FURTHER] = _further(rows, spec, refused)
    return columns


def _further(rows: Sequence[Row], spec: StoreSpec, refused: Refused) -> NDArray[np.float32]:
    """Signals beyond the twelve (T, F); NaN where one does not exist."""
    names = spec.further_signals
    values = np.full((len(rows), len(names)), np.nan, np.float32)
    for t, row in enumerate(rows):
        said: SignalsRow | None = row.samples.get(SIGNALS)
        if said is None or said.further is None:
            continue
        if said.further_names != names:
            error = ObservationError(
                f"its further signals are {list(said.further_names)}, the store takes "
                f"{list(names)}; record into another store",
                "further signals that are not the store's",
            )
            refused(FURTHER, error)
            continue
        values[t] = said.further
    return values


def _checked(said: SignalsRow, name: str, spec: StoreSpec, shape: tuple[int, ...]) -> Any:
    values = getattr(said, name)
    if values is None:
        return np.nan  # of samples alone, which need not be published
    if name == STEP and not 0 <= values < spec.plan_length:
        raise ObservationError(
            f"it is at action {values} of a plan of {spec.plan_length}, counted from 0",
            "an action that its plan does not have",
        )
    if np.shape(values) != shape:
        raise ObservationError(
            f"{name} is {np.shape(values)}, the store takes {shape}; record into another store",
            f"{name} of another shape than the store's",
        )
    if name == VISUAL and said.visual_cameras != spec.visual_cameras:
        raise ObservationError(
            f"{name} is of the cameras {list(said.visual_cameras)}, the store takes "
            f"{list(spec.visual_cameras)}; record into another store",
            f"{name} of other cameras than the store's",
        )
    if not np.isfinite(values).all():
        raise ObservationError(
            f"{name} has values that are not finite, or beyond the {np.finfo(np.float16).max:g} "
            "that float16 holds",
            f"{name} that is not finite in float16",
        )
    return values


def _sound(
    said: Sequence[SignalsRow], name: str, fits: Callable[[NDArray[np.float16]], bool]
) -> Iterator[Any]:
    """Samples that have an array of a form, all of it finite."""
    for one in said:
        values = getattr(one, name)
        if values is not None and fits(values) and np.isfinite(values).all():
            yield one
