"""A folder with the figures of one episode and of the training, and a page that shows them."""

import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros import __version__
from salus_ros.cli.figures import save_episode_figure, save_learning_curves
from salus_ros.cli.summary import ROW_7, store_summary
from salus_ros.core.errors import CheckpointError, ConfigError, StoreError
from salus_ros.core.failures import Outcome
from salus_ros.episodes.reader import StoreReader
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.training import RESULTS_NAME

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a2e; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
img { max-width: 100%; border: 1px solid #ddd; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left;
        border-bottom: 1px solid #ddd; }
"""


def write_report(
    store: str | Path,
    out: str | Path,
    episode: int | None = None,
    model: str | Path | None = None,
) -> Path:
    """Write `episode.png`, with a model `learning_curves.png`, and `index.html`.

    Args:
        store: Folder of an episode store.
        out: Folder to write to; made if it is not there.
        episode: Index of the episode; by default the last one that failed, else the last one.
        model: Folder of a trained predictor, or its file.

    Returns:
        Path of `index.html`.

    Raises:
        StoreError: if the store cannot be read, is empty, or has no such episode.
        CheckpointError: if the model cannot be read.
        ConfigError: if the model takes other signals than the store has, or `out` is no folder.
    """
    reader = StoreReader(store)
    predictor = None if model is None else Predictor.load(model)
    results = None if model is None else _training_results(Path(model))
    if predictor is not None and predictor.checkpoint.signal_names != reader.spec.signals:
        raise ConfigError(
            f"'{model}' takes the signals {list(predictor.checkpoint.signal_names)}, '{store}' "
            f"has {list(reader.spec.signals)}; give a model trained on such a store"
        )
    index = _default_episode(reader) if episode is None else episode
    recorded = reader.episode(index)
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write the report to '{out}': {error.strerror}") from error
    save_episode_figure(out / "episode.png", recorded, predictor)
    sections = [_section(f"Episode {index} of {len(reader)}", _image("episode.png"))]
    if results is not None:
        save_learning_curves(results, out / "learning_curves.png")
        rows = ((name, results["validation"][name], results["test"][name]) for name in ROW_7)
        undefined = "; ".join(f"{k}: {v}" for k, v in results["test"]["undefined"].items())
        sections += [
            _section(
                f"Training of model {results['model_id']}",
                _rows(("over all outputs at 0.5", "validation", "test"), rows),
                f"<p>{html.escape(undefined)}</p>" if undefined else "",
                _image("learning_curves.png"),
            ),
            _section("Episodes, split whole", _split_rows(results)),
        ]
    sections.append(_section("Store", _store_rows(store_summary(reader))))
    page = out / "index.html"
    page.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>SALUS report</title>'
        f"<style>{STYLE}</style></head><body><h1>SALUS report</h1>\n"
        + "\n".join(sections)
        + f"\n<p>salus_ros {__version__}</p></body></html>\n"
    )
    return page


def _default_episode(reader: StoreReader) -> int:
    if not len(reader):
        raise StoreError(f"'{reader.path}' holds no episode yet; record one first")
    failed = np.flatnonzero(reader.table()["outcome"] == Outcome.FAILURE)
    return int(failed[-1]) if failed.size else len(reader) - 1


def _training_results(model: Path) -> dict[str, Any] | None:
    """The results beside the checkpoint; None when it came without."""
    file = (model if model.is_dir() else model.parent) / RESULTS_NAME
    if not file.is_file():
        return None
    try:
        results: dict[str, Any] = json.loads(file.read_text())
        assert_keys = ("history", "best_epoch", "model_id", "validation", "test", "splits")
        missing = [key for key in assert_keys if key not in results]
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"'{file}' cannot be read ({error}); train again") from error
    if missing:
        raise CheckpointError(f"'{file}' lacks {missing}; train again")
    return results


def _store_rows(summary: Mapping[str, Any]) -> str:
    endings = {"success": summary["outcomes"]["success"], **summary["failure_types"]}
    rows = [
        ("folder", summary["path"]),
        ("episodes", summary["episodes"]),
        ("endings", ", ".join(f"{kind} {n}" for kind, n in endings.items() if n)),
        ("steps", summary["steps"]),
        ("steps predicted live", summary["steps_predicted_live"]),
        ("size in MB", summary["megabytes"]),
        ("policy", ", ".join(summary["policies"])),
    ]
    return _rows((), rows)


def _split_rows(results: Mapping[str, Any]) -> str:
    rows = (
        (
            name,
            part["episodes"],
            part["steps"],
            ", ".join(f"{kind} {n}" for kind, n in part["endings"].items()),
        )
        for name, part in results["splits"].items()
    )
    return _rows(("part", "episodes", "steps", "endings"), rows)


def _section(title: str, *parts: str) -> str:
    return f"<h2>{html.escape(title)}</h2>\n" + "\n".join(part for part in parts if part)


def _image(name: str) -> str:
    return f'<p><img src="{name}" alt="{name}"></p>'


def _rows(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    def cells(values: Iterable[Any], tag: str) -> str:
        texts = (
            f"{v:.4f}" if isinstance(v, float) else "-" if v is None else str(v) for v in values
        )
        return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)

    head = f"<tr>{cells(header, 'th')}</tr>" if header else ""
    return f"<table>{head}{''.join(f'<tr>{cells(row, "td")}</tr>' for row in rows)}</table>"
