"""The primary tables of an evaluation, as text: for the terminal, for pages and for documents."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Values = Mapping[str, Any]

FORESEEN = (
    "`recall`: failures with an alarm 0.2 s before them or earlier, at the threshold that 5 % of "
    "these same successes exceed; it ranks detectors, and nobody could have set it. `sudden`: of "
    "drops, misplaced releases and collisions alone. `conformal`: at the threshold that was set "
    "beforehand, for 5 % unless another promise was asked for; `false`: successes that alarm "
    "there; `never`: too few successes to promise it by. `N/h`: sudden failures foreseen 0.2 to "
    "1.0 s before, at N false alarms an hour; an alarm is false where it begins and no failure "
    "follows within 1.0 s."
)
UNJUDGED = " `unjudged`: steps without a score; they are no quiet ones."
RUNNING = (
    "AUROC within tasks of the latest score, at a share of the time limit, among the episodes "
    "still running there: of those that will fail at all, and of those that will run out of time. "
    "Who says nothing by then is not ranked."
)
OUTPUTS = (
    "Average precision of each type within {horizon}; the base rate is what chance has. One score "
    "has to do for all types where a detector does not tell them apart."
)
SKILL = " In parentheses the skill, AP / limit; the limit is what who knows {observer} could reach"
RULES = (
    "`clock`: the step. `task_prior`: the failures of the task in training. `stuck`: how long the "
    "tool has stayed in a cube of 6 cm, or every joint within 0.15 rad where the state has no "
    "tool; `stuck, declared`: alarm after 1 s there."
)
DECLARED = "stuck, declared"

SHOWN_RUNNING = (
    *((target, share) for target in ("failure",) for share in ("10%", "25%", "50%", "75%")),
    ("no_progress", "25%"),
    ("no_progress", "50%"),
)
"""Columns of the table of those still running; the file of numbers has all moments."""


class Sheet(NamedTuple):
    """A table: what it is of, its columns, its rows of text, and what the columns mean."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(value: float | None, ends: Sequence[float | None]) -> str:
    """A number with its interval, where it has one."""
    if None in ends:
        return number(value)
    return f"{number(value)} ({number(ends[0])} to {number(ends[1])})"


def foreseen_sheet(detectors: Mapping[str, Values]) -> Sheet:
    """Failures foreseen, and events at rates of false alarms.

    Args:
        detectors: By name, what `evaluate_as_operator` returned; one at least, of the same
            episodes.
    """
    first = next(iter(detectors.values()))
    foreseen, rates = first["foreseen"], list(first["events"]["by_rate"])
    counts = foreseen["failures"]
    title = (
        f"foreseen: {counts['all']} failures, {counts['sudden']} of them sudden, "
        f"{foreseen['successes']} successes"
    )
    if foreseen["too_early"]:
        title += f"; {foreseen['too_early']} fail within 0.2 s and count as missed"
    head = ["detector", "recall (95 %)", "sudden", "conformal", "sudden", "false"]
    head += [f"{rate}/h" for rate in rates]
    all_judged = not any(found["unjudged"] for found in detectors.values())
    rows = []
    for name, found in detectors.items():
        chosen = found["foreseen"]["at_share"]
        set_before = found["foreseen"].get("conformal")
        events = found["events"]["by_rate"]
        rows.append(
            [
                name,
                with_interval(chosen["recall"]["all"], chosen["recall_interval"]["all"]),
                number(chosen["recall"]["sudden"]),
                *_beforehand(set_before),
                *(number(events[rate]["recall"]["sudden"]) for rate in rates),
                f"{found['unjudged'] / found['steps']:.0%}" if found["steps"] else "-",
            ]
        )
        if declared := found["foreseen"].get("declared"):
            blank = ["-"] * (len(rates) + 1)
            rows.append([DECLARED, "-", "-", *_beforehand(declared), *blank])
    if all_judged:
        return Sheet(title, head, [cells[:-1] for cells in rows], FORESEEN)
    return Sheet(title, [*head, "unjudged"], rows, FORESEEN + UNJUDGED)


def _beforehand(found: Values | None, kind: str = "all") -> list[str]:
    """Recall of a kind and of sudden failures, and false alarms, of a threshold set beforehand."""
    if found is None:
        return ["-"] * 3
    if found["never_sounds"]:
        return ["never"] * 3
    recall = found["recall"]
    return [number(recall[kind]), number(recall["sudden"]), number(found["alarmed"])]


