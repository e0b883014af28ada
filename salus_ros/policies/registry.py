"""Which tap reads which checkpoint."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from salus_ros.core.errors import PolicyError
from salus_ros.policies.checkpoint import check_files
from salus_ros.policies.loading import LoadedPolicy
from salus_ros.policies.tap import LiveTap, PolicyTap

GROUP = "salus.policies"
"""Entry-point group of taps that other packages bring, by the `type` of their checkpoints."""

OWN = {
    "smolvla": "salus_ros.policies.smolvla.tap",
    "act": "salus_ros.policies.act.tap",
    "diffusion": "salus_ros.policies.diffusion.tap",
    "pi0": "salus_ros.policies.pi0.tap",
    "pi05": "salus_ros.policies.pi0.tap",
}
"""Modules of SALUS with a tap, by type: `load` of a folder, `live` of a policy in memory."""

POLICY_MODULES = (OWN["smolvla"], "lerobot.policies.smolvla.modeling_smolvla")
"""What takes the time where a policy is loaded first, for `Pool`."""

ANY = "salus_ros.policies.lerobot_chunk.tap"
"""The one for every other policy of LeRobot's."""


def load_tap(folder: Path, device: str) -> PolicyTap:
    """Load a checkpoint with the tap that its type asks for.

    Args:
        folder: A LeRobot checkpoint.
        device: Torch device.

    Raises:
        PolicyError: if it is none, or nothing here reads its type.
    """
    kind = check_files(folder)
    for found in entry_points(group=GROUP, name=kind):
        try:
            load = found.load()
        except Exception as error:
            raise PolicyError(
                f"'{folder}' is of type '{kind}', which {found.value} reads, and that cannot be "
                f"imported ({type(error).__name__}: {error}); mend or uninstall its package"
            ) from error
        tap: PolicyTap = load(folder, device)
        return tap
    own: PolicyTap = import_module(OWN.get(kind, ANY)).load(folder, device)
    return own


def live_tap(kind: str, loaded: LoadedPolicy) -> LiveTap | None:
    """A tap of SALUS's own for a policy in memory that somebody else runs; None without one."""
    if kind not in OWN:
        return None
    tap: LiveTap = import_module(OWN[kind]).live(loaded)
    return tap
