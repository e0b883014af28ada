"""What to collect."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salus_ros.core.errors import ConfigError
from salus_ros.episodes import StoreSpec
from salus_ros.episodes.spec import IMAGE_CODECS
from salus_ros.policies.chunk_statistics import CHUNK_STATISTICS
from salus_ros.worlds.catalogue import WorldForm, world_form
from salus_ros.worlds.faults import RANDOM_FAULT, fault_of
from salus_ros.worlds.options import known
from salus_ros.worlds.physics import ENV_ID


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """Options of a collection; an episode depends on them and its seed, on nothing else.

    Attributes:
        policy: Policy folder.
        env_id: World, see `world_form`; it has the tasks, faults and conditions.
        task: An instruction; empty: drawn by each seed.
        fault: One of the world's, or "random": drawn by each seed.
        fault_rate: Share of the episodes that get each fault, where it is drawn; None for the
            world's own.
        condition: One of the world's.
        num_samples: Chunks per replan, for the signals.
        replan_every: Steps between runs of the policy.
        noise_memory: In steps; None: the policy's own. See `PolicyRunner`.
        plan_samples: Whether to keep all sampled plans, not only the one that is executed.
        truth: Whether to keep what only the world can know, see `Episode.truth`.
        lookahead: Whether to keep what is seen ahead along the plan, see `Episode.lookahead`.
        images: Whether to keep the images.
        image_codec: How a new store compresses them, one of `IMAGE_CODECS`.
        envs: Episodes that one process runs side by side.
        device: Torch device of the policy.
    """

    policy: Path
    env_id: str = ENV_ID
    task: str = ""
    fault: str = RANDOM_FAULT
    fault_rate: float | None = None
    condition: str = "standard"
    num_samples: int = 4
    replan_every: int = 3
    noise_memory: float | None = None
    plan_samples: bool = False
    truth: bool = True
    lookahead: bool = False
    images: bool = False
    image_codec: str = "lossless"
    envs: int = 8
    device: str = "cpu"

    def __post_init__(self) -> None:
        form = self.form
        known(self.task, form.tasks, "task")
        known(self.fault, (RANDOM_FAULT, *form.faults), "fault")
        known(self.image_codec, IMAGE_CODECS, "image codec")
        known(self.condition, form.conditions, "condition")
        if self.fault_rate and len(form.faults) == 1:
            raise ConfigError(
                f"fault_rate is {self.fault_rate}, and '{self.env_id}' has no faults; leave it out"
            )
        if self.envs < 1:
            raise ConfigError(f"envs is {self.envs}; at least 1 episode must run")
        try:
            self.fault_of(0)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    @property
    def form(self) -> WorldForm:
        """Of the world."""
        return world_form(self.env_id)

    def store_spec(self, **sizes: Any) -> StoreSpec:
        """Sizes of a store for the episodes; a prediction is a stream that none of them has.

        Args:
            **sizes: Those that the policy and the world decide, see `StoreSpec`.
        """
        form = self.form
        cameras = form.cameras if self.images else ()
        return StoreSpec(
            cameras=cameras,
            image_size=(form.image_size, form.image_size),
            state_dim=len(form.state_names),
            action_dim=form.action_dim,
            state_names=form.state_names,
            chunk_statistics=CHUNK_STATISTICS,
            streams=(*cameras, "state", "action", "signals", "prediction"),
            image_codec=self.image_codec,
            truth_names=form.truth_names if self.truth else (),
            **sizes,
        )

    def fault_of(self, seed: int) -> str:
        """The fault of the episode with this seed."""
        own = self.form.fault_rate
        return fault_of(self.fault, seed, own if self.fault_rate is None else self.fault_rate)
