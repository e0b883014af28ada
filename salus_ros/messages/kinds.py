"""Names of the message types that SALUS reads."""

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGES = (IMAGE, COMPRESSED_IMAGE)

JOINT_STATE = "sensor_msgs/msg/JointState"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
ARRAYS = ("std_msgs/msg/Float32MultiArray", "std_msgs/msg/Float64MultiArray")

EPISODE_STATUS = "salus_msgs/msg/EpisodeStatus"
BOOL = "std_msgs/msg/Bool"
POLICY_ACTION = "salus_msgs/msg/PolicyAction"
VLA_SIGNALS = "salus_msgs/msg/VlaSignals"
FAILURE_HORIZONS = "salus_msgs/msg/FailureHorizons"

STATE_JOINTS = tuple(f"panda_joint{number}" for number in range(1, 8))
"""Joints that the graph takes as its state if nothing else is said."""
