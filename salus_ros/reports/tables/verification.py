"""Tables of `salus info --verify`: what is wrong with a store."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from salus_ros.episodes.verify import Verification

SHOWN = 50
"""Problems in the table; --json has all of them."""


def verification_tables(found: Verification) -> Iterator[RenderableType]:
    """What is wrong, what could not be checked, and the verdict."""
    if found.problems:
        table = Table("array", "episode", "what is wrong")
        for problem in found.problems[:SHOWN]:
            episode = "" if problem.episode is None else str(problem.episode)
            table.add_row(problem.array, episode, Text(problem.what))
        yield table
        if len(found.problems) > SHOWN:
            yield f"and {len(found.problems) - SHOWN} more; --json shows all"
    if found.uncommitted_rows:
        yield (
            f"{found.uncommitted_rows} rows of an episode that is not committed: it is being "
            "recorded, or the next recording trims them"
        )
    if found.without_checksum:
        yield (
            f"{len(found.without_checksum)} arrays were written without checksums: a changed "
            "byte that still decodes goes unseen there"
        )
    verdict = f"{len(found.problems)} problems" if found.problems else "sound"
    yield f"{found.path}: {found.episodes} episodes of {found.steps} steps read, {verdict}"
