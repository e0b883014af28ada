"""A map of how successes run: where a step lies on it, how far beside it, and what came next."""
