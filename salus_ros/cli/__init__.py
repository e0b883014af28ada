"""The `salus` command."""

from salus_ros.cli.commands import app, main

__all__ = ["app", "main"]
