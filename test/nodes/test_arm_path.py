"""From images to the arm's controller and back, with every node, until an alarm holds the arm."""

import time
from pathlib import Path

import numpy as np
import yaml
from checkpoints import save_checkpoint
from fake_controller import FakeController
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from salus_msgs.srv import StartEpisode
from salus_ros.nodes import convert
from salus_ros.nodes.action_bridge import ActionBridgeNode
from salus_ros.nodes.episode import EpisodeNode
from salus_ros.nodes.parameters import PANDA_JOINTS
from salus_ros.nodes.predictor import PredictorNode
from salus_ros.nodes.vla import VlaNode
from salus_ros.worlds.panda import CAMERAS

PANDA = Path(__file__).parents[2] / "config" / "robots" / "panda.yaml"
PERIOD_S = 0.2
PATIENT = {"watchdog_s": 10.0, "joint_timeout_s": 10.0}
"""All nodes and the policy share one thread here."""


def test_an_alarm_holds_the_arm_that_a_policy_moves(graph, tmp_path, tiny_policy):
    robot = tmp_path / "panda.yaml"
    profile = yaml.safe_load(PANDA.read_text()) | PATIENT
    robot.write_text(yaml.safe_dump(profile))
    home = [joint["home"] for joint in profile["joints"]]
    controller = FakeController(
        "twist", profile["command"]["topic"], PANDA_JOINTS, home, namespace=graph.namespace
    )
    graph.executor.add_node(controller)
    gate = {"gate_mode": "enforce", "prediction_timeout_s": 60.0}
    bridge = graph.add(ActionBridgeNode, robot=str(robot), **gate)
    predictor = graph.add(PredictorNode, model_path=save_checkpoint(tmp_path, bias=-4.0))
    policy = {"policy_path": str(tiny_policy), "device": "cpu", "num_samples": 2}
    graph.add(VlaNode, sync_slop_ms=1000.0, **policy)
    graph.add(EpisodeNode, rate_hz=10.0)
    images = {name: graph.talk(Image, f"camera/{name}/image_raw") for name in CAMERAS}
    pixels = np.full((64, 64, 3), 99, np.uint8)

    seen_s = [0.0]

    def see_until(condition):
        def seen():
            if time.monotonic() > seen_s[0] + PERIOD_S:
                seen_s[0] = time.monotonic()
                now = convert.header(graph.probe.get_clock().now().nanoseconds)
                for image in images.values():
                    image.publish(convert.array_to_image(pixels, now))
            return condition()

        graph.until(seen)

    assert graph.call(StartEpisode, "episode/start", StartEpisode.Request()).success
    see_until(lambda: any(command.any() for command in controller.commands))
    predictor.set_parameters([Parameter("threshold", value=0.0)])
    see_until(lambda: bridge._gate.decide(0.0).latched)
    graph.until(lambda: not controller.commands[-1].any())
    assert bridge._report().message.startswith("alarm in '")
    predictor.set_parameters([Parameter("threshold", value=1.0)])
    see_until(lambda: not bridge._gate._alarm)
    assert graph.call(Trigger, "action_bridge/reset", Trigger.Request()).success
    see_until(lambda: controller.commands[-1].any())
    assert graph.call(Trigger, "episode/stop", Trigger.Request()).success
    graph.until(lambda: not controller.commands[-1].any())
    assert bridge._arm.holding == "no episode is running"
