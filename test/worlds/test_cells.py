"""Which cells can be looked ahead in."""

import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.worlds.cells import GROUP, make_lookahead
from salus_ros.worlds.mujoco import PHYSICS


@pytest.mark.parametrize("cell", PHYSICS)
def test_the_built_in_worlds_are_cells(cell):
    made = make_lookahead(cell)
    assert len(made.joint_names) == 9
    assert len(set(made.columns)) == len(made.columns)


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
