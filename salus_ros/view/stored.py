"""Recorded episodes as the page shows them."""

import math
from pathlib import Path

import numpy as np

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType
from salus_ros.core.schema import EPISODE_OUTPUTS
from salus_ros.episodes.clip import clip_info
from salus_ros.episodes.episode import Episode
from salus_ros.episodes.reader import StoreReader
from salus_ros.labelling.work import in_words
from salus_ros.messages.signals import PredictionRow
from salus_ros.view.course import Course, Form, Json, Limits, form_json
from salus_ros.view.pictures import to_jpeg
from salus_ros.view.verdict import judge

WHY_NOT = "recorded: there is nothing to steer; `salus label` says how an episode ended"


class Recording:
    """The episodes of a store.

    The thresholds, the likeliest kind and the lead are not stored, so the page shows the alarm
    without them.
    """

    def __init__(self, path: str | Path, first: int = 0) -> None:
        """Open the store.

        Args:
            path: The store.
            first: The episode that the page begins with.

        Raises:
            StoreError: if it is none, or has no such episode.
        """
        self._reader = StoreReader(path)
        self._reader.meta(first)
        self._first = first
        self._name = str(path)
        info = clip_info(self._reader)
        reasons = () if info is None else info.reasons
        # Of a clip, why it was saved, and at which of its steps.
        words: dict[str, list[str]] = {}
        for one in reasons:
            at = f"clip, step {one.row}" if one.row >= 0 else "clip"
            words.setdefault(at, []).append(one.words())
        self._clip: dict[str, Json] = {at: "; ".join(said) for at, said in words.items()}

    def about(self) -> dict[str, Json]:
        """What the page has to know before it asks for an episode."""
        reader = self._reader
        return {"store": self._name, "episodes": len(reader), "first": self._first}

    def update(self, index: int) -> dict[str, Json]:
        """An episode in the form of a live update.

        Raises:
            StoreError: if there is no such episode, or it is damaged.
        """
        reader = self._reader
        episode = reader.episode(index, images=False)
        meta = episode.meta
        course = course_of(
            episode,
            Form.of(reader.spec.horizons_s, reader.spec.failure_types, reader.spec.signals),
            reader.spec.episode_outputs,
        )
        return {
            "anew": True,
            "form": form_json(course.form),
            "steps": list(course.since(-1)),
            "frames": [[camera, 0.0] for camera in reader.spec.cameras],
            "parts": {
                "cameras": {camera: "" for camera in reader.spec.cameras},
                "episode": {
                    "id": meta.id,
                    "task": meta.task,
                    "phase": "recorded",
                    "ended": in_words(meta),
                    "failure step": meta.failure_step if meta.failure_step >= 0 else None,
                    "cause": meta.failure_cause,
                    "fault": meta.fault,
                    "world": meta.world,
                    "policy": meta.policy_id,
                    "model": meta.model_id or "none: `salus predict` says what one would",
                    "rate": meta.rate_hz,
                }
                | self._clip,
                "buttons": {"*": WHY_NOT},
            },
        }

    def jpeg(self, index: int, camera: str, step: int) -> bytes:
        """The image of a camera at a step, as JPEG.

        Raises:
            StoreError: if there is none.
        """
        frames = self._reader.frames(camera, index, slice(step, step + 1))
        if not len(frames):
            raise StoreError(f"episode {index} has no step {step}")
        return to_jpeg(frames[0])


def course_of(episode: Episode, form: Form, outputs: tuple[str, ...]) -> Course:
    """The course of a recorded episode, whole."""
    course = Course(episode.meta.id, longest=None)
    course.form = form
    kinds = tuple(FailureType.from_label(kind) for kind in form.kinds)
    for step, stamp_ns in enumerate(episode.stamp_ns.tolist()):
        course.add_signals(step, stamp_ns, episode.signals[step], version=step)
        if episode.alarm is None or episode.risk is None or episode.probability is None:
            continue
        if math.isnan(alarm := float(episode.alarm[step])):
            continue
        whole = np.full(len(EPISODE_OUTPUTS), np.nan, np.float32)
        if episode.episode_outputs is not None:
            for place, name in enumerate(outputs):
                whole[EPISODE_OUTPUTS.index(name)] = episode.episode_outputs[step, place]
        row = PredictionRow(
            probability=episode.probability[step],
            risk=float(episode.risk[step]),
            alarm=alarm > 0,
            model_id=episode.meta.model_id,
            horizons_s=form.horizons_s,
            failure_types=kinds,
            episode_outputs=whole,
        )
        verdict = judge(row.risk, row.alarm)
        course.add_prediction(step, stamp_ns, row, Limits(), verdict, version=step)
    return course
