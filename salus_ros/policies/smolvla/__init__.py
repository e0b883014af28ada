"""SmolVLA of LeRobot's own classes, tapped."""
