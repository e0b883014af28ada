import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from salus_ros.core.errors import ConfigError
from salus_ros.nodes.declaration import declare
from salus_ros.nodes.parameters import (
    NODES,
    PredictorParameters,
    RecorderParameters,
    SimulatorParameters,
    VlaParameters,
    render_yaml,
)

CONFIG = Path(__file__).parents[2] / "config" / "salus.yaml"


def test_yaml_is_the_dataclasses():
    assert CONFIG.read_text() == render_yaml(), (
        "run: python -m salus_ros.nodes.parameters > config/salus.yaml"
    )


@pytest.mark.parametrize("cls", NODES)
def test_yaml_holds_every_default(cls):
    section = yaml.safe_load(CONFIG.read_text())[f"/**/{cls.node_name}"]["ros__parameters"]
    assert cls.from_values(section) == cls()
    assert set(section) == set(cls.specs())


@pytest.mark.parametrize("cls", NODES)
def test_every_parameter_says_what_it_does_and_takes(cls):
    for name, spec in cls.specs().items():
        assert len(spec.description) > 10, name
        assert not spec.description.endswith("."), name
        assert spec.allowed, name
        assert spec.check(name, spec.default) == spec.default


def test_parameters_cannot_change():
    with pytest.raises(FrozenInstanceError):
        SimulatorParameters().seed = 3


@pytest.mark.parametrize(
    ("cls", "name", "value", "said"),
    [
        (SimulatorParameters, "rate_hz", 0.0, "from 0.1 to 1000, in Hz"),
        (SimulatorParameters, "rate_hz", math.nan, "from 0.1 to 1000"),
        (SimulatorParameters, "rate_hz", "fast", "a number"),
        (SimulatorParameters, "episodes", -1, "whole number of at least 0"),
        (SimulatorParameters, "episodes", 2.0, "whole number"),
        (SimulatorParameters, "episodes", True, "whole number"),
        (SimulatorParameters, "mode", "turbo", "one of lockstep, realtime"),
        (SimulatorParameters, "exit_when_done", 1, "true or false"),
        (SimulatorParameters, "task", 7, "a text"),
        (VlaParameters, "cameras", [], "a list of texts, at least one"),
        (VlaParameters, "cameras", ["front", 2], "a list of texts"),
        (VlaParameters, "num_samples", 0, "from 1 to 64"),
        (PredictorParameters, "threshold", 1.5, "from -1 to 1"),
        (RecorderParameters, "max_missing_share", 1.01, "from 0 to 1"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(cls, name, value, said):
    with pytest.raises(ConfigError, match="parameter") as error:
        cls.from_values({name: value})
    assert f"'{name}'" in str(error.value)
    assert repr(value) in str(error.value)
    assert said in str(error.value)


def test_a_whole_number_is_taken_for_a_number():
    assert SimulatorParameters.from_values({"rate_hz": 10}).rate_hz == 10.0
    assert isinstance(SimulatorParameters.from_values({"rate_hz": 10}).rate_hz, float)


def test_an_unknown_name_meets_its_neighbour():
    with pytest.raises(ConfigError, match="no parameter 'polcy_path'; did you mean 'policy_path'"):
        VlaParameters.from_values({"polcy_path": "x"})
    with pytest.raises(ConfigError, match=r"it has .*model_path, device"):
        PredictorParameters.from_values({"zzz": 1})


def test_updated_checks_too():
    assert PredictorParameters().updated(threshold=0.5).threshold == 0.5
    with pytest.raises(ConfigError, match="hysteresis"):
        PredictorParameters().updated(hysteresis=2.0)


@pytest.mark.parametrize("cls", NODES)
def test_declared_as_ros_parameters(ros, cls):
    node = Node(cls.node_name)
    values = declare(node, cls)
    assert values == cls()
    for name, spec in cls.specs().items():
        value = node.get_parameter(name).value
        assert (tuple(value) if isinstance(spec.default, tuple) else value) == spec.default
        described = node.describe_parameter(name)
        assert spec.description in described.description
        assert described.read_only == (not spec.live)
    node.destroy_node()


def test_given_values_reach_ros_and_the_dataclass(ros):
    given = {"rate_hz": 10, "seed": 5}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = Node("simulator", parameter_overrides=overrides)
    values = declare(node, SimulatorParameters)
    assert (values.rate_hz, values.seed) == (10.0, 5)
    assert node.get_parameter("rate_hz").value == 10.0
    node.destroy_node()


def test_a_bad_override_is_a_config_error(ros):
    node = Node("simulator", parameter_overrides=[Parameter("seed", value="one")])
    with pytest.raises(ConfigError, match="'seed' is 'one'; allowed is a whole number"):
        declare(node, SimulatorParameters)
    node.destroy_node()


def test_a_live_parameter_has_its_range_and_a_fixed_one_stays(ros):
    node = Node("predictor")
    declare(node, PredictorParameters)
    assert node.set_parameters([Parameter("threshold", value=0.5)])[0].successful
    assert not node.set_parameters([Parameter("threshold", value=1.5)])[0].successful
    assert not node.set_parameters([Parameter("device", value="cpu")])[0].successful
    described = node.describe_parameter("threshold")
    assert described.floating_point_range[0].to_value == 1.0
    node.destroy_node()


def test_a_misspelt_override_is_reported(ros, capfd):
    overrides = [Parameter("polcy_path", value="x"), Parameter("use_sim_time", value=False)]
    node = Node("vla", parameter_overrides=overrides)
    declare(node, VlaParameters)
    node.destroy_node()
    said = capfd.readouterr().err
    assert "did you mean 'policy_path'?" in said
    assert "use_sim_time" not in said
