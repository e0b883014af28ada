"""Other layouts of episodes: the padded arrays of the proof of concept, LeRobotDataset."""
