"""The page of a manifold: its map, and what its distance tells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salus_ros.core.errors import ConfigError
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.reports.figures.manifold import save_map
from salus_ros.reports.numbers.manifold import Measured
from salus_ros.reports.pages.rendering import write_numbers, write_page
from salus_ros.reports.tables.manifold import auroc_text

NUMBERS_NAME = "manifold.json"
"""Every number of the page, beside it."""


def write_manifold_page(manifolds: Mapping[str, Manifold], measured: Measured, out: Path) -> Path:
    """Write `index.html`, which needs no other file, and beside it its maps and numbers.

    Args:
        manifolds: By their names.
        measured: Of them.
        out: Folder to write to; made if it is not there.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: if `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        maps: list[dict[str, Any]] = []
        for number, (name, one) in enumerate(manifolds.items()):
            picture = f"map_{number}"
            share = save_map(
                one,
                measured.samples,
                measured.embeddings[number],
                measured.groups,
                out / f"{picture}.png",
            )
            inputs = ", ".join(one.settings.inputs)
            maps.append({"name": name, "inputs": inputs, "picture": picture, "share": share})
        write_numbers(measured.figures, out / NUMBERS_NAME)
        values = {
            "title": "Manifold of successes",
            "head": "manifold/head.html",
            "sections": [
                {"title": "Map", "template": "manifold/map.html"},
                {"title": "What the distance tells", "template": "manifold/distance.html"},
            ],
            "figures": measured.figures,
            "maps": maps,
            "auroc_text": auroc_text,
        }
        return write_page("page.html", out, [one["picture"] for one in maps], values)
    except OSError as error:
        raise ConfigError(f"cannot write the page to '{out}': {error.strerror}") from error
