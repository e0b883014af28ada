"""Checkpoint folders as they are copied, moved and trained on."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from salus_ros.core.errors import PolicyError
from salus_ros.policies.checkpoint import (
    policy_cameras,
    policy_id,
    save_noise_memory,
)
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.smolvla.backbone import copy_to_train, find_backbone

TASK = "put the red cube in the bin"


@pytest.fixture
def folder(policy_folder, tmp_path):
    """A copy of the policy."""
    copied = tmp_path / "copied"
    shutil.copytree(policy_folder, copied)
    return copied


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach a network fails the test."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_identity_is_known_without_torch(policy_folder):
    code = (
        "import sys; from salus_ros.policies.checkpoint import policy_id;"
        f"print(policy_id({str(policy_folder)!r}), 'torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [PolicyRunner(policy_folder).policy_id, "False"]


def test_the_identity_is_of_the_weights(folder, policy_folder):
    configure(folder, n_action_steps=3)
    assert policy_id(folder).split("-")[1] == policy_id(policy_folder).split("-")[1]
    assert policy_id(folder, 0.0) == policy_id(folder)  # its own
    assert policy_id(folder, 30.0) == f"{policy_id(folder)}+noise30"
    save_noise_memory(folder, 30.0)
    assert policy_id(folder, 30.0) == policy_id(folder)
    assert policy_id(folder).split("-")[1] != policy_id(policy_folder).split("-")[1]
    (folder / "model.safetensors").write_bytes(b"other")
    assert policy_id(folder).split("-")[1] != policy_id(policy_folder).split("-")[1]


def test_a_backbone_that_lies_beside_the_weights_is_found_wherever_one_stands(
    folder, tmp_path, monkeypatch, no_network
):
    monkeypatch.chdir(tmp_path)
    assert PolicyRunner("copied").state_dim == 7
    (folder / "vlm").rename(folder / "backbone")
    configure(folder, vlm_model_name="backbone")
    assert PolicyRunner("copied").state_dim == 7
    monkeypatch.chdir("/")
    assert PolicyRunner(folder).state_dim == 7


def test_a_checkpoint_without_its_backbone_is_refused_at_once_with_what_to_copy(
    folder, policy_folder, no_network
):
    shutil.rmtree(folder / "vlm")
    for name in ("vlm", "/somewhere/else/vlm", ""):
        configure(folder, vlm_model_name=name)
        with pytest.raises(PolicyError, match=rf"cp -r POLICY/vlm {folder}/"):
            PolicyRunner(folder)
    configure(folder, vlm_model_name=str(policy_folder / "vlm"))
    assert find_backbone(folder, str(policy_folder / "vlm")) == str(policy_folder / "vlm")


def test_what_lerobot_saves_of_a_policy_loads_when_its_backbone_is_copied(
    folder, policy_folder, observation, monkeypatch, tmp_path
):
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    monkeypatch.chdir(folder)  # where LeRobot itself finds 'vlm'
    policy, saved = SmolVLAPolicy.from_pretrained("."), tmp_path / "pretrained_model"
    processors = make_pre_post_processors(policy.config, pretrained_path=".")
    for part in (policy, *processors):
        part.save_pretrained(saved)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError, match="cp -r POLICY/vlm"):
        PolicyRunner(saved)
    shutil.copytree(policy_folder / "vlm", saved / "vlm")
    images, state = observation
    step, expected = (
        PolicyRunner(place).step(images, state, TASK, 0) for place in (saved, policy_folder)
    )
    np.testing.assert_array_equal(step.action, expected.action)


def test_a_copy_is_trained_on_from_anywhere_and_what_is_saved_of_it_loads(
    folder, policy_folder, observation, monkeypatch, tmp_path, no_network
):
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    base, saved = tmp_path / "base", tmp_path / "pretrained_model"
    monkeypatch.chdir(tmp_path)
    copy_to_train(folder, Path("base"))
    monkeypatch.chdir("/")  # where there is no 'vlm'
    policy = SmolVLAPolicy.from_pretrained(base)
    processors = make_pre_post_processors(policy.config, pretrained_path=str(base))
    for part in (policy, *processors):
        part.save_pretrained(saved)
    images, state = observation
    step, expected = (
        PolicyRunner(place).step(images, state, TASK, 0) for place in (saved, policy_folder)
    )
    np.testing.assert_array_equal(step.action, expected.action)
    with pytest.raises(PolicyError, match="is there already"):
        copy_to_train(folder, base)
    configure(folder, type="act")
    with pytest.raises(PolicyError, match="of type 'act', which has no backbone"):
        copy_to_train(folder, tmp_path / "other")


def test_a_backbone_of_the_hub_is_looked_for_in_the_cache_alone(folder, no_network, monkeypatch):
    shutil.rmtree(folder / "vlm")
    configure(folder, vlm_model_name="nobody/nothing")
    with pytest.raises(PolicyError, match="hf download nobody/nothing"):
        PolicyRunner(folder)


@pytest.mark.parametrize("saved", [False, True])
def test_an_empty_camera_is_none(folder, observation, saved):
    cameras = policy_cameras(folder)
    assert cameras == PolicyRunner(folder).cameras == ("front", "side", "wrist")
    config = json.loads((folder / "config.json").read_text())
    if saved:  # as LeRobot writes it
        empty = {"type": "VISUAL", "shape": [3, 480, 640]}
        config["input_features"]["observation.images.empty_camera_0"] = empty
    configure(folder, empty_cameras=1, input_features=config["input_features"])
    assert policy_cameras(folder) == cameras
    runner = PolicyRunner(folder, num_samples=2)
    assert runner.cameras == cameras
    images, state = observation
    step = runner.step(images, state, TASK, 0)
    assert np.isfinite(step.action).all()
    assert step.valid.sum() == 8  # three need a replan before, one a reference
    tapped = runner._tap._sampler._image_slices(4)
    assert len(tapped) == 3


def test_nothing_is_printed_where_results_are(policy_folder, capfd):
    PolicyRunner(policy_folder, num_samples=2)
    assert capfd.readouterr().out == ""


def test_weights_in_a_pickle_are_refused_by_name(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PolicyError, match=r"pytorch_model\.bin is a pickle.*never read"):
        PolicyRunner(folder)


def test_a_policy_whose_classes_are_not_installed_is_refused_by_name(folder):
    configure(folder, type="gr00t_n9")
    with pytest.raises(PolicyError, match=r"'gr00t_n9', whose classes are not.*known are act"):
        PolicyRunner(folder)
    configure(folder, type=None)
    with pytest.raises(PolicyError, match="has no 'type'"):
        PolicyRunner(folder)
