"""Any policy of LeRobot's, through its public `predict_action_chunk` alone."""
