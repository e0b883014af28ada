"""Tables of `salus adapt`: what the alarm promises, what it did, and what a better one takes."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType

from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.reports.sentences import left_out_lines
from salus_ros.reports.tables.layout import new_table


def adapt_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of the values of `salus adapt`."""
    dealt = ", ".join(f"{count} {name}" for name, count in found["episodes"].items())
    table = new_table(f"{found['model']}: what its alarm is worth", "", "")
    table.add_row("episodes", dealt)
    for name, value in (*_promised(found["promise"]), *_tested(found["tested"])):
        table.add_row(name, value)
    yield table
    yield from left_out_lines(found)


def _promised(promise: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    alpha, successes = promise["alpha"], promise["successes"]
    if promise["promised"]:
        low, high = promise["interval"]
        yield (
            "promised",
            f"at most {alpha:.0%} of successful episodes alarm, on average over what {successes} "
            f"successes set the threshold; this one's share: {low:.1%} to {high:.1%} (95 %)",
        )
    else:
        yield (
            "promised",
            f"nothing at {alpha:.0%}: {successes} successes set the threshold, so nothing alarms; "
            f"they can promise {promise['least_alpha']:.1%} (--alpha)",
        )
        yield (
            "for the promise",
            f"{promise['needed']} successful episodes in all, {promise['more']} more",
        )
    yield "it holds for", "episodes like these: robot, cameras, task and policy"


def _tested(tested: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the alarm did in the test part."""
    failures = tested["failures"]
    successes = tested["episodes"] - failures
    alarm = tested["alarm"]
    if alarm is None:
        yield "tested", tested["undefined"]["alarm"]
        return
    for name, share, total in (
        ("failures foreseen", alarm["detection_rate"], failures),
        ("successes that alarmed", alarm["false_alarm_share"], successes),
    ):
        if share is None:
            yield name, "none to test on"
            continue
        hits = round(share * total)
        low, high = wilson_interval(hits, total)
        yield name, f"{hits} of {total} in the test part (95 %: {low:.0%} to {high:.0%})"
    lead = alarm["lead_s"]["median"]
    yield "median lead", "nothing was foreseen" if lead is None else f"{lead:.2f} s"
