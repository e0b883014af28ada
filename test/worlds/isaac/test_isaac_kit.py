"""What is made of PhysX's contact tensors, whose layout Isaac Sim's packages document."""

from types import SimpleNamespace

import numpy as np
import pytest

from salus_ros.worlds.isaac.kit import Contacts


def tensor(values):
    """An array as Warp hands it out."""
    return SimpleNamespace(numpy=lambda: np.array(values))


def test_a_force_is_that_along_the_normal_and_all_friction_of_its_pair():
    normal = [[[0, 0, 3], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]]]  # of two sensors by two filters
    friction = [[1, 0, 0], [3, 0, 0], [0, 0, 0], [9, 9, 9]]  # the last belongs to no pair
    view = SimpleNamespace(
        check=lambda: True,
        sensor_count=2,
        filter_count=2,
        sensor_paths=["/a", "/b"],
        filter_paths=[["/c", "/d"]] * 2,
        get_normal_contact_force_matrix=lambda dt: tensor(np.float32(normal)),
        get_friction_contact_data=lambda dt: (
            tensor(np.float32(friction)),
            None,
            tensor([[2, 0], [0, 1]]),
            tensor([[0, 0], [0, 2]]),
        ),
    )
    asked = {}

    def create(sensors, filter_patterns, max_contact_data_count):
        asked.update(sensors=sensors, filters=filter_patterns)
        return view

    simulation = SimpleNamespace(create_rigid_contact_view=create)
    contacts = Contacts(simulation, ["/a", "/b"], ["/c", "/d"])
    assert asked == {"sensors": ["/a", "/b"], "filters": [["/c", "/d"], ["/c", "/d"]]}
    np.testing.assert_allclose(contacts.forces(1 / 240), [[5, 0], [0, 1]])


def test_a_view_of_nothing_is_an_error():
    simulation = SimpleNamespace(create_rigid_contact_view=lambda *_, **__: None)
    with pytest.raises(RuntimeError, match="no contacts of the scene's colliders"):
        Contacts(simulation, ["/a"], ["/c"])
