"""One colour per way an episode ends, in every figure and table (Okabe and Ito's palette)."""

ENDING_COLOURS = {
    "success": "#009e73",
    "drop": "#e69f00",
    "misplaced_release": "#56b4e9",
    "collision": "#d55e00",
    "timeout": "#0072b2",
    "other": "#cc79a7",
    "unlabelled": "#9e9e9e",
}

FAILURE_COLOUR = "#c62828"
"""The moment of a failure, and what lies just before it."""

FAILED_COLOUR = "#607080"
"""Failed episodes of all types together."""

LINE_COLOURS = ("#1f6fb4", "#e08214", "#2a9d62", "#8e5ea2")
"""Lines that belong to no ending."""

INK = "#1a1a2e"
FAINT = "#6b7280"
