"""From stamped samples to whole episodes: one core for live topics, bags and collections."""
