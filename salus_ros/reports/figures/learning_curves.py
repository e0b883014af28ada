"""The course of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.reports.figures.colours import LINE_COLOURS
from salus_ros.reports.figures.style import new_figure


def save_learning_curves(results: Mapping[str, Any], path: Path) -> None:
    """Draw loss and validation figures over the epochs.

    Args:
        results: Content of `training_results.json`.
        path: PNG file to write.
    """
    history: Sequence[Mapping[str, Any]] = results["history"]
    epochs = [record["epoch"] for record in history]

    def curve(name: str) -> NDArray[np.float64]:
        return np.asarray([record[name] for record in history], dtype=np.float64)  # None -> NaN

    figure = new_figure(3.4)
    losses, figures = figure.subplots(1, 2)
    losses.plot(
        epochs, curve("train_loss"), color=LINE_COLOURS[0], label="training part, as it learns"
    )
    losses.plot(epochs, curve("validation_loss"), color=LINE_COLOURS[1], label="validation")
    losses.set_title("loss, as trained", fontsize=10)
    for name, colour in zip(("f1", "precision", "recall"), LINE_COLOURS, strict=False):
        figures.plot(epochs, curve(f"validation_{name}"), color=colour, label=name)
    figures.set_title("validation, over all outputs at 0.5", fontsize=10)
    figures.set_ylim(-0.02, 1.02)
    for axis in (losses, figures):
        axis.axvline(results["best_epoch"], color="#666666", linestyle=":", label="best epoch")
        axis.set_xlabel("epoch", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.5)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
