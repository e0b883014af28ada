"""What a predictor is worth: curves, lead times, and episodes it got right and wrong."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from salus_ros.core.alarm import HYSTERESIS
from salus_ros.core.failures import FailureType
from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.episode_metrics import Alarms, raise_alarms
from salus_ros.evaluation.metrics import CALIBRATION_BINS
from salus_ros.prediction.predictor import Prediction, Predictor
from salus_ros.reports.figures.colours import ENDING_COLOURS, FAILURE_COLOUR, FAINT, INK
from salus_ros.reports.figures.style import DPI, WIDTH_IN, new_figure, tidy
from salus_ros.training.dataset import Samples

CURVE_POINTS = 200
TIMELINES = 4
HORIZON_COLOURS = ("#08519c", "#3182bd", "#6baed6", "#9ecae1")
LEAST_IN_BIN = 20


def save_evaluation_figures(out: Path, predictor: Predictor, samples: Samples) -> tuple[str, ...]:
    """Draw what a predictor says of some labelled episodes.

    Args:
        out: Folder to write to.
        predictor: The predictor.
        samples: Episodes that it has not seen.

    Returns:
        Names of the PNG files, without their suffix.
    """
    prediction = predictor.predict_episodes(*samples.inputs)
    level = predictor.alarm_level(prediction)
    alarms = raise_alarms(level, episodes_of(samples), 0.0, HYSTERESIS)
    figures = {
        "horizons": _horizons(predictor, samples, prediction),
        "operating_curve": _operating_curve(samples, level, alarms),
        "lead_times": _lead_times(alarms),
        "timelines": _timelines(predictor, samples, prediction, alarms),
    }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=DPI)
    return tuple(figures)


def _horizons(predictor: Predictor, samples: Samples, prediction: Prediction) -> Figure:
    """Precision-recall and reliability of "any failure within the horizon"."""
    figure = new_figure(4.2)
    curve, reliability = figure.subplots(1, 2)
    rows = samples.usable
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    for h, horizon in enumerate(predictor.horizons_s):
        probability = prediction.any_failure[rows, h]
        labels = samples.labels[rows, h].any(axis=1)
        name, colour = f"{horizon * 1e3:.0f} ms", HORIZON_COLOURS[h % len(HORIZON_COLOURS)]
        if labels.any():
            precision, recall, _ = precision_recall_curve(labels, probability)
            curve.plot(recall, precision, color=colour, label=name)
            curve.axhline(labels.mean(), color=colour, linewidth=0.7, linestyle=":")
        place = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        counts = np.bincount(place, minlength=len(edges) - 1)
        kept = counts >= LEAST_IN_BIN
        said = np.bincount(place, probability, minlength=len(edges) - 1)[kept] / counts[kept]
        seen = np.bincount(place, labels, minlength=len(edges) - 1)[kept] / counts[kept]
        reliability.plot(said, seen, "o-", color=colour, markersize=4, label=name)
    curve.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    curve.set_title("any failure within the horizon (dotted: by chance)", fontsize=10)
    reliability.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle="--")
    reliability.set(xlabel="predicted probability", ylabel="share that failed")
    reliability.set(xlim=(0, 1), ylim=(0, 1.02))
    reliability.set_title(f"reliability (bins of at least {LEAST_IN_BIN} steps)", fontsize=10)
    for axis in (curve, reliability):
        tidy(axis, grid="both")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, frameon=False)
    return figure


def _operating_curve(samples: Samples, level: NDArray[np.float32], alarms: Alarms) -> Figure:
    """Detection against false alarms over all thresholds, beside a clock."""
    figure = Figure(figsize=(WIDTH_IN * 0.55, 4.2), layout="constrained")
    axis = figure.subplots()
    scores = {"the predictor": (level, INK), "a clock": (samples.step.astype(float), FAINT)}
    for name, (score, colour) in scores.items():
        there = score[np.isfinite(score)]
        limits = np.quantile(there, np.linspace(0, 1, CURVE_POINTS)) if there.size else []
        points = [raise_alarms(score, alarms.episodes, float(limit)) for limit in limits]
        false = [point.false_alarms()[0] for point in points]
        axis.plot(false, [p.detection_rate() for p in points], color=colour, label=name)
    axis.plot(
        alarms.false_alarms()[0],
        alarms.detection_rate(),
        "o",
        color=FAILURE_COLOUR,
        label="its alarm",
    )
    axis.set(xlabel="share of successes with a false alarm", ylabel="share of failures detected")
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    tidy(axis, grid="both")
    axis.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def _lead_times(alarms: Alarms) -> Figure:
    figure = new_figure(3.2)
    axis = figure.subplots()
    leads, colours, names = [], [], []
    for kind, name in _kinds(alarms):
        chosen = alarms.episodes.failed & (alarms.episodes.failure_type == kind)
        found = alarms.lead_s[chosen & ~np.isnan(alarms.lead_s)]
        leads.append(found)
        colours.append(ENDING_COLOURS[name])
        names.append(f"{name} ({len(found)} of {int(chosen.sum())})")
    if any(map(len, leads)):
        axis.hist(leads, bins=30, stacked=True, color=colours, label=names)
        axis.legend(fontsize=8, frameon=False, title="detected of all", title_fontsize=8)
    else:
        axis.text(0.5, 0.5, "no failure was detected", transform=axis.transAxes, ha="center")
    axis.set(xlabel="time from the first alarm to the failure in s", ylabel="failures")
    tidy(axis, grid="y")
    return figure


def _kinds(alarms: Alarms) -> list[tuple[int, str]]:
    kinds = np.unique(alarms.episodes.failure_type[alarms.episodes.failed])
    return [(int(kind), FailureType(int(kind)).label) for kind in kinds]


def _timelines(
    predictor: Predictor, samples: Samples, prediction: Prediction, alarms: Alarms
) -> Figure:
    """Both alarm scores over time, of the best and the worst episodes of each kind."""
    best, missed, false = _chosen(alarms, samples, prediction.risk)
    columns = (
        ("detected, the latest warning first", best),
        ("missed failures", missed),
        ("false alarms", false),
    )
    figure = new_figure(1.6 * TIMELINES + 0.6)
    axes = figure.subplots(TIMELINES, len(columns), sharey=True, squeeze=False)
    for column, (title, places) in enumerate(columns):
        axes[0, column].set_title(title, fontsize=10)
        for row in range(TIMELINES):
            axis = axes[row, column]
            if row >= len(places):
                axis.set_axis_off()
                continue
            _draw_scores(axis, predictor, samples, prediction, places[row])
    for row in range(TIMELINES):
        axes[row, 0].set_ylabel("probability", fontsize=9)
    axes[-1, 0].set_xlabel("time in s", fontsize=9)
    return figure


def _chosen(
    alarms: Alarms, samples: Samples, risk: NDArray[np.float32]
) -> tuple[list[int], list[int], list[int]]:
    """Episodes to show: detected, missed, and false alarms, each in order of interest."""
    failed, first = alarms.episodes.failed, alarms.first
    peaks = np.array([_peak(risk[rows]) for rows in samples.slices])
    detected = np.flatnonzero(failed & (first >= 0))
    missed = np.flatnonzero(failed & (first < 0))
    false = np.flatnonzero(~failed & (first >= 0))
    by_lead = detected[np.argsort(alarms.lead_s[detected], kind="stable")]
    spread = np.linspace(0, len(by_lead) - 1, min(TIMELINES, len(by_lead))).round().astype(int)
    return (
        by_lead[spread].tolist() if len(by_lead) else [],
        missed[np.argsort(peaks[missed], kind="stable")][:TIMELINES].tolist(),
        false[np.argsort(-peaks[false], kind="stable")][:TIMELINES].tolist(),
    )


def _peak(risk: NDArray[np.float32]) -> float:
    return float(np.nanmax(risk)) if np.isfinite(risk).any() else -1.0


def _draw_scores(
    axis: Axes, predictor: Predictor, samples: Samples, prediction: Prediction, place: int
) -> None:
    """The risk (dark) and what is said of the whole episode (light), with their thresholds."""
    record = samples.records[place]
    rate = record.meta.rate_hz
    times = np.arange(record.length) / rate
    for values, threshold, colour in (
        (prediction.episode_failure, predictor.episode_threshold, HORIZON_COLOURS[2]),
        (prediction.risk, predictor.threshold, INK),
    ):
        axis.plot(times, values[samples.slices[place]], color=colour, linewidth=1.1)
        if np.isfinite(threshold):
            axis.axhline(threshold, color=colour, linewidth=0.8, linestyle="--")
    stuck = prediction.no_progress[samples.slices[place]]
    axis.plot(times, stuck, color=HORIZON_COLOURS[2], linewidth=1.1, linestyle=":")
    if record.meta.failure_step >= 0:
        moment = record.meta.failure_step / rate
        axis.axvline(moment, color=ENDING_COLOURS[record.stratum], linewidth=1.6)
    says = f"{record.meta.id}: {record.stratum}, fault {record.meta.fault}"
    axis.text(0.02, 0.93, says, transform=axis.transAxes, va="top", fontsize=7.5, color=INK)
    axis.set_ylim(0, 1.05)
    tidy(axis, grid="y")
