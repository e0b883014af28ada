"""`salus label`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from salus_ros.cli.output import AsJson, print_json, print_line
from salus_ros.core.errors import ConfigError


def label(
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Episode stores, folders.", show_default=False),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that have a label already.")
    ] = False,
    episode: Annotated[str | None, typer.Option(help="Only the episode of this id.")] = None,
    index: Annotated[
        int | None,
        typer.Option(help="Only this episode of the store, from 0; where several share an id."),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(help="Set it without a window: success, failure or unknown."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type", help="With a failure: drop, misplaced_release, collision, timeout or other."
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            help="With a failure: its step, from 0; the number of steps where it was seen only "
            "after the last one. Left out where it is not known: nothing can be learnt then."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how episodes ended: look at each in a window and press one key.

    It goes through those that have no known outcome, or failed at an unknown moment. Each answer
    is written at once; the same command goes on with those that are left.
    """
    from salus_ros.labelling.work import Labelling, parse_ending

    single = episode is not None or index is not None
    if outcome is None and not (kind is None and step is None):
        raise ConfigError("a type or a step needs an outcome; add --outcome failure")
    if outcome is not None and not single:
        raise ConfigError(
            "an outcome is set for one episode at a time; add --episode ID (or --index N)"
        )
    ending = None if outcome is None else parse_ending(outcome, kind, step)
    with Labelling(stores, everything=everything, episode=episode, index=index) as work:
        if ending is not None:
            work.answer(*ending)
        elif len(work):
            from salus_ros.labelling.window import show

            show(work)
        result = {
            "changed": [change.to_json() for change in work.changes],
            "asked": len(work),
            "episodes": sum(len(reader) for reader in work.readers),
            "unlabelled": work.unlabelled,
        }
        lines = [str(change) for change in work.changes]
    if as_json:
        print_json(result)
        return
    for line in [*lines, _left(result)]:
        print_line(line)


def _left(result: dict[str, Any]) -> str:
    if not result["episodes"]:
        return "there is no episode yet"
    if not result["asked"]:
        return "every episode has a label; --all goes through them nevertheless"
    if not result["unlabelled"]:
        return "every episode has a label now"
    return f"{result['unlabelled']} episodes have no label that can be learnt from"
