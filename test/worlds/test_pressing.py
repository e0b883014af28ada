"""When a force counts as a collision."""

from salus_ros.worlds.pressing import Pressing


def test_it_counts_once_it_has_lasted_without_a_break():
    pressing = Pressing(limit_n=20.0, least_s=0.5, timestep_s=0.25)
    forces = (20.0, 21.0, 0.0, 30.0, 30.0, 30.0, 20.0, 30.0)
    said = [pressing.update(force) for force in forces]
    assert said == [False, False, False, False, True, True, False, False]
