import dataclasses
import json

import numpy as np
import pytest
import zarr
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.core.labels import horizon_labels
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.layouts.padded import export_padded
from salus_ros.episodes.layouts.padded_import import import_padded

KINDS = (FailureType.DROP, FailureType.NONE, FailureType.TIMEOUT)
HORIZONS = (6, 9, 12, 15)
POC_TYPES = (FailureType.DROP, FailureType.TIMEOUT, FailureType.OTHER)


@pytest.fixture
def store(tmp_path):
    """Episodes that end in every way, one of them unlabelled."""
    path = make_store(tmp_path / "a.zarr", KINDS, WITH_IMAGES, lengths=(20, 40))
    with EpisodeStore.open(path) as store:
        store.append(make_episode("?", 9, spec=WITH_IMAGES, outcome=Outcome.UNKNOWN))
    return path


def plain_file(path, zarr_format=2, **changed):
    """A file as the proof of concept wrote it: five arrays, two episodes of 200 steps."""
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 200, 4, 4), np.float32)  # none, drop, timeout, other
    labels[0, ..., 1:] = horizon_labels(200, 120, FailureType.TIMEOUT, HORIZONS, POC_TYPES)
    labels[..., 0] = ~labels[..., 1:].any(axis=-1)
    arrays = {
        "actions": rng.normal(size=(2, 200, 7)).astype(np.float32),
        "states": rng.normal(size=(2, 200, 7)).astype(np.float32),
        "images": rng.integers(0, 256, (2, 200, 3, 3, 4, 5), dtype=np.uint8),
        "signals": rng.normal(size=(2, 200, 12)).astype(np.float32),
        "horizon_labels": labels.reshape(2, 200, 16),
    } | changed
    group = zarr.create_group(path, zarr_format=zarr_format)
    for name, values in arrays.items():
        if values is not None:
            group.create_array(name, data=values)
    return arrays


def same(read, written):
    np.testing.assert_equal(dataclasses.asdict(read), dataclasses.asdict(written))


def test_what_was_exported_is_imported(store, tmp_path):
    done = []
    export_padded(StoreReader(store), tmp_path / "padded", done.append)
    assert done == [1, 2, 3, 4]
    imported = import_padded(tmp_path / "padded", tmp_path / "b.zarr")
    before, after = StoreReader(store), StoreReader(tmp_path / "b.zarr")
    assert (imported.episodes, imported.steps) == (4, before.steps)
    assert after.spec == before.spec
    for index in range(4):
        same(after.episode(index), before.episode(index))


def test_exported_arrays_are_those_of_the_proof_of_concept(store, tmp_path):
    export_padded(StoreReader(store), tmp_path / "padded")
    group, reader = zarr.open_group(tmp_path / "padded", mode="r"), StoreReader(store)
    lengths = reader.table()["length"]
    T = lengths.max()
    shapes = {name: array.shape for name, array in group.arrays()}
    assert shapes == {
        "actions": (4, T, 7),
        "states": (4, T, 7),
        "images": (4, T, 2, 3, 8, 6),
        "signals": (4, T, 12),
        "horizon_labels": (4, T, 16),
        "mask": (4, T),
    }
    np.testing.assert_array_equal(group["mask"][:], np.arange(T) < lengths[:, None])
    for index, length in enumerate(lengths):
        episode = reader.episode(index)
        np.testing.assert_array_equal(group["actions"][index, :length], episode.action)
        np.testing.assert_array_equal(group["states"][index, :length], episode.state)
        np.testing.assert_array_equal(group["signals"][index, :length], episode.signals)
        wrist = group["images"][index, :length, 1]
        np.testing.assert_array_equal(wrist.transpose(0, 2, 3, 1), episode.images["wrist"])
        for name in ("actions", "states", "signals", "horizon_labels"):
            assert np.isnan(group[name][index, length:]).all()
    labels = group["horizon_labels"][:]
    drop = labels[0, : lengths[0]].reshape(-1, 4, 4)
    expected = horizon_labels(lengths[0], lengths[0], FailureType.DROP, HORIZONS)
    np.testing.assert_array_equal(drop, expected)
    assert (labels[1, : lengths[1]] == 0).all()
    assert np.isnan(labels[3]).all()  # of an unlabelled episode


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_file_is_imported_array_by_array(tmp_path, zarr_format):
    arrays = plain_file(tmp_path / "poc", zarr_format)
    imported = import_padded(tmp_path / "poc", tmp_path / "b.zarr")
    assert (imported.episodes, imported.steps, imported.labels_left_out) == (2, 400, 0)
    reader = StoreReader(tmp_path / "b.zarr")
    for index in range(2):
        episode = reader.episode(index)
        np.testing.assert_array_equal(episode.action, arrays["actions"][index])
        np.testing.assert_array_equal(episode.state, arrays["states"][index])
        np.testing.assert_array_equal(episode.signals, arrays["signals"][index])
        assert episode.signals_valid.all()
        for number, camera in enumerate(("front", "side", "wrist")):
            frames = arrays["images"][index, :, number].transpose(0, 2, 3, 1)
            np.testing.assert_array_equal(episode.images[camera], frames)
        np.testing.assert_allclose(np.diff(episode.stamp_ns), 1e9 / 30, atol=1)
    failed, succeeded = reader.episodes()
    assert (failed.outcome, failed.failure_type) == (Outcome.FAILURE, FailureType.TIMEOUT)
    assert failed.failure_step == 120
    assert succeeded.outcome == Outcome.SUCCESS


