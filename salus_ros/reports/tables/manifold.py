"""Tables of `salus manifold`: how it was learnt, and what its distance tells."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from salus_ros.reports.tables.layout import new_table, number


def training_tables(figures: Mapping[str, Any]) -> Iterator[Table]:
    """The table of what `train_manifold` returns."""
    counts = figures["episodes"]
    table = new_table(f"manifold {figures['manifold_id']}", "", "")
    rows = {
        "key": f"{', '.join(figures['settings']['inputs'])} ({figures['features']} values)",
        "dimension": str(figures["settings"]["dimension"]),
        "episodes": f"{counts['train']} to learn from, {counts['validation']} to choose by, "
        f"{counts['test']} kept for `salus manifold evaluate`",
        "steps of successes": f"{figures['steps']} of {figures['successes']} episodes",
        "without a key": str(figures["steps_without_a_key"]),
        "unseen triplets in order": f"{figures['validation_triplets_in_order']:.1%}, after "
        f"{figures['best_batch']} of {figures['settings']['batches']} batches",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    yield table


def evaluation_tables(figures: Mapping[str, Any]) -> Iterator[Table]:
    """The table of what `measure` finds."""
    table = new_table(
        f"distance to the successes: AUROC with 95 % over {figures['episodes']} unseen episodes",
        "score",
        *figures["contrasts"],
    )
    for name, found in figures["scores"].items():
        table.add_row(name, *[auroc_text(found[one]) for one in figures["contrasts"]])
    yield table
    table = new_table("steps compared", "kind", "steps", "episodes")
    for name, group in figures["groups"].items():
        table.add_row(name, str(group["steps"]), str(group["episodes"]))
    yield table


def auroc_text(found: Mapping[str, Any]) -> str:
    """An AUROC with its interval, as "0.927 (0.90 to 0.95)"."""
    low, high = found["interval_95"]
    value = number(found["auroc"], "{:.3f}")
    return value if low is None else f"{value} ({low:.2f} to {high:.2f})"
