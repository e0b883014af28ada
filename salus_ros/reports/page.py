"""A folder with the figures and numbers of recorded episodes, and one page that shows them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros import __version__
from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.prediction.predictor import Predictor
from salus_ros.reports import counts, markup, sections, signal_sections
from salus_ros.reports.episode_figures import save_episode_figure, save_learning_curves
from salus_ros.reports.filmstrip import Strip, filmstrips
from salus_ros.reports.missing import missing_data
from salus_ros.reports.recordings import Recordings, load_recordings
from salus_ros.reports.signals import (
    CLOCK,
    Values,
    describe_signal,
    signal_values,
    way_to_failure,
)
from salus_ros.reports.summary import ROW_7
from salus_ros.training.train import RESULTS_NAME

NUMBERS_NAME = "report.json"
"""Every number of the page, beside it."""


def write_report(
    stores: str | Path | Sequence[str | Path],
    out: str | Path,
    episode: int | None = None,
    model: str | Path | None = None,
) -> Path:
    """Write `index.html`, which needs no other file, and beside it its figures and numbers.

    What a store lacks (an outcome, a failure, images, a signal, any episode at all) is said in
    the section that would show it.

    Args:
        stores: Episode stores, shown together.
        out: Folder to write to; made if it is not there.
        episode: Index of the episode of the first store that is shown step by step; by default
            the last one that failed, else the last one.
        model: Folder of a trained predictor, or its file: adds its risk and its training.

    Returns:
        Path of `index.html`.

    Raises:
        StoreError: if a store cannot be read, or the first has no such episode.
        CheckpointError: if the model cannot be read.
        ConfigError: if a store is given twice, the model takes other signals than the first
            store has, or `out` cannot be written.
    """
    given = [stores] if isinstance(stores, str | Path) else list(stores)
    recordings = load_recordings(given)
    reader = recordings.readers[0]
    predictor = None if model is None else Predictor.load(model)
    training = None if model is None else _training_results(Path(model))
    if predictor is not None and predictor.checkpoint.signal_names != reader.spec.signals:
        raise ConfigError(
            f"'{model}' takes the signals {list(predictor.checkpoint.signal_names)}, "
            f"'{reader.path}' has {list(reader.spec.signals)}; give a model trained on such a "
            "store"
        )
    index = _default_episode(recordings) if episode is None else episode
    recorded = None if index is None else reader.episode(index)
    out = Path(out)
    values = [signal_values(recordings, name) for name in recordings.signal_names]
    strips = filmstrips(recordings)
    numbers = _numbers(recordings, values, strips)
    numbers["episode"] = index
    numbers["training"] = training and {
        key: training[key] for key in ("model_id", "best_epoch", "validation", "test", "splits")
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        parts = _sections(recordings, numbers, values, strips, out)
        if recorded is not None:
            save_episode_figure(
                out / "episode.png", recorded, predictor, signal_names=reader.spec.signals
            )
            title = f"Episode {index} of {len(reader)}, step by step"
            parts.append((title, markup.image(out / "episode.png", title)))
        if training is not None:
            save_learning_curves(training, out / "learning_curves.png")
            parts.append((f"Training of model {training['model_id']}", _training(training, out)))
        parts.append(("Stores", sections.stores(numbers["overview"])))
        names = [reader.path.name for reader in recordings.readers]
        head = sections.head(numbers["overview"])
        page = out / "index.html"
        page.write_text(markup.page(f"SALUS report: {', '.join(names)}", head, parts))
        text = json.dumps(numbers, indent=2, allow_nan=False)
        (out / NUMBERS_NAME).write_text(text + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write the report to '{out}': {error.strerror}") from error
    return page


def _numbers(
    recordings: Recordings, values: Sequence[Values], strips: Sequence[Strip]
) -> dict[str, Any]:
    """Every number that the page shows, as JSON values."""
    return {
        "salus_version": __version__,
        "overview": counts.overview(recordings),
        "outcomes": counts.outcomes(recordings),
        "frames": [
            {
                "ending": strip.ending,
                "store": strip.store,
                "episode": strip.index,
                "camera": strip.camera,
                "steps": list(strip.steps),
            }
            for strip in strips
        ],
        "lengths": counts.lengths(recordings),
        "failure_times": counts.failure_times(recordings),
        "faults": counts.faults(recordings),
        "signals": [describe_signal(of_signal) for of_signal in values],
        "clock": describe_signal(signal_values(recordings, CLOCK)),
        "before_failure": [
            {"name": of_signal.name} | way_to_failure(of_signal) for of_signal in values
        ],
        "missing": missing_data(recordings),
    }


def _sections(
    recordings: Recordings,
    numbers: Mapping[str, Any],
    values: Sequence[Values],
    strips: Sequence[Strip],
    out: Path,
) -> list[tuple[str, str]]:
    return [
        ("How episodes end", sections.outcomes(numbers["outcomes"], out)),
        ("What it looks like", sections.frames(strips, out)),
        ("How long episodes last", sections.lengths(numbers["lengths"], recordings, out)),
        ("When they fail", sections.failure_times(numbers["failure_times"], recordings, out)),
        ("Injected faults", sections.faults(numbers["faults"], recordings, out)),
        ("Signals", signal_sections.signals(numbers["signals"], numbers["clock"], values, out)),
        ("The way into a failure", signal_sections.way(numbers["before_failure"], values, out)),
        ("Missing data", signal_sections.missing(numbers["missing"])),
    ]


def _default_episode(recordings: Recordings) -> int | None:
    """The last episode of the first store that failed, else the last one; None without any."""
    episodes = len(recordings.readers[0])
    failed = np.flatnonzero(recordings.failed[:episodes])
    return int(failed[-1]) if failed.size else (episodes - 1 if episodes else None)


def _training_results(model: Path) -> dict[str, Any] | None:
    """The results beside the checkpoint; None when it came without."""
    file = (model if model.is_dir() else model.parent) / RESULTS_NAME
    if not file.is_file():
        return None
    try:
        results: dict[str, Any] = json.loads(file.read_text())
        needed = ("history", "best_epoch", "model_id", "validation", "test", "splits")
        missing = [key for key in needed if key not in results]
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"'{file}' cannot be read ({error}); train again") from error
    if missing:
        raise CheckpointError(f"'{file}' lacks {missing}; train again")
    return results


def _training(results: Mapping[str, Any], out: Path) -> str:
    figures = ((name, results["validation"][name], results["test"][name]) for name in ROW_7)
    undefined = (f"{name}: {reason}." for name, reason in results["test"]["undefined"].items())
    splits = (
        (
            name,
            part["episodes"],
            part["steps"],
            ", ".join(f"{kind} {n}" for kind, n in part["endings"].items()),
        )
        for name, part in results["splits"].items()
    )
    return markup.join(
        markup.table(("over all outputs at 0.5", "validation", "test"), figures),
        markup.note(*undefined),
        markup.image(out / "learning_curves.png", "Learning curves"),
        "<h3>Episodes, split whole</h3>",
        markup.table(("part", "episodes", "steps", "endings"), splits),
    )
