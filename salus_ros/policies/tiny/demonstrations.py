"""Demonstrations as a policy learns from them: images, states and the expert's actions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lerobot.policies.common.vla_utils import resize_with_pad

from salus_ros.core.errors import StoreError
from salus_ros.policies.tiny.build import TINY

CAMERAS = TINY.cameras


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """Steps of successful episodes, one after another.

    images: uint8 (N, cameras, S, S, 3), already resized as the policy would;
    state: float32 (N, D); action: float32 (N, A), the expert's label; ends: int64 (E,), one
    past the last step of each episode; tasks: the instruction of each episode; cameras: names.
    """

    images: npt.NDArray[np.uint8]
    state: npt.NDArray[np.float32]
    action: npt.NDArray[np.float32]
    ends: npt.NDArray[np.int64]
    tasks: tuple[str, ...]
    cameras: tuple[str, ...] = CAMERAS

    def save(self, path: Path) -> None:
        """Write to an `.npz` file (atomically: whole or not at all)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            images=self.images,
            state=self.state,
            action=self.action,
            ends=self.ends,
            tasks=np.array(self.tasks),
            cameras=np.array(self.cameras),
        )
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Demonstrations":
        """Read what `save` wrote.

        Raises:
            StoreError: if the file is not one.
        """
        try:
            with np.load(path, allow_pickle=False) as f:
                tasks = tuple(str(task) for task in f["tasks"])
                named = "cameras" in f  # files of before that was kept are of the built-in world
                cameras = tuple(map(str, f["cameras"])) if named else CAMERAS
                return cls(f["images"], f["state"], f["action"], f["ends"], tasks, cameras)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise StoreError(
                f"{path} does not hold demonstrations ({error}); "
                "make them with: salus policy demonstrate --out FILE.npz"
            ) from error


def shrink(images: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.uint8]:
    """Resize (B, H, W, 3) exactly as SmolVLA does before its vision encoder."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float()  # (B, 3, H, W)
    small = resize_with_pad(tensor, size_px, size_px, pad_value=0.0)
    return small.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
