"""Handing the arm to another behaviour when a failure is foreseen, and taking it back."""
