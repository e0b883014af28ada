import json
import shutil
import signal
import subprocess
import sys

import matplotlib
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_store
from typer.testing import CliRunner

from salus_ros.cli import app, main
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.labelling.work import Labelling

UNKNOWN = {"outcome": Outcome.UNKNOWN, "failure_type": FailureType.NONE, "failure_step": -1}
DROP = FailureType.DROP


def endings(path):
    return [(meta.ending, meta.failure_step) for meta in StoreReader(path).episodes()]


def write(path, episodes):
    with EpisodeStore.create(path, LOW_DIM) as store:
        for episode in episodes:
            store.append(episode)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A success, two of unknown outcome, and a drop at an unknown moment."""
    episodes = [
        make_episode("s"),
        make_episode("u", **UNKNOWN),
        make_episode("v", 40, seed=1, **UNKNOWN),
        make_episode("d", 50, DROP, failure_step=-1),
    ]
    return write(tmp_path_factory.mktemp("label") / "a.zarr", episodes)


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a.zarr")


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run `salus label` on what it refuses; returns the one line that it says."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["salus", "label", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        out, err = capsys.readouterr()
        assert (done.value.code, out, err.count("\n")) == (2, "", 1)
        return err

    return run


def label(*arguments):
    result = CliRunner().invoke(app, ["label", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_labels_without_a_window_and_says_what_it_changed(path):
    out = label(path, "--episode", "u", "--outcome", "failure", "--type", "drop", "--step", 12)
    assert "u: unknown -> drop at step 12" in out
    assert "2 episodes have no label" in out
    assert "d: drop at an unknown moment -> success" in label(
        path, "--episode", "d", "--outcome", "success"
    )
    assert "every episode has a label now" in label(
        path, "--index", 2, "--outcome", "failure", "--type", "timeout", "--step", 40
    )
    assert endings(path) == [("success", -1), ("drop", 12), ("timeout", 40), ("success", -1)]


def test_says_it_as_json_and_takes_a_label_back(path):
    out = json.loads(label(path, "--episode", "s", "--outcome", "unknown", "--json"))
    assert out["unlabelled"] == 4
    assert out["changed"] == [
        {
            "store": str(path),
            "index": 0,
            "episode": "s",
            "before": {"outcome": "success", "failure_type": "none", "failure_step": -1},
            "after": {"outcome": "unknown", "failure_type": "none", "failure_step": -1},
        }
    ]
    assert endings(path)[0] == ("unknown", -1)


def test_a_failure_without_its_moment_stays_among_those_to_be_labelled(path):
    out = label(path, "--episode", "u", "--outcome", "failure", "--type", "other")
    assert "u: unknown -> other at an unknown moment" in out
    with Labelling([path]) as work:
        assert work.places == [(0, 1), (0, 2), (0, 3)]


def test_a_store_without_unlabelled_episodes_needs_no_window(tmp_path):
    store = make_store(tmp_path / "a.zarr", [DROP])
    assert "--all goes through them nevertheless" in label(store)
    said = json.loads(label(store, "--json"))
    assert (said["asked"], said["episodes"], said["changed"]) == (0, 1, [])
    EpisodeStore.create(tmp_path / "empty.zarr", LOW_DIM).close()
    assert "there is no episode yet" in label(tmp_path / "empty.zarr")


def test_episodes_are_found_in_several_stores(path, tmp_path):
    other = write(tmp_path / "b.zarr", [make_episode("x", seed=5, **UNKNOWN)])
    label(path, other, "--episode", "x", "--outcome", "success")
    assert endings(other) == [("success", -1)]
    with Labelling([path, other], everything=True) as work:
        assert work.places == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]


def test_refuses_an_episode_that_is_not_there_or_not_the_only_one(
    path, tmp_path, refused, monkeypatch
):
    success = ("--outcome", "success")
    said = refused(path, "--episode", "w", *success)
    assert "no episode 'w'" in said
    assert "there are s, u, v, d" in said
    assert "its episodes are 0 to 3" in refused(path, "--index", 4, *success)
    same = write(tmp_path / "b.zarr", [make_episode("x", seed=n, **UNKNOWN) for n in range(2)])
    said = refused(same, "--episode", "x", *success)
    assert "2 episodes are called 'x': 0 of" in said
    assert "index" in said
    monkeypatch.setattr("salus_ros.labelling.work.LISTED", 3)
    assert "there are s, u, v and 1 more" in refused(path, "--episode", "w", *success)
    assert "one store" in refused(path, same, "--index", 0, *success)
    assert endings(path)[1] == endings(same)[0] == ("unknown", -1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--episode", "u", "--outcome", "good"), "allowed is one of unknown, success, failure"),
        (("--episode", "u", "--outcome", "success", "--type", "drop"), "no type and no step"),
        (("--episode", "u", "--outcome", "unknown", "--step", 3), "no type and no step"),
        (("--episode", "u", "--outcome", "failure"), "the type of the failure is missing"),
        (("--episode", "u", "--outcome", "failure", "--type", "none"), "is 'none'; allowed is"),
        (("--episode", "u", "--outcome", "failure", "--type", "drop", "--step", -2), "0 to the"),
        (("--episode", "u", "--outcome", "failure", "--type", "drop", "--step", 31), "0 to 30"),
        (("--episode", "u", "--type", "drop"), "add --outcome failure"),
        (("--outcome", "success"), "add --episode ID"),
    ],
)
def test_refuses_what_contradicts_itself(path, refused, options, said):
    assert said in refused(path, *options)
    assert endings(path)[1] == ("unknown", -1)


def test_refuses_stores_that_cannot_be_written(path, refused, tmp_path):
    success = ("--episode", "u", "--outcome", "success")
    assert "comes with SALUS" in refused("shipped:standard", *success)
    assert "pack them again" in refused(tmp_path / "a.zarr.zip", *success)
    assert "each once" in refused(path, path, *success)
    assert "does not exist" in refused(tmp_path / "none.zarr", *success)
    with EpisodeStore.open(path):
        said = refused(path, *success)
        assert "is being written by process" in said
        assert "service ~/label" in said


def test_without_a_display_it_names_the_other_form(path, refused):
    matplotlib.use("agg")  # what it takes by itself where there is no display
    said = refused(path)
    assert "no display" in said
    assert "--outcome failure --type drop --step 31" in said
    EpisodeStore.open(path).close()  # the store is free again


def test_answers_are_written_at_once_and_the_next_run_goes_on(path):
    with Labelling([path]) as work:
        assert len(work) == 3
        work.skip()
        work.answer(Outcome.FAILURE, DROP, 7)
        assert endings(path)[2] == ("drop", 7)
        assert (work.place, work.meta.id, work.unlabelled) == (2, "d", 2)
    with Labelling([path]) as work:
        assert work.places == [(0, 1), (0, 3)]
        assert work.meta.id == "u"


def test_undo_restores_what_was_there_and_goes_back(path):
    with Labelling([path], everything=True) as work:
        assert work.undo() is None
        for step in (3, 4, 5, 6):
            work.answer(Outcome.FAILURE, FailureType.OTHER, step)
        assert work.current is None
        assert str(work.undo()) == "d: drop at an unknown moment -> other at step 6"
        assert work.meta.failure_step == -1
        work.undo()
        work.skip()
        assert work.undo() is None
        work.undo()
        assert [change.after.failure_step for change in work.changes] == [3]
    assert endings(path) == [("other", 3), ("unknown", -1), ("unknown", -1), ("drop", -1)]


def test_an_answer_that_cannot_be_written_leaves_the_person_where_they_are(path):
    with Labelling([path]) as work:
        with pytest.raises(StoreError, match="0 to 30"):
            work.answer(Outcome.FAILURE, DROP, 31)
        assert (work.place, work.changes, work.unlabelled) == (0, [], 3)


def test_what_was_answered_outlives_a_killed_process(path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from salus_ros.labelling.work import Labelling\n"
        "from salus_ros.core.failures import FailureType, Outcome\n"
        "work = Labelling([Path(sys.argv[1])])\n"
        "work.answer(Outcome.FAILURE, FailureType.COLLISION, 9)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert endings(path)[1] == ("collision", 9)
    with Labelling([path]) as work:  # the lock of the killed one is no obstacle
        assert work.places == [(0, 2), (0, 3)]
