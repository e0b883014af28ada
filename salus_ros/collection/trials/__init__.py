"""Paired trials of recovery: the same episodes, with and without each intervention."""
