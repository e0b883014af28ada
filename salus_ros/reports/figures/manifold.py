"""The map of a manifold: where successes run, and where failures leave."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from salus_ros.core.failures import Outcome
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.reports.figures.colours import ENDING_COLOURS, FAINT
from salus_ros.reports.figures.style import new_figure, tidy
from salus_ros.training.dataset import Samples

PATHS = 6
"""Successes that are drawn as lines."""

MOST_POINTS = 6000
"""Of a kind, or they hide each other."""

KEPT = (0.5, 99.5)
"""Percentiles of what is drawn that the axes hold."""

Rows = NDArray[np.float32]


def save_map(
    manifold: Manifold,
    samples: Samples,
    embedding: Rows,
    groups: Mapping[str, NDArray[np.bool_]],
    path: Path,
) -> float:
    """Draw the first two principal components of the successes' embedding.

    Left: the steps of the library, by how far on each is, and some unseen successes as lines.
    Right: unseen steps where the time runs out, and those before other failures, over them.

    Args:
        manifold: It.
        samples: Unseen episodes.
        embedding: Float32 (N, D) of their steps.
        groups: Rows (N,) of `stuck` and `sudden` steps.
        path: PNG file to write.

    Returns:
        Share of the library's variance that the two components hold.
    """
    library = manifold.library
    known = library.embedding[library.known]
    lengths = np.diff(library.ends, prepend=0)
    progress = ((library.step + 0.5) / lengths[library.episode])[library.known]
    flat = PCA(2).fit(known)
    shown = np.random.default_rng(0).permutation(len(known))[:MOST_POINTS]
    ground = flat.transform(known[shown])
    figure = new_figure(5.4)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    colours = LinearSegmentedColormap.from_list("progress", ["#d9f0e6", "#009e73", "#00382a"])
    dots = left.scatter(*ground.T, c=progress[shown], cmap=colours, s=3, linewidths=0)
    figure.colorbar(dots, ax=left, label="share of the episode", shrink=0.8)
    good = [n for n, one in enumerate(samples.records) if one.meta.outcome is Outcome.SUCCESS]
    for number, place in enumerate(good[:PATHS]):
        run = embedding[samples.slices[place]]
        line = flat.transform(run[np.isfinite(run).all(axis=1)])
        label = "unseen successes" if number == 0 else None
        left.plot(*line.T, color="#222222", linewidth=0.7, alpha=0.7, label=label)
    right.scatter(*ground.T, color="#d5d9de", s=3, linewidths=0, label="successes")
    drawn = [ground, *_failures(right, flat, samples, embedding, groups)]
    _dress(left, right, np.concatenate(drawn))
    figure.savefig(path, dpi=120)
    return float(flat.explained_variance_ratio_.sum())


def _failures(
    axis: Axes,
    flat: PCA,
    samples: Samples,
    embedding: Rows,
    groups: Mapping[str, NDArray[np.bool_]],
) -> list[Rows]:
    """Draw the steps of failures by the kind that they end in; those drawn."""
    there = np.isfinite(embedding).all(axis=1)
    ending = np.array([one.stratum for one in samples.records])[samples.episode]
    failing = (groups["stuck"] | groups["sudden"]) & there
    drawn: list[Rows] = []
    rng = np.random.default_rng(0)
    for kind, colour in ENDING_COLOURS.items():
        rows = np.flatnonzero(failing & (ending == kind))
        if not rows.size:
            continue
        points = flat.transform(embedding[rng.permutation(rows)[:MOST_POINTS]])
        where = "second half of the time limit" if kind == "timeout" else "last second"
        label = f"{kind}: {where}"
        x, y = points.T
        axis.scatter(x, y, color=colour, s=5, alpha=0.6, linewidths=0, label=label)
        drawn.append(points)
    return drawn


def _dress(left: Axes, right: Axes, points: Rows) -> None:
    low, high = np.percentile(points, KEPT, axis=0)
    room = 0.05 * (high - low)
    left.set_xlim(low[0] - room[0], high[0] + room[0])
    left.set_ylim(low[1] - room[1], high[1] + room[1])
    titles: Sequence[str] = ("where successes run", "where failures leave")
    for axis, title in zip((left, right), titles, strict=True):
        tidy(axis, grid="both")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("first principal component", fontsize=9, color=FAINT)
        axis.legend(fontsize=8, markerscale=3, loc="best")
    left.set_ylabel("second", fontsize=9, color=FAINT)