def test_a_plain_file_without_images_and_labels_has_unknown_outcomes(tmp_path):
    plain_file(tmp_path / "poc", images=None, horizon_labels=None)
    import_padded(tmp_path / "poc", tmp_path / "b.zarr")
    reader = StoreReader(tmp_path / "b.zarr")
    assert reader.spec.cameras == ()
    assert {meta.outcome for meta in reader.episodes()} == {Outcome.UNKNOWN}


def test_signals_that_were_zero_because_no_hook_fired_are_missing(tmp_path):
    signals = np.zeros((2, 200, 12), np.float32)
    signals[:, ::50] = 1 + np.arange(4)[:, None]
    signals[0, 51] = signals[0, 50]  # held
    plain_file(tmp_path / "poc", images=None, signals=signals)
    import_padded(tmp_path / "poc", tmp_path / "b.zarr")
    episode = StoreReader(tmp_path / "b.zarr").episode(0)
    assert np.flatnonzero(episode.signals_valid.all(axis=1)).tolist() == [0, 50, 51, 100, 150]
    assert np.flatnonzero(episode.signals_fresh).tolist() == [0, 50, 100, 150]
    assert np.isnan(episode.signals[1]).all()


def test_labels_by_another_rule_are_left_out_and_counted(tmp_path):
    labels = np.zeros((2, 200, 4, 4), np.float32)
    labels[0, 100:130, :, 1] = 1  # as long for every horizon
    plain_file(tmp_path / "poc", images=None, horizon_labels=labels.reshape(2, 200, 16))
    imported = import_padded(tmp_path / "poc", tmp_path / "b.zarr")
    assert imported.labels_left_out == 1
    outcomes = {meta.outcome for meta in StoreReader(tmp_path / "b.zarr").episodes()}
    assert outcomes == {Outcome.UNKNOWN}  # all zero tells nothing either


CAUSES = {
    "drop": FailureType.DROP,
    "misplaced release": FailureType.DROP,
    "no progress": FailureType.TIMEOUT,
}


@pytest.mark.parametrize(
    ("types", "columns"),
    [
        (FAILURE_TYPES, (0, 0, 2)),
        ((FailureType.COLLISION, FailureType.MISPLACED_RELEASE, FailureType.DROP), (2, 1, None)),
    ],
)
def test_labels_are_of_the_types_of_the_store_and_the_cause_is_kept(tmp_path, types, columns):
    with EpisodeStore.create(
        tmp_path / "a.zarr", dataclasses.replace(LOW_DIM, failure_types=types)
    ) as store:
        for cause, kind in CAUSES.items():
            store.append(make_episode(cause, 30, kind, failure_cause=cause))
    export_padded(StoreReader(tmp_path / "a.zarr"), tmp_path / "padded")
    group = zarr.open_group(tmp_path / "padded", mode="r")
    assert group.attrs["failure_types"] == [kind.label for kind in types]
    labels = group["horizon_labels"][:].reshape(3, 30, 4, len(types))
    for number, column in enumerate(columns):
        expected = np.zeros((30, 4, len(types)))
        if column is not None:
            expected[-15:, 3, column] = 1
        np.testing.assert_array_equal(labels[number, :, 3], expected[:, 3])
    import_padded(tmp_path / "padded", tmp_path / "b.zarr")
    before, after = StoreReader(tmp_path / "a.zarr"), StoreReader(tmp_path / "b.zarr")
    assert after.spec.failure_types == types
    for now, then in zip(after.episodes(), before.episodes(), strict=True):
        same(now, then)