def running_sheet(detectors: Mapping[str, Values]) -> Sheet:
    """Ranking of the episodes that are still running; arguments as `foreseen_sheet`."""
    first = next(iter(detectors.values()))["running"]
    counts = ", ".join(
        f"{first[target][share]['positives']} of {first[target][share]['running']}"
        for target, share in SHOWN_RUNNING
    )
    head = ["detector"] + [
        ("no progress " if target == "no_progress" else "fail ") + share.replace("%", " %")
        for target, share in SHOWN_RUNNING
    ]
    rows = []
    for name, found in detectors.items():
        parts = [found["running"][target][share] for target, share in SHOWN_RUNNING]
        rows.append(
            [
                name,
                *(
                    with_interval(part["auroc_within_task"], part["auroc_within_task_interval"])
                    if (target, share) == ("failure", "25%")
                    else number(part["auroc_within_task"])
                    for part, (target, share) in zip(parts, SHOWN_RUNNING, strict=True)
                ),
            ]
        )
    return Sheet(f"still running: {counts} end so", head, rows, RUNNING)


def outputs_sheet(
    detectors: Mapping[str, Values], limits: Values | None, horizon: str | None = None
) -> Sheet:
    """Precision of each type beside base rate and limit.

    Args:
        detectors: By name, what `precision_by_output` returned, with limits where they are given;
            one at least.
        limits: Where they come from; None for no limits.
        horizon: Which one, as "0.5 s"; the longest by default.
    """
    first = next(iter(detectors.values()))
    horizon = list(first)[-1] if horizon is None else horizon
    types = list(first[horizon])
    note = OUTPUTS.format(horizon=horizon)
    rows = [["base rate", *(number(first[horizon][kind]["base_rate"], 3) for kind in types)]]
    if limits is not None:
        rows.append(["limit", *(number(first[horizon][kind]["limit"]) for kind in types)])
        note += SKILL.format(observer=limits["observer"])
        note += f", measured on {limits['store']} ({limits['world']})."
    for name, found in detectors.items():
        rows.append([name, *(_precision(found[horizon][kind]) for kind in types)])
    return Sheet(f"average precision within {horizon}", ["detector", *types], rows, note)


def _precision(one: Values) -> str:
    skill = one.get("skill")
    return number(one["average_precision"]) + ("" if skill is None else f" ({skill:.2f})")


def horizons_sheet(outputs: Mapping[str, Values], limits: Values | None) -> Sheet:
    """Precision of one detector's outputs by horizon and type; arguments as `outputs_sheet`."""
    types = list(next(iter(outputs.values())))
    rows = []
    for horizon, found in outputs.items():
        cells = [
            " / ".join(
                [
                    _precision(one),
                    number(one["base_rate"], 3),
                    *([] if limits is None else [number(one["limit"])]),
                ]
            )
            for one in found.values()
        ]
        rows.append([horizon, *cells])
    told = "AP / base rate" if limits is None else "AP (skill) / base rate / limit"
    return Sheet(f"every output: {told}", ["within", *types], rows, "")


def kinds_sheet(found: Values) -> Sheet:
    """What one detector foresees of each kind; `found` as `evaluate_as_operator` returned it."""
    rates = list(found["events"]["by_rate"])
    head = ["kind", "failures", "recall (95 %)", "conformal", *(f"{rate}/h" for rate in rates)]
    head += [f"own {rate}/h" for rate in rates]
    chosen, before = found["foreseen"]["at_share"], found["foreseen"].get("conformal")
    rows = []
    for kind, failures in found["foreseen"]["failures"].items():
        events, own = found["events"]["by_rate"], found["events"]["by_own_output"].get(kind)
        rows.append(
            [
                kind,
                str(failures),
                with_interval(chosen["recall"][kind], chosen["recall_interval"][kind]),
                _beforehand(before, kind)[0],
                *(number(events[rate]["recall"].get(kind)) for rate in rates),
                *(number(own[rate]["recall"][kind]) if own else "-" for rate in rates),
            ]
        )
    note = "`own N/h`: by the score of the type that the kind counts as, in place of the risk."
    return Sheet("foreseen, by kind", head, rows, note)


def evaluation_sheets(operator: Values) -> list[Sheet]:
    """The primary tables of `salus evaluate`, of `beside_rules`."""
    detectors, limits = operator["detectors"], operator.get("limits")
    outputs = {name: found["outputs"] for name, found in detectors.items()}
    predictor = next(iter(detectors.values()))  # the first one
    return [
        foreseen_sheet(detectors),
        kinds_sheet(predictor),
        running_sheet(detectors),
        outputs_sheet(outputs, limits),
        horizons_sheet(predictor["outputs"], limits),
    ]


def benchmark_sheets(results: Values, part: str = "test") -> list[Sheet]:
    """The primary tables of `salus benchmark`, of the part "test" or "held_out"."""
    detectors = {
        name: found[part]["operator"]
        for name, found in results["detectors"].items()
        if part in found
    }
    if not detectors:
        return []
    sheets = [foreseen_sheet(detectors), running_sheet(detectors)]
    if part != "test":
        return sheets
    outputs = {name: found["outputs"] for name, found in results["detectors"].items()}
    limits = results.get("limits")
    sheets.append(outputs_sheet(outputs, limits))
    if (reference := results["reference"]) is not None:
        sheet = horizons_sheet(outputs[reference], limits)
        sheets.append(sheet._replace(title=f"{reference}, {sheet.title}"))
    return sheets
