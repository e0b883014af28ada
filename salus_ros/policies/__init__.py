"""The taps of policies and the twelve signals; the same code live and offline."""
