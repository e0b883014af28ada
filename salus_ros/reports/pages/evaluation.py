"""The report on a predictor: a folder with figures and numbers, and one page of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salus_ros.core.errors import ConfigError
from salus_ros.evaluation.beside_rules import PREDICTOR
from salus_ros.evaluation.predictor_evaluation import held_out
from salus_ros.prediction.predictor import Predictor
from salus_ros.reports.figures.evaluation import save_evaluation_figures
from salus_ros.reports.numbers.operator import RULES, evaluation_sheets
from salus_ros.reports.pages.rendering import write_numbers, write_page
from salus_ros.reports.sentences import alarm_rule

NUMBERS_NAME = "evaluation.json"
"""Every number of the page, beside it."""

SECTIONS = {"What an operator feels": "operator", "Alarm": "alarm", "Steps": "steps"}

STEP_MEASURES = (
    "precision",
    "recall",
    "f1",
    "average_precision",
    "brier_score",
    "calibration_error",
)


def write_evaluation(
    predictor: Predictor,
    stores: Sequence[str | Path],
    results: Mapping[str, Any],
    out: str | Path,
    *,
    include_seen: bool = False,
) -> Path:
    """Write `index.html`, which needs no other file, and beside it its figures and numbers.

    Args:
        predictor: The predictor.
        stores: The stores of the evaluation.
        results: What `evaluate_stores` returned for them.
        out: Folder to write to; made if it is not there.
        include_seen: As in the evaluation.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: if `out` cannot be written.
    """
    out = Path(out)
    samples, *_ = held_out(predictor, stores, include_seen=include_seen)
    chosen = results.get("at_threshold") or {}
    shown = {
        "title": f"Evaluation of {predictor.model_id}",
        "head": "evaluation/head.html",
        "sections": [
            {"title": title, "template": f"evaluation/{name}.html"}
            for title, name in SECTIONS.items()
        ],
        "results": results,
        "foreseen": results["operator"]["detectors"][PREDICTOR]["foreseen"]["at_share"]["recall"],
        "sheets": evaluation_sheets(results["operator"]),
        "rules": RULES,
        "f1": chosen.get("f1"),
        "alarm": results["episode_level"]["alarm"],
        "alarm_rule": alarm_rule(predictor),
        "step_measures": STEP_MEASURES,
        "step_rows": _step_rows(results, chosen),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        drawn = save_evaluation_figures(out, predictor, samples)
        write_numbers(results, out / NUMBERS_NAME)
        return write_page("page.html", out, drawn, shown)
    except OSError as error:
        raise ConfigError(f"cannot write the evaluation to '{out}': {error.strerror}") from error


def _step_rows(results: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Measures of steps, by what they are of."""
    return {
        "all outputs, at 0.5": results,
        "all outputs, chosen threshold": chosen,
        "without timeout, chosen threshold": chosen.get("without_timeout") or {},
        "without timeout, threshold of its own": results["events"] or {},
        **{f"{kind}, at 0.5": part for kind, part in results.get("by_type", {}).items()},
        **{f"any within {span}": part for span, part in results.get("any_failure", {}).items()},
    }
