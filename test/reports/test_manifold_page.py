"""What the distance of a manifold tells, and the page of it."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from manifold_episodes import LIMIT, SMALL, make_runs
from rich.console import Console

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.manifold.training import train_manifold
from salus_ros.reports.numbers.manifold import CLOCK, UNLEARNT, measure, step_groups
from salus_ros.reports.pages.manifold import write_manifold_page
from salus_ros.reports.tables.manifold import evaluation_tables, training_tables


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifold")
    store = make_runs(folder / "a.zarr")
    learnt = train_manifold([store], folder / "card.safetensors", SMALL)
    manifolds = {"card": Manifold.load(folder / "card.safetensors")}
    return store, manifolds, measure(manifolds, [store]), learnt


def test_steps_are_grouped_by_how_their_episode_ends(made):
    samples = made[2].samples
    groups = step_groups(samples)
    ends = np.array([one.failure_type for one in samples.records])[samples.episode]
    assert set(ends[groups["stuck"]]) == {FailureType.TIMEOUT}
    assert samples.step[groups["stuck"]].min() == LIMIT / 2
    assert set(ends[groups["sudden"]]) == {FailureType.DROP}
    lengths = np.array([one.length for one in samples.records])[samples.episode]
    assert (lengths - samples.step)[groups["sudden"]].max() == 30
    assert (samples.step[groups["late success"]] >= LIMIT / 2).all()
    assert not (groups["success"] & (groups["stuck"] | groups["sudden"])).any()


def test_the_distance_tells_what_left_and_the_seen_are_left_out(made):
    figures = made[2].figures
    assert figures["episodes"] + figures["left_out"] == 30
    assert figures["episodes"] == 6
    stuck = {
        name: of["stuck against successes"]["auroc"] for name, of in figures["scores"].items()
    }
    assert list(stuck) == [CLOCK, UNLEARNT, "card"]
    assert stuck["card"] > 0.9
    # Too few episodes to say how sure that is.
    assert figures["scores"]["card"]["stuck against successes"]["interval_95"] == [None, None]


def test_nothing_unseen_is_an_error(made):
    store, manifolds, measured, _ = made
    everything = {"train": tuple(one.key for one in measured.samples.records)}
    other = {"other": replace(manifolds["card"], split=everything)}
    with pytest.raises(ConfigError, match="all 30 labelled episodes were used"):
        measure(manifolds | other, [store])


def test_the_page_shows_the_map_and_the_table(made, tmp_path):
    page = write_manifold_page(made[1], made[2], tmp_path / "page")
    text = page.read_text()
    assert "<h3>card: state, action</h3>" in text
    assert text.count("data:image/png") == 1
    assert "before sudden failures against successes" in text
    assert (page.parent / "manifold.json").exists()


def test_tables_say_what_was_learnt_and_what_it_tells(made):
    console = Console(file=StringIO(), width=200)
    for table in (*training_tables(made[3]), *evaluation_tables(made[2].figures)):
        console.print(table)
    text = console.file.getvalue()
    assert "state, action (14 values)" in text
    assert "20 to learn from, 4 to choose by, 6 kept" in text
    assert UNLEARNT in text
