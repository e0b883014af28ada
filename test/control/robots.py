"""Small robots for tests."""

from salus_ros.control.arm import Arm
from salus_ros.control.gate import Gate, Response
from salus_ros.control.profile import Command, Gripper, Joint, RobotProfile, Twist

LIMITS = {"lower": -1.0, "upper": 1.0, "velocity": 1.0, "acceleration": 10.0, "home": 0.0}


def joint(name: str, **given):
    return Joint(**({"name": name} | LIMITS | given))


def profile(**given):
    """Two joints, ten actions and a hundred commands a second."""
    common = {
        "cameras": ("top",),
        "rate_hz": 10.0,
        "joints": (joint("a"), joint("b")),
        "command": Command(type="forward_position", topic="commands", rate_hz=100.0),
        "watchdog_s": 0.3,
        "joint_timeout_s": 0.2,
        "tracking": 0.2,
        "tracking_s": 0.1,
    }
    return RobotProfile(**(common | given))


def hand(**given):
    """The same, commanded by twists, with a gripper of its own."""
    twist = Twist(
        frame="base",
        linear=0.5,
        angular=2.0,
        linear_limit=0.25,
        angular_limit=1.0,
        linear_acceleration=5.0,
        angular_acceleration=20.0,
    )
    command = Command(type="twist", topic="twist", rate_hz=100.0)
    gripper = Gripper(topic="fingers", open=0.04, closed=0.0, binary=True)
    return profile(**({"twist": twist, "command": command, "gripper": gripper} | given))


def gate(**given):
    common = {"shadow": False, "response": Response.HOLD, "slow": 0.5, "prediction_timeout_s": 1.0}
    return Gate(**(common | given))


class Bench:
    """An arm whose joints are where it was told to, and a clock."""

    def __init__(self, robot=None, **given):
        self.arm = Arm(robot or profile(), gate(**given))
        self.now_s = 100.0
        self.positions = [0.0] * len(self.arm.profile.joints)
        self.order = None
        self.follows = self.hears = self.connected = True
        self.predicts = True
        self.risk, self.alarm = 0.1, False

    def begin(self, episode="e1"):
        self.arm.begin(episode, self.now_s)
        return self

    def act(self, *action, episode="e1"):
        self.arm.act(episode, action, self.now_s)

    def run(self, seconds, *action):
        """Let time pass; with an action, it comes with each command. Returns the orders."""
        orders = []
        for _ in range(round(seconds * 100)):
            self.now_s += 0.01
            if self.hears:
                names = self.arm.profile.joint_names
                self.arm.joints(names, self.positions, self.now_s)
            if self.predicts:
                self.arm.gate.judge(
                    self.arm.episode_id, alarm=self.alarm, risk=self.risk, now_s=self.now_s
                )
            if action:
                self.act(*action)
            self.order = self.arm.tick(self.now_s, connected=self.connected)
            if self.order is not None and self.follows and self.arm.profile.twist is None:
                self.positions = self.order.values.tolist()
            orders.append(self.order)
        return orders
