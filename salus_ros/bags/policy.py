"""Signals of a policy over recorded images and joints, as it would have given them live."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.episodes import StoreSpec
from salus_ros.policies.cameras import match_cameras
from salus_ros.policies.chunk_statistics import CHUNK_STATISTICS
from salus_ros.policies.runner import PolicyRunner
from salus_ros.recording.arrays import ReadImage
from salus_ros.recording.policy_columns import signals_row
from salus_ros.recording.rows import SIGNALS, STATE, Row


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Which policy to run, and how.

    Attributes:
        path: Folder of a LeRobot checkpoint.
        num_samples: Action chunks at each replan, at least 1.
        replan_every: Steps between replans.
        device: Torch device.
        threads: Threads of torch; 0 leaves that to torch.
    """

    path: Path
    num_samples: int = 4
    replan_every: int = 3
    device: str = "cpu"
    threads: int = 0


class PolicySignals:
    """Runs a policy over episodes; the same code as the vla node's.

    Attributes:
        policy_id: Which policy that is.
        camera_of: Camera of the mapping for each of the policy's.
    """

    def __init__(self, options: PolicyOptions, cameras: Sequence[str]) -> None:
        """Load it.

        Raises:
            PolicyError: if it cannot be loaded, or takes other cameras than there are.
            ConfigError: if an option is not allowed.
        """
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        self._runner = PolicyRunner(
            options.path, options.device, options.num_samples, options.replan_every
        )
        self.camera_of = match_cameras(self._runner.cameras, cameras)
        self.policy_id = self._runner.policy_id

    def statistics(self, stored: StoreSpec | None) -> tuple[str, ...]:
        """Names of the chunk statistics to record: those of the store, if there is one."""
        return CHUNK_STATISTICS if stored is None else stored.chunk_statistics

    def fill(
        self, rows: Sequence[Row], task: str, read_image: ReadImage, seed: int | None
    ) -> None:
        """Give the next rows of an episode the signals of the policy in place of those they have.

        A step that lacks an image or the state has none: live it would not have been answered.
        Images that are read are kept in their rows.

        Args:
            rows: The rows.
            task: Instruction of the episode.
            read_image: Reads what a row holds of a camera.
            seed: Of the episode's noise, where these are its first rows.

        Raises:
            ConfigError: if the state has not as many values as the policy takes.
        """
        runner = self._runner
        if seed is not None:
            runner.reset(seed)
        for row in rows:
            row.take_out(SIGNALS)
            state = row.samples[STATE]
            if state is not None and len(state) != runner.state_dim:
                raise ConfigError(
                    f"the policy takes a state of {runner.state_dim} values, the mapping gives "
                    f"{len(state)}; name as many joints or fields in its state"
                )
            images = self._images(row, read_image)
            if state is not None and images is not None:
                said = runner.step(images, state, task, row.step)
                row.samples[SIGNALS] = signals_row(said, runner.cameras, runner.further_signals)
                row.age_ms[SIGNALS] = 0.0

    def _images(self, row: Row, read_image: ReadImage) -> dict[str, NDArray[np.uint8]] | None:
        """Images by the policy's names; None where one is missing or cannot be read."""
        images = {}
        for ours, name in self.camera_of.items():
            if row.samples[name] is None:
                return None
            try:
                images[ours] = read_image(row.samples[name], name)
            except ObservationError:
                return None  # the blocks say why
            row.samples[name] = images[ours]
        return images
