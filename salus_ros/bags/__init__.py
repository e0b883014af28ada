"""Rosbag2 recordings, read without ROS, as episodes of a store."""
