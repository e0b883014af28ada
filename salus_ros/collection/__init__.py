"""Episodes of the built-in world by the hundred, without ROS: the nodes' own parts in lockstep."""