def test_a_plain_file_may_tell_other_types_apart(tmp_path):
    types = [FailureType.DROP, FailureType.MISPLACED_RELEASE]
    labels = np.zeros((2, 200, 4, 2), np.float32)
    labels[0] = horizon_labels(200, 120, FailureType.MISPLACED_RELEASE, HORIZONS, types)
    plain_file(tmp_path / "poc", images=None, horizon_labels=labels.reshape(2, 200, 8))
    names = [kind.label for kind in types]
    import_padded(tmp_path / "poc", tmp_path / "b.zarr", failure_types=names)
    failed = StoreReader(tmp_path / "b.zarr").meta(0)
    assert (failed.failure_type, failed.failure_step) == (FailureType.MISPLACED_RELEASE, 120)


def test_a_mask_ends_the_episodes_of_a_plain_file(tmp_path):
    mask = np.arange(200) < np.array([[30], [200]])
    plain_file(tmp_path / "poc", images=None, mask=mask)
    import_padded(tmp_path / "poc", tmp_path / "b.zarr")
    assert StoreReader(tmp_path / "b.zarr").episode_ends.tolist() == [30, 230]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"actions": None}, "no array 'actions'"),
        ({"states": np.zeros((2, 199, 7), np.float32)}, "states is .2, 199, 7.*allowed is"),
        ({"signals": np.zeros((2, 200, 11), np.float32)}, "signals is"),
        ({"images": np.zeros((2, 200, 3, 4, 5), np.uint8)}, "images must be"),
        ({"images": np.zeros((2, 200, 1, 3, 4, 5), np.float32)}, "uint8"),
        ({"horizon_labels": np.zeros((2, 200, 12), np.float32)}, "horizon_labels is"),
        ({"mask": np.ones((2, 200), bool) & (np.arange(200) % 2 > 0)}, "mask of episode 0"),
    ],
)
def test_a_file_of_another_form_is_refused_and_nothing_is_left(tmp_path, changed, message):
    plain_file(tmp_path / "poc", **changed)
    with pytest.raises(StoreError, match=message):
        import_padded(tmp_path / "poc", tmp_path / "b.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["poc"]


def test_an_export_neither_overwrites_nor_leaves_half_a_folder(store, tmp_path):
    export_padded(StoreReader(store), tmp_path / "padded")
    with pytest.raises(StoreError, match="exists already"):
        export_padded(StoreReader(store), tmp_path / "padded")
    (store / "data" / "state" / "c" / "0" / "0").unlink()
    with pytest.raises(StoreError, match="damaged"):
        export_padded(StoreReader(store), tmp_path / "other")
    assert not list(tmp_path.glob("other*"))


def test_an_empty_store_has_nothing_to_export(tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM).close()
    with pytest.raises(StoreError, match="no episode"):
        export_padded(StoreReader(tmp_path / "a.zarr"), tmp_path / "padded")


def test_the_command_goes_both_ways(store, tmp_path, salus):
    def run(*arguments):
        code, out, _ = salus(*arguments, "--json")
        return code, json.loads(out)

    code, exported = run("export", store, "--layout", "padded", "--out", tmp_path / "padded")
    assert (code, exported["episodes"]) == (0, 4)
    code, imported = run(
        "import", tmp_path / "padded", "--layout", "padded", "--out", tmp_path / "b.zarr"
    )
    assert (code, imported["episodes"]) == (0, 4)
    same(StoreReader(tmp_path / "b.zarr").episode(0), StoreReader(store).episode(0))
    labels = np.zeros((2, 200, 16), np.float32)
    labels[0, 7] = 1
    plain_file(tmp_path / "poc", images=None, horizon_labels=labels)
    code, imported = run(
        "import", tmp_path / "poc", "--layout", "padded", "--out", tmp_path / "c.zarr"
    )
    assert (code, imported["labels_left_out"]) == (1, 1)
