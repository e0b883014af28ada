"""Between a policy and an arm: the robot's profile, its limits, the gate on alarms."""
