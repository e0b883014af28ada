"""The predictor that comes with the package, for the policy and the world that do."""

from pathlib import Path

SHIPPED = "shipped"
"""What users name it by, wherever the folder of a predictor is asked for."""

FOLDER = Path(__file__).parents[1] / "assets" / "predictor"


def predictor_path(given: str | Path) -> Path:
    """Path of a predictor as users give it: a folder, a file, or `shipped`."""
    return FOLDER if str(given) == SHIPPED else Path(given)
