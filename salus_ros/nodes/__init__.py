"""The rclpy shells: message to array, one call into the core, array to message."""
