"""The behaviours that ship, one a file."""
