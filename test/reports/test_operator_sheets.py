"""The primary tables say what the figures are, and nothing where there is none."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_samples

from salus_ros.core.failures import FailureType
from salus_ros.evaluation.beside_rules import output_precision
from salus_ros.evaluation.held import Alarm, Held
from salus_ros.evaluation.knowable_file import Limits
from salus_ros.evaluation.operator_evaluation import evaluate_as_operator
from salus_ros.evaluation.readout import Readout
from salus_ros.reports.numbers.operator import (
    benchmark_sheets,
    evaluation_sheets,
    foreseen_sheet,
    outputs_sheet,
)

LIMITS = Limits("f.json", "some.zarr", "world", {"0.5 s": {"drop": 0.5, "collision": 0.8}})


@pytest.fixture(scope="module")
def found():
    """A score that knows the drops and nothing else, and one that says nothing."""
    kinds = [FailureType.NONE] * 20 + [FailureType.DROP] * 6 + [FailureType.COLLISION] * 2
    samples = make_samples(
        [make_episode(str(n), 60, kind, seed=n) for n, kind in enumerate(kinds)], LOW_DIM
    )
    held = Held([samples])
    score = np.zeros((28, 60))
    score[20:26, 45:] = 1.0
    nothing = np.full(28 * 60, np.nan)
    results = {}
    for name, one in (("knows", score.ravel()), ("silent", nothing)):
        alarms = {"conformal": Alarm([one], [0.5])} if name == "knows" else {}
        results[name] = evaluate_as_operator([Readout.single(one)], held, alarms)
        results[name]["outputs"] = output_precision(one, samples)
    return results


def row(sheet, name):
    """The row of a name, by the columns' names."""
    (cells,) = [cells for cells in sheet.rows if cells[0] == name]
    assert len(cells) == len(sheet.head)
    return cells


def test_what_was_foreseen_is_told_with_intervals_and_dashes(found):
    sheet = foreseen_sheet(found)
    assert sheet.title == "foreseen: 8 failures, 8 of them sudden, 20 successes"
    knows = row(sheet, "knows")
    assert knows[1].startswith("0.75 (0.")
    assert knows[3:6] == ["0.75", "0.75", "0.00"]
    assert knows[6:] == ["0.75", "0.75", "0.75", "0%"]
    assert row(sheet, "silent")[1:6] == ["-"] * 5
    assert row(sheet, "silent")[-1] == "100%"


def test_a_declared_rule_has_a_row_of_its_own(found):
    declared = found["knows"] | {
        "foreseen": found["knows"]["foreseen"]
        | {"declared": found["knows"]["foreseen"]["conformal"]}
    }
    assert row(foreseen_sheet({"stuck": declared}), "stuck, declared")[3] == "0.75"


def test_an_alarm_that_cannot_sound_is_no_zero(found):
    conformal = found["knows"]["foreseen"]["conformal"] | {"never_sounds": True}
    silent = found["knows"] | {"foreseen": found["knows"]["foreseen"] | {"conformal": conformal}}
    assert row(foreseen_sheet({"it": silent}), "it")[3:6] == ["never"] * 3


def test_without_limits_there_is_no_column_of_them(found):
    outputs = {name: one["outputs"] for name, one in found.items()}
    plain = outputs_sheet(outputs, None)
    assert [cells[0] for cells in plain.rows] == ["base rate", "knows", "silent"]
    assert row(plain, "knows")[1] == "1.00"
    assert row(plain, "silent")[1:] == ["-"] * 4
    assert "limit" not in plain.note
    beside = {name: LIMITS.beside(one) for name, one in outputs.items()}
    limited = outputs_sheet(beside, LIMITS.source)
    assert row(limited, "limit")[1:3] == ["0.50", "0.80"]
    assert row(limited, "knows")[1] == "1.00 (2.00)"
    assert row(limited, "limit")[3] == "-"
    assert "measured on some.zarr (world)" in limited.note


def test_all_tables_of_an_evaluation_and_of_a_benchmark_are_whole(found):
    evaluated = evaluation_sheets({"detectors": found, "missing": {}})
    results = {
        "detectors": {
            name: {"test": {"operator": one}, "outputs": one["outputs"]}
            for name, one in found.items()
        },
        "reference": "knows",
    }
    compared = benchmark_sheets(results)
    for sheet in (*evaluated, *compared):
        assert all(len(cells) == len(sheet.head) for cells in sheet.rows)
    assert compared[-1].title.startswith("knows, every output")
    assert benchmark_sheets(results, "held_out") == []
    kinds = {cells[0]: cells for cells in evaluated[1].rows}
    assert kinds["drop"][2] == "1.00 (1.00 to 1.00)"
    assert kinds["collision"][2] == "0.00"  # of two failures: no interval


@pytest.fixture(scope="module")
def results_page():
    """The script that writes docs/results.md."""
    path = Path(__file__).parents[2] / "scripts" / "results_page.py"
    sys.path.insert(0, str(path.parent))  # as Python does for a script
    try:
        return importlib.import_module(path.stem)
    finally:
        sys.path.remove(str(path.parent))


def test_sheets_are_tables_in_markdown(results_page, found):
    title, table, note = results_page.sheets([foreseen_sheet(found)])
    assert title.startswith("**foreseen: 8 failures")
    lines = table.splitlines()
    assert lines[1].count("---") == lines[0].count("|") - 1
    assert lines[2].startswith("| knows | 0.75")
    assert "`sudden`" in note
