"""The HTML of a report: one file that needs no other, not even an image."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salus_ros import __version__
from salus_ros.reports.colours import ENDING_COLOURS, FAINT, INK

STYLE = f"""
:root {{ color-scheme: light; }}
body {{ font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: {INK}; margin: 0 auto;
       max-width: 1120px; padding: 2rem 1.25rem 4rem; background: #fff; }}
h1 {{ font-size: 1.7rem; margin: 0 0 .2rem; }}
h2 {{ font-size: 1.25rem; margin: 3rem 0 .4rem; padding-top: .8rem;
     border-top: 1px solid #e5e7eb; }}
h3 {{ font-size: 1rem; margin: 1.4rem 0 .3rem; }}
p {{ max-width: 52rem; margin: .4rem 0 .8rem; }}
.note, figcaption, footer {{ color: {FAINT}; font-size: .9rem; }}
.note b {{ color: {INK}; }}
nav {{ margin: 1rem 0; font-size: .9rem; }} nav a {{ margin-right: 1.1rem; color: #0b5394;
     white-space: nowrap; display: inline-block; }}
.tiles {{ display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.2rem 0; }}
.tile {{ background: #f6f7f9; border-radius: 8px; padding: .7rem 1rem; min-width: 7.5rem; }}
.tile b {{ display: block; font-size: 1.5rem; line-height: 1.25; }}
.tile span {{ color: {FAINT}; font-size: .85rem; }}
figure {{ margin: 1rem 0; }} img {{ max-width: 100%; height: auto; display: block; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .88rem; margin: .5rem 0 1rem;
        font-variant-numeric: tabular-nums; }}
td, th {{ padding: .28rem .8rem .28rem 0; text-align: right; border-bottom: 1px solid #e5e7eb;
         vertical-align: top; white-space: nowrap; }}
td:first-child, th:first-child {{ text-align: left; }}
td.text {{ text-align: left; white-space: normal; }}
th {{ font-weight: 600; color: {FAINT}; }}
td small {{ color: {FAINT}; display: block; font-size: .76rem; }}
tr.group td {{ color: {FAINT}; padding-top: .9rem; }}
b.bad {{ color: #b3261e; }}
i.dot {{ display: inline-block; width: .65rem; height: .65rem; border-radius: 50%;
        margin-right: .35rem; }}
details summary {{ cursor: pointer; color: #0b5394; font-size: .9rem; }}
"""


class Markup(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


def escape(text: str) -> str:
    """Plain text as HTML."""
    return html.escape(text)


def page(title: str, head: Sequence[str], sections: Sequence[tuple[str, str]]) -> str:
    """The whole file: a head, links to the sections, and the sections (title, HTML)."""
    links = "".join(
        f'<a href="#s{place}">{html.escape(name)}</a>'
        for place, (name, _) in enumerate(sections, 1)
    )
    body = "\n".join(
        f'<section id="s{place}"><h2>{html.escape(name)}</h2>\n{content}</section>'
        for place, (name, content) in enumerate(sections, 1)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{join(*head)}\n<nav>{links}</nav>\n{body}\n"
        f"<footer><p>salus_ros {__version__}</p></footer></body></html>\n"
    )


def join(*parts: str | None) -> str:
    """The parts that are there, each on a line."""
    return "\n".join(part for part in parts if part)


def note(*sentences: str | None) -> str:
    """A paragraph that says how to read something, or what is missing; `Markup` stays as it is."""
    text = " ".join(_escaped(sentence) for sentence in sentences if sentence)
    return f'<p class="note">{text}</p>' if text else ""


def image(file: Path, says: str) -> str:
    """A PNG file, inside the page."""
    data = base64.b64encode(file.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(says, quote=True)}">'
        "</figure>"
    )


def tiles(values: Mapping[str, str]) -> str:
    """Figures at a glance: what stands under each, and the figure."""
    inner = "".join(
        f'<div class="tile"><b>{_escaped(value)}</b><span>{html.escape(name)}</span></div>'
        for name, value in values.items()
    )
    return f'<div class="tiles">{inner}</div>'


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table; None is shown as "-", numbers to three digits, `Markup` as it is.

    A row of one cell is the title of those below it.
    """
    head = "".join(f"<th>{_escaped(name)}</th>" for name in header)
    body = "".join(
        f"<tr>{''.join(_cell(value) for value in row)}</tr>"
        if len(row) > 1
        else f'<tr class="group"><td colspan="{len(header)}">{_escaped(row[0])}</td></tr>'
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if header else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def details(summary: str, *parts: str) -> str:
    """Something for a second look, folded away."""
    return f"<details><summary>{html.escape(summary)}</summary>{join(*parts)}</details>"


def dot(ending: str) -> Markup:
    """An ending beside its colour."""
    colour = ENDING_COLOURS[ending]
    return Markup(f'<i class="dot" style="background:{colour}"></i>{html.escape(ending)}')


def percent(value: float | None) -> Markup:
    """A share as a percentage: whole zeros and ones without decimals, else with one."""
    if value is None:
        return Markup("-")
    return Markup(f"{100 * value:.0f} %" if value in (0.0, 1.0) else f"{100 * value:.1f} %")


def interval(found: Mapping[str, Any]) -> str:
    """The interval of a share in percent; empty without one."""
    if found["low"] is None:
        return ""
    return f"{100 * found['low']:.1f} to {100 * found['high']:.1f} %"


def share_cell(found: Mapping[str, Any]) -> Markup:
    """A count, with its share and interval below it; "-" of nothing."""
    if found["share"] is None:
        return Markup("-")
    return below(str(found["count"]), percent(found["share"]), f"[{interval(found)}]")


def below(value: str, *lines: str) -> Markup:
    """A value, with smaller lines under it."""
    small = "".join(f"<small>{html.escape(line)}</small>" for line in lines if line)
    return Markup(f"{html.escape(value)}{small}")


def bad(text: str) -> Markup:
    """Something that a reader must not miss."""
    return Markup(f'<b class="bad">{html.escape(text)}</b>')


def _cell(value: Any) -> str:
    kind = ' class="text"' if isinstance(value, str) and not isinstance(value, Markup) else ""
    return f"<td{kind}>{_escaped(value)}</td>"


def _escaped(value: Any) -> str:
    if isinstance(value, Markup):
        return value
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return html.escape(f"{value:,}".replace(",", "\u202f") if type(value) is int else str(value))
