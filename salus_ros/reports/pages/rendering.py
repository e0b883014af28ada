"""Pages from templates: one HTML file that needs no other, not even an image.

The templates are in `reports/templates`. Whatever they are given is escaped, so that a task or
an id that looks like HTML is shown and not obeyed.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from salus_ros import __version__
from salus_ros.reports.figures.colours import ENDING_COLOURS, FAINT, INK
from salus_ros.reports.numbers.recordings import name_or_absence

PAGE_NAME = "index.html"


def write_page(
    template: str, out: Path, figures: Iterable[str], values: Mapping[str, Any]
) -> Path:
    """Fill a template and write it as `index.html`.

    Args:
        template: Its name in `reports/templates`.
        out: Folder of the page.
        figures: Names of the PNG or JPEG files there that the page shows, without their suffix.
        values: What the template asks for.

    Returns:
        Path of the page.

    """
    page = out / PAGE_NAME
    pictures = {name: _data_address(out / name) for name in figures}
    text = _environment().get_template(template).render(values, pictures=pictures)
    page.write_text(text + "\n")
    return page


def write_numbers(numbers: Mapping[str, Any], path: Path) -> None:
    """Write every number of a page beside it; NaN and infinity are no JSON and refused."""
    path.write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n")


def number(value: Any) -> str:
    """A value as a page shows it: None as "-", a float to three digits, thousands apart."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:,}".replace(",", "\u202f") if type(value) is int else str(value)


def three(value: float | None) -> str:
    """A value to three decimals; None as "-"."""
    return "-" if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """A share as a percentage: whole zeros and ones without decimals, else with one."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share in (0.0, 1.0) else f"{100 * share:.1f} %"


def interval(found: Mapping[str, Any]) -> str:
    """The interval of a share in percent; "-" without one."""
    if found["low"] is None:
        return "-"
    return f"{100 * found['low']:.1f} to {100 * found['high']:.1f} %"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("salus_ros.reports"),
        autoescape=True,
        undefined=StrictUndefined,  # a number that is missing is an error, not an empty cell
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "three": three,
        "percent": percent,
        "interval": interval,
        "named": name_or_absence,
    }
    environment.globals |= {
        "version": __version__,
        "colours": ENDING_COLOURS,
        "ink": INK,
        "faint": FAINT,
    }
    return environment


def _data_address(stem: Path) -> str:
    jpeg = stem.with_name(f"{stem.name}.jpg")
    kind, file = ("jpeg", jpeg) if jpeg.exists() else ("png", stem.with_name(f"{stem.name}.png"))
    return f"data:image/{kind};base64," + base64.b64encode(file.read_bytes()).decode()
