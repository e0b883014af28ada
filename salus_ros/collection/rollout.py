"""Episodes side by side in one process, their policy run in batches.

What is stepped, sampled and kept is what simulator, vla and recorder do with one episode, so the
same seed gives the same episode here and there (a test).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from salus_ros.collection.config import CollectionConfig
from salus_ros.core.errors import PolicyError
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec
from salus_ros.policies.cameras import match_cameras
from salus_ros.policies.following import PolicyStep
from salus_ros.policies.runner import PolicyRunner, step_together
from salus_ros.policies.tap import Observation
from salus_ros.prediction.lookahead import StepLookahead, look_ahead, with_lookahead
from salus_ros.recording.joint_columns import joint_sample
from salus_ros.recording.memory import EpisodeRecording
from salus_ros.recording.policy_columns import signals_row
from salus_ros.recording.rows import JOINT, SIGNALS, STATE, TRUTH
from salus_ros.worlds.adapter import JOINT_INFO, cause_of
from salus_ros.worlds.catalogue import WorldForm
from salus_ros.worlds.truth import truth_row


class Rollout:
    """Runs episodes of a world, `config.envs` at a time.

    Attributes:
        policy_id: Of its policy.
        spec: Sizes of its episodes.
        unavailable: Signals that the policy never has, each with the reason.

    Args:
        config: What to run.

    Raises:
        PolicyError: if the policy cannot be loaded, or does not fit the world.
        ConfigError: if it does not take these options.
        SimulatorError: if the world cannot be rendered here.
    """

    def __init__(self, config: CollectionConfig) -> None:
        self._config = config
        runner = PolicyRunner(
            config.policy,
            config.device,
            config.num_samples,
            config.replan_every,
            config.noise_memory,
        )
        form = config.form
        camera_of = check_fit(runner, form)
        self.policy_id, self.unavailable = runner.policy_id, runner.unavailable
        runners = [runner, *(runner.sibling() for _ in range(config.envs - 1))]
        # Images that are not kept are needed only where the policy looks at them.
        every = 1 if config.images or runner.observation_steps > 1 else config.replan_every
        envs = [form.make(every) for _ in runners]
        self.spec = config.store_spec(
            embedding_dim=runner.embedding_dim,
            plan_length=runner.plan_length,
            plan_samples=runner.num_samples if config.plan_samples else 0,
            visual_cameras=runner.cameras if runner.visual_dim else (),
            visual_dim=runner.visual_dim,
            expert_dim=runner.expert_dim,
            further_signals=runner.further_signals,
            **_joint_sizes(envs[0]),
        )
        self._look: StepLookahead | None = None
        if config.lookahead:
            self._look = StepLookahead(config.env_id)
            self.spec = with_lookahead(self.spec, self._look)
        self._slots = [
            _Slot(config, self.spec, env, runner, camera_of)
            for env, runner in zip(envs, runners, strict=True)
        ]

    def run(self, seeds: Iterator[int | None]) -> Iterator[Episode]:
        """Run an episode of each seed; they come as they end.

        All slots replan at the same ticks, so that the policy is run for all in one batch: an
        episode begins at a multiple of `replan_every`.

        Args:
            seeds: Of the episodes; None in between means that there is none now, but later.
        """
        tick, more = 0, True
        while True:
            running = [slot for slot in self._slots if slot.running]
            if more and (tick % self._config.replan_every == 0 or not running):
                tick, more = 0, self._fill(seeds)
                running = [slot for slot in self._slots if slot.running]
            if not running:
                if not more:
                    return
                continue  # until there is one
            answers = step_together(
                [slot.runner for slot in running], [slot.observation for slot in running]
            )
            for slot, answer in zip(running, answers, strict=True):
                episode = slot.act(answer)
                if episode is not None:
                    if self._look is not None:
                        episode = look_ahead(episode, self.spec, self._look)
                    yield episode
            tick += 1

    def _fill(self, seeds: Iterator[int | None]) -> bool:
        """Begin an episode in each idle slot while there are seeds; False after the last."""
        for slot in self._slots:
            if not slot.running:
                try:
                    seed = next(seeds)
                except StopIteration:
                    return False
                if seed is None:
                    break
                slot.begin(seed)
        return True

    def close(self) -> None:
        """Free the worlds."""
        for slot in self._slots:
            slot.close()


class _Slot:
    """One world, one runner, and what its episode has recorded so far."""

    def __init__(
        self,
        config: CollectionConfig,
        spec: StoreSpec,
        env: Any,
        runner: PolicyRunner,
        camera_of: Mapping[str, str],
    ) -> None:
        self._config, self._spec, self._env = config, spec, env
        self._form = config.form
        self.runner, self._camera_of = runner, camera_of
        self.running = False

    def begin(self, seed: int) -> None:
        """Start an episode."""
        config = self._config
        self._id = f"episode_{seed:06d}"
        self._seed, self._step = seed, 0
        options = {
            "task": config.task,
            "fault": config.fault_of(seed),
            "condition": config.condition,
        }
        observation, self._info = self._env.reset(seed=seed, options=options)
        self.runner.reset(seed)
        self._recording = EpisodeRecording(self._spec, (STATE, SIGNALS))
        self.running = True
        self._see(observation)

    def act(self, answer: PolicyStep) -> Episode | None:
        """Do the policy's action; returns the episode if it is over."""
        now_s, stamp_ns = time.perf_counter(), self._stamp_ns
        samples: dict[str, Any] = {name: self._pixels[name] for name in self._spec.cameras}
        samples[STATE] = np.asarray(self.observation.state, np.float32)
        samples[SIGNALS] = signals_row(
            answer,
            self.runner.cameras,
            self.runner.further_signals,
            samples=self._config.plan_samples,
        )
        samples[JOINT] = joint_sample(self._spec.joint_names, joints_of(self._info))
        if self._config.truth:
            samples[TRUTH] = truth_row(self._info["truth"], self._form.truth)
        given = (samples, answer.action, self.runner.policy_id, now_s)
        self._recording.step(self._id, self._step, stamp_ns, *given)
        self._step += 1
        observation, _, terminated, truncated, self._info = self._env.step(answer.action)
        self._see(observation)
        if not (terminated or truncated):
            return None
        self.running = False
        return self._recording.end(self._meta(), self._stamp_ns, self._step, time.perf_counter())

    def close(self) -> None:
        """Free the world."""
        self._env.close()

    @property
    def _stamp_ns(self) -> int:
        """Stamp of the step at hand, the first one a period after 0."""
        return round((self._step + 1) * 1e9 / self._form.rate_hz)

    def _see(self, observation: dict[str, Any]) -> None:
        self._pixels = observation["pixels"]  # of no camera where nobody looks
        self.observation = Observation(
            images={
                ours: self._pixels[name] for ours, name in self._camera_of.items() if self._pixels
            },
            state=observation["agent_pos"],
            task=self._info["task"],
            step=self._step,
        )

    def _meta(self) -> EpisodeMeta:
        info = self._info
        return EpisodeMeta(
            id=self._id,
            task=info["task"],
            outcome=info["outcome"],
            failure_type=info["failure_type"],
            failure_step=info["failure_step"],
            failure_cause=cause_of(info),
            seed=self._seed,
            fault=info["fault"],
            fault_step=info["fault_step"],
            # Float32, as messages and stores have it.
            fault_strength=float(np.float32(info.get("fault_strength", np.nan))),
            condition=info["condition"],
            world=self._config.env_id,
            rate_hz=self._form.rate_hz,
        )


def check_fit(runner: PolicyRunner, form: WorldForm) -> dict[str, str]:
    """The world's camera for each of the policy's.

    Raises:
        PolicyError: if the policy is not made for the world; naming what differs.
    """
    if (runner.state_dim, runner.action_dim) != (len(form.state_names), form.action_dim):
        raise PolicyError(
            f"policy '{runner.policy_id}' takes {runner.state_dim} state values and gives "
            f"{runner.action_dim} action values; '{form.env_id}' has {len(form.state_names)} and "
            f"{form.action_dim}; give --policy or --env-id, so that one is made for the other"
        )
    return match_cameras(runner.cameras, form.cameras)


def joints_of(info: Mapping[str, Any]) -> dict[str, tuple[Sequence[str], Any]]:
    """For each quantity that a world tells, the names of the joints and their values."""
    names = info["joint_names"]
    return {q: (names, info[key]) for q, key in JOINT_INFO.items() if key in info}


def _joint_sizes(env: Any) -> dict[str, tuple[str, ...]]:
    """Joints of a world, and what it says of them, which it tells when it is reset."""
    _, info = env.reset(seed=0)
    return {
        "joint_names": tuple(info["joint_names"]),
        "joint_quantities": tuple(joints_of(info)),
    }
