"""What all figures have in common: size, resolution, plain axes, a legend of endings."""

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from salus_ros.reports.figures.colours import ENDING_COLOURS, INK

WIDTH_IN = 11.0
DPI = 140


def new_figure(height_in: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """A figure of the width of the page.

    Args:
        height_in: Its height.
        layout: None for one of many axes, which matplotlib takes long to arrange.
    """
    return Figure(figsize=(WIDTH_IN, height_in), layout=layout)


def tidy(axis: Axes, *, grid: Literal["x", "y", "both"] = "x") -> None:
    """Leave out what carries no information."""
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color("#bbbbbb")
    axis.tick_params(labelsize=9, colors=INK, length=0)
    axis.grid(axis=grid, color="#e5e7eb", linewidth=0.7)
    axis.set_axisbelow(True)


def add_ending_legend(figure: Figure, endings: Sequence[str]) -> None:
    """Name the colours of some endings above the axes."""
    handles = [Patch(color=ENDING_COLOURS[ending], label=ending) for ending in endings]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=9.5,
    )
