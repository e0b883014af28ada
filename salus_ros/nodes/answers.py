"""What the vla node answers an observation with."""

from typing import NamedTuple

from std_msgs.msg import Header

from salus_msgs.msg import PolicyAction, StreamStamp, VlaSignals
from salus_ros.nodes import convert
from salus_ros.nodes.parameters import VlaParameters
from salus_ros.policies.following import PolicyStep
from salus_ros.policies.runner import PolicyRunner
from salus_ros.recording.sync import Observation


class Answer(NamedTuple):
    """What was published, and for what."""

    episode_id: str
    step: int
    stamp_ns: int
    action: PolicyAction
    signals: VlaSignals

    @property
    def place(self) -> tuple[str, int, int]:
        """Episode, stamp, and how often the policy had been given the arm back."""
        return self.episode_id, self.stamp_ns, int(self.action.hand_backs)


def make_answer(
    seen: Observation,
    head: Header,
    step: int,
    result: PolicyStep,
    runner: PolicyRunner,
    hand_backs: int,
    given: VlaParameters,
) -> Answer:
    """Make the messages.

    Args:
        seen: The observation.
        head: Header of its first image.
        step: Its step.
        result: What the policy makes of it.
        runner: Of the policy.
        hand_backs: How often it was given the arm back.
        given: Says what is published.
    """
    episode_id = seen.status.episode_id
    place = {"header": head, "episode_id": episode_id, "step": step, "hand_backs": hand_backs}
    action = PolicyAction(**place, policy_id=runner.policy_id)
    action.action = convert.float_array(result.action)
    action.inputs = [
        StreamStamp(stream=stream, stamp=convert.to_stamp(at)) for stream, at in seen.inputs
    ]
    signals = VlaSignals(
        **place,
        fresh=bool(result.fresh),
        inference_ms=float(result.inference_ms),
        num_samples=given.num_samples,
        policy_id=runner.policy_id,
    )
    convert.fill_signals(signals, result.signals, result.valid)
    convert.fill_further(signals, runner.further_signals, result.further)
    convert.fill_arrays(signals, result, runner.cameras, given)
    return Answer(episode_id, step, seen.stamp_ns, action, signals)
