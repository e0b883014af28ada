"""`python -m salus_ros.cli`: the `salus` command where its script is not on the path."""

from salus_ros.cli.commands import main

main()
