import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.recovery.manifold.settings import ManifoldSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": ("state", "taste")},
        {"inputs": ()},
        {"inputs": ("state", "state")},
        {"dimension": 0},
        {"margin": 0.0},
        {"learning_rate": float("nan")},
        {"hidden": (0,)},
        {"candidates": 0},
        {"test_fraction": 0.95},
        {"validation_fraction": 0.0},
    ],
)
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ManifoldSettings(**wrong)


def test_settings_survive_as_json_and_unknown_ones_are_refused():
    settings = ManifoldSettings(inputs=("state", "visual"), seed=3)
    assert ManifoldSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ConfigError, match="colour"):
        ManifoldSettings.from_dict({"colour": 1})
