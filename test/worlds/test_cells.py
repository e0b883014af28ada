"""Which cells can be looked ahead in."""

import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.worlds.cells import GROUP, cell_name, make_lookahead
from salus_ros.worlds.mujoco import PHYSICS, WORLDS
from salus_ros.worlds.physics import ENV_ID, ISAAC_ENV_ID, NEWTON_ENV_ID, PHYSX_ENV_ID


@pytest.mark.parametrize("cell", WORLDS)
def test_the_built_in_worlds_are_cells(cell):
    made = make_lookahead(cell)
    assert len(made.joint_names) == 9
    assert len(set(made.columns)) == len(made.columns)


def test_a_cell_is_the_same_whatever_engine_moves_it():
    for env_id in (PHYSX_ENV_ID, NEWTON_ENV_ID, ISAAC_ENV_ID):
        assert cell_name(env_id) == ENV_ID
    assert [cell_name(env_id) for env_id in PHYSICS] == list(PHYSICS)
    assert cell_name("kitchen") == "kitchen"


def test_another_package_brings_its_own(tmp_path, monkeypatch):
    package = tmp_path / "kitchen-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: kitchen\nVersion: 1.0\n")
    lines = f"[{GROUP}]\nkitchen = kitchen_cell:Kitchen\nbroken = kitchen_cell:Nothing\n"
    (package / "entry_points.txt").write_text(lines)
    source = 'class Kitchen:\n    joint_names = ("a",)\n    columns = ("near",)\n'
    (tmp_path / "kitchen_cell.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert make_lookahead("kitchen").columns == ("near",)
    with pytest.raises(ConfigError, match=r"kitchen_cell:Nothing, which fails \(AttributeError"):
        make_lookahead("broken")
    with pytest.raises(ConfigError, match=r"known: salus/PickPlace-v0, .*, broken, kitchen\."):
        make_lookahead("garden")
