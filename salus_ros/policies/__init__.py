"""The SmolVLA tap and the twelve signals; the same code live and offline."""
