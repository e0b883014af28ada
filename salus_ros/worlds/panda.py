"""The robot of the built-in world: its joints, its cameras, and what an action is."""

JOINTS: tuple[str, ...] = tuple(f"panda_joint{number}" for number in range(1, 8))
"""Joints of the arm, whose positions in rad are the state."""

FINGER_JOINTS: tuple[str, ...] = ("panda_finger_joint1", "panda_finger_joint2")

CAMERAS: tuple[str, ...] = ("front", "side", "wrist")

IMAGE_SIZE = 256
"""Height and width of a camera's image in pixels."""

STATE_DIM = len(JOINTS)

ACTION_DIM = 7
"""Displacement of the end effector: translation, rotation vector, and gripper; see `Arm`."""
