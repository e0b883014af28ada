"""The report on recorded episodes: a folder with figures and numbers, and one page of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros import __version__
from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.evaluation.statistics import CONFIDENCE, LEAST_EPISODES, REPLICATES
from salus_ros.prediction.lookahead import as_seen_live
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.shipped import predictor_path
from salus_ros.reports.figures import episodes as episode_figures
from salus_ros.reports.figures import signals as signal_figures
from salus_ros.reports.figures.filmstrip import Strip, filmstrips, save_filmstrips
from salus_ros.reports.figures.learning_curves import save_learning_curves
from salus_ros.reports.figures.timeline import save_timeline
from salus_ros.reports.numbers import episodes as episode_numbers
from salus_ros.reports.numbers.missing import missing_data
from salus_ros.reports.numbers.recordings import Recordings, load_recordings
from salus_ros.reports.numbers.signals import (
    ALL,
    BIN_S,
    CLOCK,
    LAST_S,
    WAY_S,
    Values,
    describe_signal,
    signal_values,
    way_to_failure,
)
from salus_ros.reports.pages.rendering import write_numbers, write_page
from salus_ros.reports.tables.training import STEP_MEASURES
from salus_ros.training.train import RESULTS_NAME

NUMBERS_NAME = "report.json"
"""Every number of the page, beside it."""

SECTIONS = {
    "How episodes end": "outcomes",
    "What it looks like": "frames",
    "How long episodes last": "lengths",
    "When they fail": "failure_times",
    "Injected faults": "faults",
    "Signals": "signals",
    "The way into a failure": "before_failure",
    "Missing data": "missing",
}
"""Titles and templates of the sections that every report has."""

WORDS = {
    "no_fault": episode_numbers.NO_FAULT,
    "group_labels": signal_figures.GROUP_LABELS,
    "level": f"{100 * CONFIDENCE:.0f} %",
    "replicates": REPLICATES,
    "least_episodes": LEAST_EPISODES,
    "last_s": LAST_S,
    "way_s": WAY_S,
    "bin_s": BIN_S,
    "step_measures": STEP_MEASURES,
}
"""What the templates say besides the numbers."""


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
        model: Folder of a trained predictor, or its file: adds its risk and its training; its
            failure types are those that are told apart.

    Returns:
        Path of `index.html`.

    Raises:
        StoreError: if a store cannot be read, or the first has no such episode.
        CheckpointError: if the model cannot be read.
        ConfigError: if a store is given twice, the model takes other signals than the first
            store has, or `out` cannot be written.
    """
    given = [stores] if isinstance(stores, str | Path) else list(stores)
    predictor = None if model is None else Predictor.load(model)
    types = None if predictor is None else predictor.failure_types
    recordings = load_recordings(given, types)
    reader = recordings.readers[0]
    training = None if model is None else _training_results(predictor_path(model))
    if predictor is not None and predictor.checkpoint.signal_names != reader.spec.signals:
        raise ConfigError(
            f"'{model}' takes the signals {list(predictor.checkpoint.signal_names)}, "
            f"'{reader.path}' has {list(reader.spec.signals)}; give a model trained on such a "
            "store"
        )
    index = _default_episode(recordings) if episode is None else episode
    recorded = None if index is None else reader.episode(index)
    values = [signal_values(recordings, name) for name in recordings.signal_names]
    strips = filmstrips(recordings)
    numbers = _numbers(recordings, values, strips)
    numbers["episode"] = index
    numbers["training"] = training and {
        key: training[key] for key in ("model_id", "best_epoch", "validation", "test", "splits")
    }
    titles = dict(SECTIONS)
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        drawn = _draw(recordings, numbers, values, strips, out)
        if recorded is not None:
            names = reader.spec.signals
            if predictor is not None:
                recorded = as_seen_live(recorded, reader.spec, predictor)
            save_timeline(out / "episode.png", recorded, predictor, signal_names=names)
            drawn.append("episode")
            titles[f"Episode {index} of {len(reader)}, step by step"] = "episode"
        if training is not None:
            save_learning_curves(training, out / "learning_curves.png")
            drawn.append("learning_curves")
            titles[f"Training of model {training['model_id']}"] = "training"
        titles["Stores"] = "stores"
        sections = [
            {"title": title, "template": f"recordings/{name}.html"}
            for title, name in titles.items()
        ]
        shown = (
            WORDS
            | numbers
            | {
                "title": f"SALUS report: {', '.join(one.path.name for one in recordings.readers)}",
                "head": "recordings/head.html",
                "sections": sections,
                "endings": recordings.endings,
                "failed": recordings.kinds,
                "strips": strips,
                "matched": _matched(numbers["before_failure"], recordings.kinds),
            }
        )
        page = write_page("page.html", out, drawn, shown)
        write_numbers(numbers, out / NUMBERS_NAME)
    except OSError as error:
        raise ConfigError(f"cannot write the report to '{out}': {error.strerror}") from error
    return page


def _numbers(
    recordings: Recordings, values: Sequence[Values], strips: Sequence[Strip]
) -> dict[str, Any]:
    """Every number that the page shows, as JSON values."""
    return {
        "salus_version": __version__,
        "overview": episode_numbers.overview(recordings),
        "outcomes": episode_numbers.outcomes(recordings),
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
        "lengths": episode_numbers.lengths(recordings),
        "failure_times": episode_numbers.failure_times(recordings),
        "faults": episode_numbers.faults(recordings),
        "signals": [describe_signal(of_signal) for of_signal in values],
        "clock": describe_signal(signal_values(recordings, CLOCK)),
        "before_failure": [
            {"name": of_signal.name} | way_to_failure(of_signal) for of_signal in values
        ],
        "missing": missing_data(recordings),
    }


def _draw(
    recordings: Recordings,
    numbers: Mapping[str, Any],
    values: Sequence[Values],
    strips: Sequence[Strip],
    out: Path,
) -> list[str]:
    """Draw what there is to draw; returns the names of the PNG files, without their suffix."""
    drawn = []

    def file(name: str) -> Path:
        drawn.append(name)
        return out / f"{name}.png"

    if len(recordings):
        episode_figures.save_outcomes(file("outcomes"), numbers["outcomes"])
        episode_figures.save_lengths(file("lengths"), recordings)
    if strips:
        save_filmstrips(file("frames"), strips)
    if np.isfinite(recordings.failure_s()).any():
        episode_figures.save_failure_times(file("failure_times"), recordings)
    if delays := episode_numbers.fault_delays(recordings):
        episode_figures.save_fault_delays(file("fault_delays"), delays)
    described = numbers["signals"]
    signal_figures.save_distributions(file("signals"), values, described)
    if any(found["auroc"][ALL]["auroc"] is not None for found in described):
        signal_figures.save_aurocs(file("aurocs"), [*described, numbers["clock"]])
    if _matched(numbers["before_failure"], recordings.kinds):
        signal_figures.save_ways(file("before_failure"), values, numbers["before_failure"])
    return drawn


def _matched(ways: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> dict[str, float]:
    """Share of the points before each type of failure that have successes to compare with."""
    return {
        kind: max(found[kind]["matched"] or 0.0 for found in ways)
        for kind in kinds
        if any(found[kind]["failures"] for found in ways)
    }


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
