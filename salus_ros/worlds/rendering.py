"""A picture of a MuJoCo scene without a screen."""

import mujoco

from salus_ros.core.errors import SimulatorError


def make_renderer(model: mujoco.MjModel, size: int, *, plain: bool = False) -> mujoco.Renderer:
    """A renderer of square images.

    Args:
        model: The scene.
        size: Height and width in pixels.
        plain: Whether to leave out shadows, reflections and smooth edges.

    Raises:
        SimulatorError: if this machine offers no headless OpenGL.
    """
    if plain:
        model.vis.quality.offsamples = 0
    try:
        made = mujoco.Renderer(model, size, size)
    except Exception as error:  # the GL backends raise a dozen unrelated types
        raise SimulatorError(
            f"cannot render: {type(error).__name__}: {error}. MUJOCO_GL must be 'egl' (Debian: "
            "apt-get install libegl1 libgl1-mesa-dri) or 'osmesa' (libosmesa6), set before start"
        ) from error
    if plain:
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            made.scene.flags[flag] = 0
    return made
