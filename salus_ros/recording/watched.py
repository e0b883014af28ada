"""Watching a policy in its user's own loop, and recording it: `with salus_ros.watch(policy) as w`.

The loop is LeRobot's: `postprocess(policy.select_action(preprocess(observation)))`. What the
policy sees and does in the robot's units is read from its two pipelines by their own hooks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from lerobot.processor import NormalizerProcessorStep, TransitionKey
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import RATE_HZ
from salus_ros.episodes import EpisodeMeta, EpisodeStore, StoreSpec
from salus_ros.episodes.location import resolve
from salus_ros.episodes.reader import existing
from salus_ros.policies.checkpoint import IMAGE_PREFIX
from salus_ros.policies.chunk_statistics import CHUNK_STATISTICS
from salus_ros.policies.tap import LiveTap
from salus_ros.policies.watching import Watch, WatchedStep
from salus_ros.recording.memory import EpisodeRecording
from salus_ros.recording.policy_columns import signals_row
from salus_ros.recording.rows import ACTION, PREDICTION, SIGNALS, STATE


def watch(
    policy: Any,
    preprocess: Any = None,
    postprocess: Any = None,
    *,
    store: str | Path | None = None,
    on_step: Callable[[WatchedStep], object] | None = None,
    num_samples: int = 4,
    seed: int = 0,
    replan_every: int | None = None,
    folder: str | Path | None = None,
    tap: LiveTap | None = None,
    rate_hz: float = RATE_HZ,
    images: bool = False,
    task: str = "",
) -> Watch:
    """Watch a policy of LeRobot's in its user's own loop.

    The user's calls of `select_action`, `predict_action_chunk` and `reset` go on, and return what
    they returned before. Each plan costs a second one with `num_samples` chunks, by the policy's
    tap, or, for a policy that has none, `num_samples` - 1 further calls if it samples.

        with salus_ros.watch(policy, preprocess, postprocess, store="runs/mine.zarr") as w:
            run_my_loop()  # policy.reset() begins an episode
            w.end(Outcome.SUCCESS)  # says how it ended; else that is unknown

    Args:
        policy: The policy object.
        preprocess: Its preprocessor; needed to record.
        postprocess: Its postprocessor; needed to record, and for plans in the robot's units.
        store: Where episodes are recorded, a row a call; made if it does not exist. Without, they
            are not.
        on_step: Called with each step, see `WatchedStep`.
        num_samples: K, see `Watch`.
        seed: See `Watch`.
        replan_every: See `Watch`.
        folder: See `Watch`.
        tap: See `Watch`.
        rate_hz: Rate of the calls that are recorded.
        images: Whether the images are recorded too; an episode's are held in memory until it ends.
        task: Instruction that is recorded; empty for the one that the policy is given.

    Raises:
        ConfigError: if an option is not allowed.
        PolicyError: if the policy is none of LeRobot's, or `folder` is not a checkpoint.
        StoreError: if what is at `store` is no episode store.
    """
    options: dict[str, Any] = {
        "on_step": on_step,
        "num_samples": num_samples,
        "seed": seed,
        "replan_every": replan_every,
        "folder": folder,
        "tap": tap,
    }
    if store is None:
        return Watch(policy, postprocess, **options)
    if preprocess is None or postprocess is None:
        raise ConfigError(
            "a store is to be recorded, and the policy's pipelines are not given: what it sees "
            "and does in the robot's units is read there; watch(policy, preprocess, postprocess, "
            "store=...)"
        )
    return RecordingWatch(
        policy,
        preprocess,
        postprocess,
        store,
        rate_hz=rate_hz,
        images=images,
        task=task,
        **options,
    )


@dataclass(slots=True)
class _Seen:
    """What the policy is given at a call, in the robot's units."""

    state: NDArray[np.float32]
    images: dict[str, NDArray[np.uint8]]
    task: str


@dataclass(slots=True)
class _Episode:
    """An episode that is being recorded."""

    id: str
    recording: EpisodeRecording
    spec: StoreSpec
    task: str
    rows: int = 0
    last_ns: int = 0
    torn: str = ""


