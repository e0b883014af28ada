"""Progress bars on a narrow terminal."""

import io

import pytest
from rich.console import Console

from salus_ros.cli.progress import bar, epoch_bar
from salus_ros.training.fitting import EpochRecord


@pytest.fixture
def terminal():
    """A terminal of 80 columns that keeps what was last drawn on it."""
    return Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)


def test_eighty_columns_hold_the_whole_of_a_bar_and_its_status(terminal):
    status = "collision 2, drop 13, success 41, timeout 7; episode 64 at step 153"
    with bar("recording", 100, terminal) as advance:
        advance(63, status)
    lines = terminal.file.getvalue().splitlines()
    assert any("recording" in line and "63/100" in line and "left" in line for line in lines)
    assert any(status in line for line in lines)
    assert "…" not in terminal.file.getvalue()


def test_a_status_that_is_too_long_is_cut_and_not_wrapped(terminal):
    with bar("bags", 2, terminal) as advance:
        advance(1, "a very long name of a bag " * 10)
    assert max(len(line) for line in terminal.file.getvalue().splitlines()) < 120
    assert "…" in terminal.file.getvalue()


def test_a_bar_does_not_appear_before_anything_is_done(terminal):
    with bar("recording", 3, terminal):
        pass
    assert terminal.file.getvalue() == ""


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ((0.0893, 0.5, 0.5, 0.5, 0.25), "validation loss 0.0893, average precision 0.250"),
        ((None,) * 5, "training loss 0.0800\n"),
    ],
)
def test_an_epoch_shows_the_losses_by_name(terminal, measured, said):
    with epoch_bar(terminal, 2) as on_epoch:
        on_epoch(EpochRecord(1, 1e-3, 0.08, *measured))
    drawn = terminal.file.getvalue()
    assert "training loss 0.0800" in drawn
    assert said in drawn


def test_a_log_gets_plain_lines_that_begin_at_once_and_end_with_the_last():
    log = Console(file=io.StringIO(), width=80)
    with bar("training", 1000, log) as advance:
        for i in range(1000):
            advance(i + 1, f"loss {i}")
    assert log.file.getvalue() == "training 1/1000 loss 0\ntraining 1000/1000 loss 999\n"
