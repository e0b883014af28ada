"""`salus convert`: bags that were recorded before become episodes."""

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from salus_ros.cli.progress import Advance, bar
from salus_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from salus_ros.bags.convert import Converter

EXIT_LEFT_OUT = 1

_FIGURES = {
    "messages": "messages",
    "rate_hz": "rate, Hz",
    "gaps": "gaps over two periods",
    "largest_gap_s": "largest gap, s",
    "age_p50_ms": "age p50, ms",
    "age_p95_ms": "age p95, ms",
    "age_max_ms": "age max, ms",
    "missing_ticks": "missing ticks",
    "out_of_order": "out of order",
    "duplicates": "duplicates",
    "unreadable": "unreadable",
}

out_console = Console()
err_console = Console(stderr=True)


def convert(
    bags: Annotated[
        list[Path],
        typer.Argument(
            metavar="BAG...", help="Folders of rosbag2, or their files.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the store, .zarr; appended to if it exists.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Mapping (YAML): which topic is what, and on which clock.")
    ] = None,
    scan: Annotated[
        bool,
        typer.Option("--scan", help="Only show what the bag holds, and propose a mapping for it."),
    ] = False,
    policy: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|tiny",
            help="LeRobot checkpoint that is run over images and state, for its signals; tiny is "
            "the one that ships with SALUS. [default: the signals of the bag, if any]",
            show_default=False,
        ),
    ] = "",
    num_samples: Annotated[int, typer.Option(min=1, help="With --policy: chunks per replan.")] = 4,
    replan_every: Annotated[
        int, typer.Option(min=1, help="With --policy: steps between replans.")
    ] = 3,
    device: Annotated[str, typer.Option(help="With --policy: torch device.")] = "cpu",
    workers: Annotated[
        int, typer.Option(min=1, help="Bags that are read at once, each by its own process.")
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Convert rosbag2 recordings (sqlite3, MCAP) into an episode store, without ROS.

    A step takes the last sample at or before its tick; one that is older than max_age_ms, or
    absent, is a gap: its age and values are NaN. An episode that the store has is not converted
    again. Exits with 1 when something could not be read; what it was is named.
    """
    if scan:
        _scan(bags, config, as_json)
        return
    if out is None or config is None:
        raise ConfigError(
            "--out and --config are needed; `salus convert BAG --scan --config mapping.yaml` "
            "writes a mapping to begin with"
        )
    from salus_ros.bags.convert import Converter
    from salus_ros.bags.mapping import Mapping
    from salus_ros.bags.reading import Bag

    mapping = Mapping.load(config)
    opened = [Bag(path) for path in bags]
    names = labels(bags)
    options = None
    if policy:
        from salus_ros.bags.policy import PolicyOptions
        from salus_ros.policies.tiny import SHIPPED

        folder = SHIPPED if policy == "tiny" else Path(policy)
        threads = 1 if workers > 1 else 0
        options = PolicyOptions(folder, num_samples, replan_every, device, threads)
    reports: list[dict[str, Any]] = []
    with Converter(mapping, out, options) as converter:
        if workers > 1 and len(opened) > 1:
            reports = _convert_together(converter, bags, names, workers, as_json)
        else:
            for given in opened:
                with given as bag:
                    total = bag.count(mapping.topics)
                    with _bar(bag.name, total, as_json) as advance:
                        reports.append(converter.convert(bag, advance or (lambda _: None)))
                        if advance is not None:
                            advance(total)
    if as_json:
        _write({"path": str(out), "bags": reports})
    else:
        for report in reports:
            _show(report, out)
    if any(report["problems"] for report in reports):
        raise typer.Exit(EXIT_LEFT_OUT)


def _convert_together(
    converter: "Converter",
    bags: list[Path],
    names: list[str],
    workers: int,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Convert bags in parallel; the bar counts bags, and says how far each is that is read."""
    reports: list[dict[str, Any]] = []
    shares: dict[str, str] = {}
    with _bar("bags", len(bags), as_json) as advance:

        def show(index: int, done: int, total: int) -> None:
            shares[names[index]] = f"{names[index]} {100 * done // max(total, 1)} %"
            if advance is not None:
                advance(len(reports), ", ".join(shares.values()))

        for report in converter.convert_together(bags, workers, show):
            shares.pop(names[len(reports)], None)
            reports.append(report)
            if advance is not None:
                advance(len(reports), ", ".join(shares.values()))
    return reports


def labels(bags: list[Path]) -> list[str]:
    """Names to show bags by: that of their folder, and of those above it where two are alike."""
    depth = 1
    while True:
        names = ["/".join(bag.resolve().parts[-depth:]) for bag in bags]
        if len(set(names)) == len(names) or depth > max(len(b.resolve().parts) for b in bags):
            return names
        depth += 1


def _bar(name: str, total: int, as_json: bool) -> AbstractContextManager[Advance | None]:
    return nullcontext() if as_json else bar(name, total, err_console)


def _scan(bags: list[Path], config: Path | None, as_json: bool) -> None:
    from salus_ros.bags.proposal import notes, propose, to_yaml
    from salus_ros.bags.reading import Bag
    from salus_ros.bags.scan import scan

    if len(bags) != 1:
        raise ConfigError(f"--scan looks at one bag; {len(bags)} are given")
    with Bag(bags[0]) as bag:
        topics = scan(bag)
        problems = list(bag.problems)
    mapping = propose(topics)
    said = notes(topics, mapping)
    text = to_yaml(mapping, said)
    written = config is not None and not config.exists()
    if config is not None and written:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(text)
    if as_json:
        _write(
            {
                "bag": bag.name,
                "topics": topics,
                "problems": problems,
                "mapping": mapping,
                "notes": said,
            }
        )
    else:
        out_console.print(_topics_table(topics))
        _show_problems(problems)
        if config is not None:  # else they stand in the text below
            for note in said:
                err_console.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
        if written:
            out_console.print(f"wrote {config}", soft_wrap=True, highlight=False)
        else:
            if config is not None:
                err_console.print(f"{config} exists and is left as it is", soft_wrap=True)
            out_console.print(f"a mapping to begin with:\n\n{text}", soft_wrap=True, markup=False)
    if problems:
        raise typer.Exit(EXIT_LEFT_OUT)


def _topics_table(topics: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("topic", "type", "messages", "Hz", "s", "largest gap s", "gaps > 2 periods"):
        table.add_column(name, overflow="fold")
    for topic in topics:
        known = topic["type"] if topic["known"] else f"{topic['type']} (no definition)"
        figures = (_figure(topic[name]) for name in ("rate_hz", "duration_s", "largest_gap_s"))
        table.add_row(topic["topic"], known, str(topic["messages"]), *figures, str(topic["gaps"]))
    return table


def _show(report: dict[str, Any], out: Path) -> None:
    streams = report["streams"]
    if not streams:  # its reader has died
        _show_problems(report["problems"])
        return
    table = Table("", *streams)
    for key, name in _FIGURES.items():
        table.add_row(name, *(_figure(stream[key]) for stream in streams.values()))
    out_console.print(table)
    known = report["known_episodes"]
    there = f"; {known} were there already" if known else ""
    out_console.print(
        f"{report['bag']}: wrote {report['episodes']} episodes of {report['steps']} steps to "
        f"{out}{there}",
        soft_wrap=True,
        highlight=False,
    )
    for note in report["notes"]:
        err_console.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
    _show_problems(report["problems"])


def _show_problems(problems: list[str]) -> None:
    for problem in problems:
        err_console.print(f"left out: {problem}", soft_wrap=True, highlight=False, markup=False)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _write(result: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(result, indent=2, allow_nan=False) + "\n")
