import dataclasses
import logging

import numpy as np
import pytest
import zarr
from synthetic_episodes import LOW_DIM, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType
from salus_ros.core.schema import EPISODE_OUTPUTS
from salus_ros.episodes import EpisodeStore, StoreReader, StoreSpec
from salus_ros.episodes.pack import pack, select_episodes

JOINTS = tuple("abcdefg")
TURNED = ("g", *JOINTS[:-1])
NAMES = dataclasses.replace(LOW_DIM, state_names=JOINTS, action_names=tuple("tuvwxyz"))
OTHER_ORDER = dataclasses.replace(NAMES, state_names=TURNED)


def test_names_of_columns_are_kept(tmp_path):
    store = make_store(tmp_path / "a.zarr", [FailureType.DROP], NAMES)
    assert StoreReader(store).spec == NAMES
    assert zarr.open_group(store).attrs["state_names"] == list(JOINTS)
    packed = pack(select_episodes([store]), tmp_path / "a.zarr.zip").path
    assert StoreReader(packed).spec == NAMES


def test_a_store_without_names_reads_as_one_that_does_not_know_them(tmp_path):
    path = make_store(tmp_path / "a.zarr", [FailureType.DROP])
    attributes = zarr.open_group(path, mode="r+").attrs
    for name in ("state_names", "action_names"):
        del attributes[name]
    assert StoreReader(path).spec == LOW_DIM


@pytest.mark.parametrize("names", [("a", "b"), ("a", *"abcdef"), ("a", "a", *"bcdefg")])
def test_as_many_names_as_columns(names):
    with pytest.raises(StoreError, match=r"state_names are .* allowed are 7 different ones"):
        dataclasses.replace(LOW_DIM, state_names=names)


@pytest.mark.parametrize(
    ("height", "width", "frames"),
    [(8, 6, 200), (256, 256, 200), (480, 640, 45), (720, 1280, 15), (8000, 8000, 1)],
)
def test_a_file_of_images_is_bounded_in_bytes(height, width, frames):
    spec = StoreSpec(cameras=("top",), image_size=(height, width), state_dim=7, action_dim=7)
    assert spec.shard_steps == frames
    assert frames == 1 or frames * 3 * height * width <= 40 * 2**20


@pytest.mark.parametrize(
    ("cameras", "size", "message"),
    [
        (("top", "top"), (8, 6), "each needs a name of its own"),
        (("",), (8, 6), "each needs a name of its own"),
        (("top",), (0, 0), "give the height and width"),
    ],
)
def test_cameras_have_names_and_their_images_a_size(cameras, size, message):
    with pytest.raises(StoreError, match=message):
        StoreSpec(cameras=cameras, image_size=size, state_dim=7, action_dim=7)


def test_the_size_of_images_that_there_are_not_is_no_difference():
    assert LOW_DIM.differences(dataclasses.replace(LOW_DIM, image_size=(256, 256))) == []


def test_what_is_predicted_of_the_episode_is_known_by_its_names():
    spec = StoreSpec(state_dim=7, action_dim=7, episode_outputs=("episode_failure",))
    assert StoreSpec.from_attributes(spec.to_attributes()) == spec
    older = {k: v for k, v in spec.to_attributes().items() if k != "episode_outputs"}
    assert StoreSpec.from_attributes(older).episode_outputs == ()
    with pytest.raises(StoreError, match=r"allowed are \['episode_failure', 'no_progress'\]"):
        dataclasses.replace(spec, episode_outputs=("no_progress",))


def test_another_order_is_refused_with_both_and_says_that_columns_are_matched(tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", NAMES).close()
    with pytest.raises(StoreError, match="matches the columns by name") as error:
        EpisodeStore.open(tmp_path / "a.zarr", OTHER_ORDER)
    assert str(list(JOINTS)) in str(error.value)
    assert str(list(TURNED)) in str(error.value)


def test_other_names_are_refused_with_both(tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", NAMES).close()
    other = dataclasses.replace(NAMES, action_names=tuple("stuvwxy"))
    with pytest.raises(StoreError, match="holds episodes of another form") as error:
        EpisodeStore.open(tmp_path / "a.zarr", other)
    assert str(list("tuvwxyz")) in str(error.value)
    assert str(list("stuvwxy")) in str(error.value)


def test_unknown_names_go_with_any_and_the_known_ones_are_kept(tmp_path, caplog):
    path = make_store(tmp_path / "a.zarr", [FailureType.DROP], LOW_DIM)
    with caplog.at_level(logging.WARNING):
        EpisodeStore.open(path, NAMES).close()
    assert "its 1 episodes count as those of the next" in caplog.text
    assert StoreReader(path).spec == NAMES
    EpisodeStore.open(path, LOW_DIM).close()
    assert StoreReader(path).spec == NAMES
    with pytest.raises(StoreError, match="matches the columns"):
        EpisodeStore.open(path, OTHER_ORDER)


def test_stores_of_another_order_are_packed_by_name(tmp_path):
    first, second = make_episode("0", seed=1), make_episode("1", seed=2)
    for spec, episodes in ((NAMES, [first]), (OTHER_ORDER, [first, second])):
        with EpisodeStore.create(tmp_path / f"{spec.state_names[0]}.zarr", spec) as store:
            for episode in episodes:
                state = episode.state[:, [JOINTS.index(name) for name in spec.state_names]]
                store.append(dataclasses.replace(episode, state=state))
    unknown = make_store(tmp_path / "u.zarr", [FailureType.DROP], LOW_DIM)
    chosen = select_episodes([unknown, tmp_path / "a.zarr", tmp_path / "g.zarr"])
    assert (len(chosen), chosen.repeated) == (3, 1)
    reader = StoreReader(pack(chosen, tmp_path / "p.zarr.zip").path)
    assert reader.spec == NAMES
    np.testing.assert_array_equal(reader.episode(1).state, first.state)
    np.testing.assert_array_equal(reader.episode(2).state, second.state)


def test_a_store_has_columns_for_what_is_predicted_of_an_episode_unless_it_is_older(tmp_path):
    """An older one takes what loses nothing by it, and is not packed with the others unasked."""
    assert LOW_DIM.episode_outputs == EPISODE_OUTPUTS
    old_spec = LOW_DIM.without(("episode_outputs",))
    attributes = old_spec.to_attributes()
    del attributes["episode_outputs"]
    assert StoreSpec.from_attributes(attributes) == old_spec
    assert old_spec.episode_outputs == ()
    new = make_store(tmp_path / "new.zarr", [FailureType.DROP], LOW_DIM)
    old = make_store(tmp_path / "old.zarr", [FailureType.DROP], old_spec)
    said = make_episode("said")
    assert np.isfinite(said.episode_outputs).all()
    nothing = np.full_like(said.episode_outputs, np.nan)
    with EpisodeStore.open(old, LOW_DIM) as store:
        with pytest.raises(StoreError, match=r"has episode_outputs .* was created without"):
            store.append(said)
        store.append(dataclasses.replace(said, episode_outputs=nothing))
    assert [meta.id for meta in StoreReader(old).episodes()] == ["0", "said"]
    with EpisodeStore.open(new, old_spec) as store:
        store.append(dataclasses.replace(said, episode_outputs=None))
    np.testing.assert_array_equal(StoreReader(new).episode(1).episode_outputs, nothing)
    with pytest.raises(StoreError, match="different forms"):
        select_episodes([new, old])
    assert len(select_episodes([new, old], without=("episode_outputs",))) == 2