class RecordingWatch(Watch):
    """A watch that records each episode, when it ends, as a recorder would have.

    Attributes:
        recorded: Episodes recorded.

    Args:
        policy: See `watch`; so are the others.
        preprocess: See there.
        postprocess: See there.
        store: See there.
        rate_hz: See there.
        images: See there.
        task: See there.
        **options: Of `Watch`.

    Raises:
        ConfigError: if the rate is not positive.
        StoreError: if what is at `store` is no episode store.
    """

    def __init__(
        self,
        policy: Any,
        preprocess: Any,
        postprocess: Any,
        store: str | Path,
        *,
        rate_hz: float = RATE_HZ,
        images: bool = False,
        task: str = "",
        **options: Any,
    ) -> None:
        super().__init__(policy, postprocess, **options)
        for given in (preprocess, postprocess):
            if not getattr(given, "steps", ()):
                raise ConfigError(
                    f"a {type(given).__name__} is no pipeline with steps; give the preprocessor "
                    "and the postprocessor that LeRobot's make_pre_post_processors makes"
                )
        if not rate_hz > 0.0:
            raise ConfigError(f"rate_hz is {rate_hz}; allowed is a number above 0")
        self._path = resolve(store)
        reader = existing(self._path)
        self._first = 0 if reader is None else len(reader)
        self._before, self._after = preprocess, postprocess
        self._rate_hz, self._images, self._task = rate_hz, images, task
        normalisers = [isinstance(s, NormalizerProcessorStep) for s in preprocess.steps]
        self._normaliser = normalisers.index(True) if True in normalisers else -1
        self._store: EpisodeStore | None = None
        self._now: _Episode | None = None
        self._observed: _Seen | None = None
        self._said: WatchedStep | None = None  # its action is still to come
        self.recorded = 0

    def __enter__(self) -> Self:
        super().__enter__()
        if self._normaliser >= 0:
            self._before.register_before_step_hook(self._look)
        else:
            self._before.register_after_step_hook(self._look)
        self._after.register_after_step_hook(self._act)
        return self

    def __exit__(self, *given: object) -> None:
        super().__exit__(*given)
        if self._normaliser >= 0:
            self._before.unregister_before_step_hook(self._look)
        else:
            self._before.unregister_after_step_hook(self._look)
        self._after.unregister_after_step_hook(self._act)
        if self._store is not None:
            self._store.close()
            self._store = None

    def end(
        self,
        outcome: Outcome = Outcome.UNKNOWN,
        failure_type: FailureType = FailureType.NONE,
        failure_step: int = -1,
    ) -> None:
        """End the episode and record it; the next call begins another.

        Args:
            outcome: How it ended.
            failure_type: Kind of its failure.
            failure_step: The row at which it failed; -1 where that is not known.

        Raises:
            StoreError: if they contradict each other; the episode goes on.
        """
        now = self._now
        if now is not None:
            meta = EpisodeMeta(
                now.id,
                now.task,
                outcome,
                failure_type,
                failure_step,
                policy_id=self.policy_id,
                rate_hz=self._rate_hz,
            )
            meta.check_length(now.rows)
            self._now = None
            self._guard(self._write, now, meta)
        self._said = None
        super().end()

    def _write(self, now: _Episode, meta: EpisodeMeta) -> None:
        if now.torn:
            raise ObservationError(f"'{now.id}' is not recorded: {now.torn}", now.torn)
        total_ns = now.last_ns + round(1e9 / self._rate_hz)
        episode = now.recording.end(meta, total_ns, now.rows, time.monotonic())
        assert self._store is not None
        self._store.append(episode)
        self.recorded += 1

    # What the pipelines and the policy say, in turn

    def _look(self, index: int, transition: Any) -> None:
        """Keep what goes into the normalisation; without one, what comes out at the end."""
        wanted = self._normaliser if self._normaliser >= 0 else len(self._before.steps) - 1
        if index == wanted:
            self._guard(self._keep, transition)

    def _keep(self, transition: Any) -> None:
        self._observed = None
        seen = transition[TransitionKey.OBSERVATION]
        about = transition.get(TransitionKey.COMPLEMENTARY_DATA) or {}
        if "observation.state" not in seen:
            raise ObservationError(
                "the policy is given no observation.state, which every episode of a store has",
                "no state",
            )
        tasks = about.get("task", "")
        task = tasks if isinstance(tasks, str) else str(tasks[0] if tasks else "")
        cameras = {key: value for key, value in seen.items() if key.startswith(IMAGE_PREFIX)}
        images = {
            key.removeprefix(IMAGE_PREFIX): _pixels(value)
            for key, value in cameras.items()
            if self._images
        }
        self._observed = _Seen(_newest(seen["observation.state"]), images, task)

    def _hand_on(self, step: WatchedStep) -> None:
        if self._said is not None and self._now is not None:
            self._now.torn = "an action of it never went through the postprocessor"
        self._said = step
        super()._hand_on(step)

    def _act(self, index: int, transition: Any) -> None:
        """Record a row once its action is known."""
        if self._busy or self._said is None or index != len(self._after.steps) - 1:
            return
        said, self._said = self._said, None
        self._guard(self._record, said, transition[TransitionKey.ACTION])

    def _record(self, said: WatchedStep, action: Any) -> None:
        given, self._observed = self._observed, None
        try:
            if given is None:
                raise ObservationError(
                    "the policy was called without its preprocessor",
                    "an observation that did not go through the preprocessor",
                )
            self._row(said, given, _newest(action, chunk=True))
        except Exception as error:
            if self._now is not None:
                self._now.torn = f"a step of it is lost ({error})"
            raise

    def _row(self, said: WatchedStep, given: _Seen, action: NDArray[np.float32]) -> None:
        now = self._now
        if now is None:
            now = self._now = self._new(given, len(action))
        samples: dict[str, Any] = {name: given.images[name] for name in now.spec.cameras}
        samples[STATE] = given.state
        samples[SIGNALS] = signals_row(said.said, said.cameras, said.further)
        now.recording.step(
            now.id,
            now.rows,
            said.stamp_ns,
            samples,
            action,
            self.policy_id,
            time.monotonic(),
        )
        now.rows, now.last_ns = now.rows + 1, said.stamp_ns

    def _new(self, given: _Seen, action_dim: int) -> _Episode:
        """Begin an episode in the store, which its first row may have to make."""
        policy = self.spec
        assert policy is not None  # it has said something
        sizes = {(image.shape[0], image.shape[1]) for image in given.images.values()}
        cameras = tuple(given.images) if len(sizes) == 1 else ()
        if given.images and not cameras:
            self._fail(
                ObservationError(
                    f"the cameras have different sizes ({sorted(sizes)}), a store takes one: "
                    "their images are not recorded",
                    "cameras of different sizes",
                )
            )
        spec = StoreSpec(
            cameras=cameras,
            image_size=sizes.pop() if cameras else (0, 0),
            state_dim=len(given.state),
            action_dim=action_dim,
            embedding_dim=policy.embedding_dim,
            plan_length=policy.plan_length,
            visual_cameras=policy.cameras if policy.visual_dim else (),
            visual_dim=policy.visual_dim,
            expert_dim=policy.expert_dim,
            chunk_statistics=CHUNK_STATISTICS,
            further_signals=policy.further,
            streams=(*cameras, STATE, ACTION, SIGNALS, PREDICTION),
        )
        if self._store is None:
            self._store = EpisodeStore.open_or_create(self._path, spec)
        recording = EpisodeRecording(spec, (*cameras, STATE, SIGNALS))
        name = f"episode_{self._first + self._episode:06d}"
        return _Episode(name, recording, spec, self._task or given.task)


def _newest(values: Any, *, chunk: bool = False) -> NDArray[np.float32]:
    """The last row of a tensor (..., N); of a chunk (..., T, N) the first."""
    array: NDArray[np.float32] = values.detach().float().cpu().numpy()
    rows = array.reshape(-1, array.shape[-1])
    return np.array(rows[0 if chunk else -1])


def _pixels(image: Any) -> NDArray[np.uint8]:
    """An image (..., 3, H, W) in [0, 1], or uint8, as uint8 (H, W, 3)."""
    array = image.detach().cpu().numpy()
    array = array.reshape(-1, *array.shape[-3:])[-1].transpose(1, 2, 0)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    scaled: NDArray[np.uint8] = np.rint(array.clip(0.0, 1.0) * 255.0).astype(np.uint8)
    return scaled
