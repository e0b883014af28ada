"""Another policy, of LeRobot's form, that takes the arm for a while."""

import numpy as np

from salus_ros.core.errors import ObservationError, PolicyError, RecoveryError
from salus_ros.policies.cameras import match_cameras
from salus_ros.policies.runner import PolicyRunner
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.sight import Action, Sight
from salus_ros.worlds.panda import ACTION_DIM, CAMERAS, STATE_DIM


class OtherPolicy(Behaviour):
    """Runs a second policy; its actions are clipped to the limits, as a world does.

    Args:
        runner: The policy.
        steps: For so long; then the first one goes on.

    Raises:
        PolicyError: if it takes another state, gives other actions or needs other cameras.
    """

    name = "policy"
    releases = True
    looks = True

    def __init__(self, runner: PolicyRunner, steps: int, least_steps: int = 85) -> None:
        if (runner.state_dim, runner.action_dim) != (STATE_DIM, ACTION_DIM):
            raise PolicyError(
                f"policy '{runner.policy_id}' takes {runner.state_dim} state values and gives "
                f"{runner.action_dim} action values; the arm has {STATE_DIM} and {ACTION_DIM}"
            )
        self._runner, self._steps, self.least_steps = runner, steps, least_steps
        self._camera_of = match_cameras(runner.cameras, CAMERAS)
        self._step = 0

    def begin(self, sight: Sight, seed: int) -> None:
        """Take the arm; the policy begins an episode."""
        self._runner.reset(seed)
        self._step = 0

    def act(self, sight: Sight) -> Action | None:
        """Its next action; None after so many steps.

        Raises:
            RecoveryError: if it cannot act on what is seen.
        """
        if self._step >= self._steps:
            return None
        images = {}
        if self._runner.due(self._step):
            seen = sight.look()
            images = {ours: seen[name] for ours, name in self._camera_of.items()}
        state = sight.joints[:STATE_DIM].astype(np.float32)
        try:
            answer = self._runner.step(images, state, sight.task, self._step)
        except ObservationError as error:
            raise RecoveryError(f"the other policy cannot act: {error}") from error
        self._step += 1
        return np.clip(answer.action, -1.0, 1.0)
