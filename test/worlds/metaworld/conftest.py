import pytest

from salus_ros.worlds.metaworld.expert import MetaWorldExpert
from salus_ros.worlds.metaworld.world import MetaWorldEnv

pytest.importorskip("metaworld", reason="MetaWorld is not installed (salus_ros[metaworld])")


@pytest.fixture(scope="session")
def world():
    """Without images, which take most of the time."""
    env = MetaWorldEnv(render_every=0)
    yield env
    env.close()


@pytest.fixture
def expert(world):
    return MetaWorldExpert(world)
