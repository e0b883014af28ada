"""What LeRobot would run and SALUS does not, or cannot here, is refused by name."""

import json
import shutil

import pytest
from other_policies import save_act

from salus_ros.core.errors import PolicyError
from salus_ros.policies.loading import load_lerobot


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return save_act(tmp_path_factory.mktemp("act") / "act")


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copied")


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_actions_relative_to_the_state_are_refused(folder):
    path = folder / "policy_preprocessor.json"
    content = json.loads(path.read_text())
    step = {"registry_name": "relative_actions_processor", "config": {"enabled": True}}
    path.write_text(json.dumps(content | {"steps": [*content["steps"], step]}))
    with pytest.raises(PolicyError, match="actions relative to the state"):
        load_lerobot(folder)


def test_a_package_that_the_policy_needs_is_named(folder, monkeypatch):
    def lacks(_kind):
        raise ImportError("'diffusers' is required: pip install 'lerobot[diffusion]'")

    monkeypatch.setattr("lerobot.policies.factory.get_policy_class", lacks)
    with pytest.raises(PolicyError, match=r"package that it needs is not.*lerobot\[diffusion\]"):
        load_lerobot(folder)


def test_weights_of_another_form_are_refused(folder):
    configure(folder, dim_model=64)
    with pytest.raises(PolicyError, match="cannot build the policy"):
        load_lerobot(folder)


def test_a_policy_without_the_robots_state_is_refused(folder):
    features = json.loads((folder / "config.json").read_text())["input_features"]
    del features["observation.state"]
    configure(folder, input_features=features)
    with pytest.raises(PolicyError, match=r"names no observation\.state"):
        load_lerobot(folder)


def test_a_policy_that_takes_what_only_a_simulator_knows_is_refused(folder):
    features = json.loads((folder / "config.json").read_text())["input_features"]
    features["observation.environment_state"] = {"type": "ENV", "shape": [4]}
    configure(folder, input_features=features)
    with pytest.raises(PolicyError, match="only a simulator knows"):
        load_lerobot(folder)


def test_weights_of_the_backbone_are_not_downloaded(folder):
    """They are in the checkpoint, whatever its training began with."""
    configure(folder, pretrained_backbone_weights="ResNet18_Weights.IMAGENET1K_V1")
    assert load_lerobot(folder).config.pretrained_backbone_weights is None
