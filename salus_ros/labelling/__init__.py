"""Labelling recorded episodes: the work, and its window."""
