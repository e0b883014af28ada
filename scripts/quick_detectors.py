"""Prints, as options of `salus benchmark`, the detectors that are fitted within an hour or so.

Without those that take hours (tdqc, the perceptrons, salus_outcome) and those for episodes without
hidden states (landmark, blend). Further names may follow.
"""

import sys

from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.evaluation.detectors.catalogue import catalogue

LEFT_OUT = {"tdqc", "salus_mlp", "salus_mlp_large", "salus_outcome", "landmark", "blend"}
names = [name for name in catalogue(SIGNAL_NAMES) if name not in LEFT_OUT]
sys.stdout.write(" ".join(f"--detector {name}" for name in [*names, *sys.argv[1:]]) + "\n")
