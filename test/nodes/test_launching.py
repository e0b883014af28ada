"""What the launch file decides, without launch."""

from pathlib import Path

import pytest
import rclpy

from salus_ros.core.errors import ConfigError
from salus_ros.nodes.arguments import ARGUMENTS, RQT_PLUGINS, SOURCES, check, names_of
from salus_ros.nodes.launching import Ending, misspelt, parameter_file, with_robot, with_source
from salus_ros.worlds import metaworld
from salus_ros.worlds.catalogue import world_form
from salus_ros.worlds.mujoco import WORLDS

NOTHING = {one.name: one.default for one in ARGUMENTS}


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Make packages look installed."""
    folder = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    folder.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    def install(*names):
        for name in names:
            (folder / name).touch()

    return install


def test_what_can_work_passes(tmp_path):
    check(NOTHING)
    numbers = {"rate": "12.5", "sync_slop_ms": "0", "num_samples": "1"}
    names = {"cameras": "top, wrist", "state_joints": "j1"}
    service = {"source": "none", "episode_source": "service"}
    check(NOTHING | numbers | names | service | {"policy": str(tmp_path)})
    check(NOTHING | numbers | {"episodes": "0"})
    check(NOTHING | {"source": "none", "robot": "so101", "gate": "enforce", "on_alarm": "slow"})
    check(NOTHING | {"recovery": "scripted@alarm", "model": str(tmp_path)})
    check(NOTHING | {"model": "shipped"})
    check(NOTHING | {"recovery": "shadow:hold@stuck", "source": "none", "episode_source": "topic"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"episodes": "abc"}, "episodes:=abc: allowed is a whole number of at least 0"),
        ({"episodes": "1.5"}, "episodes:=1.5: allowed is a whole number"),
        ({"seed": "-1"}, "seed:=-1: allowed is a whole number of at least 0"),
        ({"num_samples": "0"}, "num_samples:=0: allowed is a whole number of at least 1"),
        ({"rate": "-3"}, "rate:=-3: allowed is a number of at least 0.1"),
        ({"rate": "nan"}, "rate:=nan: allowed is a number"),
        ({"rate": "inf"}, "rate:=inf: allowed is a number"),
        ({"sync_slop_ms": "x"}, "sync_slop_ms:=x: allowed is a number of at least 0"),
        ({"policy": "/nowhere"}, "policy:=/nowhere: there is no such file or folder"),
        (
            {"policy": "/", "watch_only": "true"},
            "policy:=/: it would change nothing, as with watch_only:=true somebody",
        ),
        (
            {"gate": "enforce"},
            "gate:=enforce: it would change nothing, as the gate stands before an arm",
        ),
        ({"on_alarm": "stop", "source": "none"}, "on_alarm:=stop: it would change nothing, as"),
        ({"recovery_alpha": "0.1"}, "as there is no recovery"),
        ({"fault": "slip", "source": "none"}, "fault:=slip: it would change nothing, as"),
        ({"exit_when_done": "true", "source": "none"}, "it is of the built-in world"),
        ({"rate": "5", "source": "none", "episode_source": "topic"}, "your node says it"),
        ({"env_kwargs": "size: 3"}, "env_kwargs:=size: 3: allowed is a JSON object"),
        ({"env_kwargs": "[3]"}, "allowed is a JSON object"),
        ({"env_kwargs": "{}", "source": "none"}, "it is of the built-in world"),
        ({"model": "/nowhere"}, "model:=/nowhere: there is no such"),
        ({"params_file": "/nowhere.yaml"}, "params_file:=/nowhere.yaml: there is no such"),
        ({"cameras": "a,,b"}, "cameras:=a,,b: allowed are names separated by commas"),
        ({"state_joints": "a,"}, "state_joints:=a,: allowed are names"),
        ({"robot": "so101"}, "robot:=so101: the built-in world moves its own arm"),
        ({"episode_source": "service"}, "the built-in world says what an episode is"),
        (
            {"source": "physx", "env_id": "a/B-v0"},
            "env_id:=a/B-v0: source:=physx is salus/PickPlace-physx",
        ),
        (
            {"source": "physx", "robot": "ur5e"},
            "robot:=ur5e: the built-in world moves its own arm",
        ),
        ({"recovery": "scripted"}, "recovery:=scripted: its alarm needs a predictor; give model"),
        ({"recovery": "hold@stuck+home@either"}, "its alarm needs a predictor"),
        (
            {"recovery": "bogus@stuck"},
            "recovery:=bogus@stuck: there is no recovery behaviour",
        ),
        ({"recovery": "hold@sometimes"}, "recovery:=hold@sometimes: 'hold@sometimes' is no arm"),
        ({"recovery": "hold@oracle"}, "the trigger oracle is planned by a trial"),
        ({"recovery": "hold@stuck", "source": "none"}, "needs who announces each step"),
        ({"recovery": "hold@stuck", "source": "none", "robot": "so101"}, "robot:=so101: the beha"),
        ({"recovery": "hold@stuck", "recovery_alpha": "0.2"}, "recovery_alpha:=0.2: it is a rate"),
        ({"recovery": "manifold@stuck"}, "its behaviour manifold needs recovery_manifold"),
        (
            {"recovery": "hold@stuck", "recovery_policy": "/"},
            "recovery_policy:=/: it would change nothing, as hold@stuck has no policy",
        ),
        ({"recovery_manifold": "/"}, "as there is no recovery"),
        ({"recovery": "policy@stuck", "recovery_policy": "/nowhere"}, "there is no such file"),
        ({"recovery_alpha": "x"}, "recovery_alpha:=x: allowed is a number of at least 0"),
        ({"rqt": "true", "namespace": "r1"}, "namespace:=r1: rqt's layout names topics without"),
    ],
)
def test_what_cannot_work_is_named(given, said):
    with pytest.raises(ConfigError) as refused:
        check(NOTHING | given)
    assert said in str(refused.value)


@pytest.mark.parametrize("source", SOURCES)
def test_an_engine_as_a_source_is_a_world(source):
    given = with_source(NOTHING | {"source": source})
    assert given["env_id"] == f"salus/PickPlace-{source}"
    assert given["env_id"] in WORLDS
    check(given)
    named = NOTHING | {"env_id": "salus/PickPlace-v0"}
    assert with_source(named) == named


@pytest.mark.parametrize("env_id", metaworld.WORLDS)
def test_what_a_world_of_others_shows_is_filled_in(env_id):
    form = world_form(env_id)
    filled = with_source(NOTHING | {"env_id": env_id})
    assert names_of(filled["cameras"]) == list(form.cameras)
    assert names_of(filled["state_joints"]) == list(form.state_names)
    assert float(filled["rate"]) == form.rate_hz == 80
    check(filled)
    own = NOTHING | {"env_id": env_id, "cameras": "a", "state_joints": "b", "rate": "5"}
    assert with_source(own) == own
    without = NOTHING | {"env_id": env_id, "source": "none"}
    assert with_source(without) == without


@pytest.mark.parametrize(
    ("argument", "packages"), [("rviz", ["rviz2"]), ("rqt", RQT_PLUGINS), ("bag", ["ros2bag"])]
)
def test_what_is_not_installed_is_named_with_how_to_get_it(
    installed, monkeypatch, tmp_path, argument, packages
):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ros2").touch(mode=0o755)
    given = NOTHING | {argument: str(tmp_path / "new") if argument == "bag" else "true"}
    *first, last = packages
    installed(*first)
    with pytest.raises(ConfigError) as refused:
        check(given)
    said = f"{argument} needs {last}, not installed here: apt install ros-jazzy-"
    assert said + last.replace("_", "-") in str(refused.value)
    installed(last)
    check(given)


def test_a_bag_is_never_written_over(installed, tmp_path):
    installed("ros2bag")
    with pytest.raises(ConfigError, match="it exists already"):
        check(NOTHING | {"bag": str(tmp_path)})


def test_a_bag_needs_the_command(installed, monkeypatch, tmp_path):
    installed("ros2bag")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="ros2 is not on the PATH"):
        check(NOTHING | {"bag": str(tmp_path / "new")})


ROBOTS = Path(__file__).parents[2] / "config" / "robots"


def test_a_robot_gives_what_was_left_empty():
    assert with_robot(NOTHING, ROBOTS) == NOTHING
    known = with_robot(NOTHING | {"robot": "so101"}, ROBOTS)
    assert (known["cameras"], known["rate"]) == ("front,wrist", "30")
    assert known["state_joints"].split(",")[0] == "shoulder_pan"
    assert known["robot"] == str(ROBOTS / "so101.yaml")
    given = with_robot(NOTHING | {"robot": known["robot"], "cameras": "top", "rate": "10"}, ROBOTS)
    assert (given["cameras"], given["rate"]) == ("top", "10")


def test_a_robot_that_is_none_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match="robot:=so1: allowed are panda, so101, ur5e, or the"):
        with_robot(NOTHING | {"robot": "so1"}, ROBOTS)
    file = tmp_path / "mine.yaml"
    for text in ("", "cameras: [a]", "[1]", "joints: [a]\ncameras: [a]"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="is no profile of a robot"):
            with_robot(NOTHING | {"robot": str(file)}, ROBOTS)


def test_names_are_separated_by_commas():
    assert names_of("top, wrist") == ["top", "wrist"]


def test_an_argument_that_is_none_meets_its_neighbour():
    known = ["episodes", "episode_source", "record"]
    (said,) = misspelt(["episods", "record", "somebody_elses"], known)
    assert "'episods' is no argument and changes nothing; did you mean 'episodes'?" in said


def test_parameters_arrive_as_they_are_given():
    """As rcl reads them: y is a name and no truth value, 5 is a text where it was one."""
    given = {
        "joint_names": ["x", "y"],
        "cameras": ["0", "on"],
        "task": "stack: it # now",
        "env_kwargs": '{"a": 1}',
        "wait_for": "n",
        "rate_hz": 10.0,
        "episodes": 3,
        "record": True,
    }
    context = rclpy.Context()
    rclpy.init(context=context, args=["--ros-args", "--params-file", parameter_file(given)])
    node = rclpy.create_node(
        "a", context=context, automatically_declare_parameters_from_overrides=True
    )
    assert {name: node.get_parameter(name).value for name in given} == given
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def ending():
    return Ending([["vla", "predictor", "simulator"], ["recorder", "bag"]], last="simulator")


def test_the_end_of_the_work_ends_the_others_who_write_last(ending):
    assert ending.ended("simulator", 0) == ("", ["vla", "predictor"])
    assert ending.ended("vla", 0) == ("", [])
    assert ending.ended("predictor", 0) == ("", ["recorder", "bag"])
    assert ending.ended("bag", 0) == ("", [])
    assert not ending.over
    assert ending.ended("recorder", 0) == ("", [])
    assert (ending.over, ending.failure) == (True, "")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (2, "ended with exit code 2: its last line says what to change"),
        (1, "ended with exit code 1: its last lines say why"),
        (-9, "was killed by SIGKILL"),
    ],
)
def test_a_dead_node_is_named_with_its_cause(ending, code, why):
    said, told = ending.ended("vla", code)
    assert said == f"vla {why}; the others are ended in order"
    assert told == ["predictor", "simulator"]
    assert ending.failure == f"vla {why}"


def test_a_node_that_was_ended_by_a_person_ends_the_rest_and_is_no_failure(ending):
    said, told = ending.ended("predictor", 0)
    assert "predictor ended with exit code 0; the others are ended in order" in said
    assert told == ["vla", "simulator"]
    assert ending.failure == ""


def test_a_dead_recorder_ends_who_acts_and_then_who_writes_too(ending):
    _, told = ending.ended("recorder", -9)
    assert told == ["vla", "predictor", "simulator"]
    assert ending.ended("vla", 0) == ("", [])
    assert ending.ended("simulator", 0) == ("", [])
    assert ending.ended("predictor", 0) == ("", ["bag"])
    assert ending.ended("bag", 0) == ("", [])
    assert ending.over


def test_two_that_die_at_once_are_both_said_and_the_first_is_the_cause(ending):
    ending.ended("vla", -9)
    said, told = ending.ended("predictor", 1)
    assert said == "predictor ended with exit code 1: its last lines say why"
    assert told == []
    assert ending.failure == "vla was killed by SIGKILL"


def test_one_process_alone():
    ending = Ending([["vla"], []], last="simulator")
    said, told = ending.ended("vla", 2)
    assert said == "vla ended with exit code 2: its last line says what to change"
    assert (told, ending.over) == ([], True)
