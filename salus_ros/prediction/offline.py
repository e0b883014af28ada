"""What a predictor says of recorded episodes, as a store of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.alarm import HYSTERESIS, Alarm
from salus_ros.episodes.derived import derived_store
from salus_ros.episodes.episode import Episode
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import StoreSpec
from salus_ros.prediction.extras import of_episode, stored_parts
from salus_ros.prediction.predictor import Prediction, Predictor

STREAM = "prediction"
"""The column of `age_ms` that is of the predictions."""


def predict_store(
    reader: StoreReader,
    predictor: Predictor,
    out: str | Path,
    *,
    images: bool = True,
    on_episode: Callable[[int], None] | None = None,
) -> int:
    """Write the episodes of a store with what a predictor says of each step.

    All else stays as it was recorded. The same call goes on after a kill.

    Args:
        reader: The store; what was predicted live is left out of the new one.
        predictor: What predicts.
        out: Folder of the new store.
        images: Whether to keep the images.
        on_episode: Called after each episode with the number of those that are there.

    Returns:
        How many episodes the new store has.

    Raises:
        ConfigError: if the episodes lack what the predictor reads.
        StoreError: if the new store cannot be written, or holds something else.
    """
    predictor.check_inputs(reader.spec.signals, stored_parts(reader.spec))
    spec = _spec(reader.spec, predictor, images=images)
    with derived_store(reader, out, spec, predictor.model_id) as store:
        held = len(store)
        for index in range(len(reader)):
            if index >= held:
                meta = replace(reader.meta(index), model_id=predictor.model_id)
                episode = reader.episode(index, images=images).named(meta)
                store.append(with_predictions(episode, predictor, spec))
            if on_episode is not None:
                on_episode(index + 1)
        return len(store)


def with_predictions(episode: Episode, predictor: Predictor, spec: StoreSpec) -> Episode:
    """The same episode with what the predictor says, in the form of a store."""
    said = predictor.predict(episode.signals, episode.signals_valid, of_episode(episode))
    outputs = np.column_stack((said.episode_failure, said.no_progress))
    ages = episode.age_ms
    if ages is not None and STREAM in spec.streams:
        ages = ages.copy()
        ages[:, spec.streams.index(STREAM)] = np.where(np.isnan(said.risk), np.nan, 0.0)
    return replace(
        episode,
        probability=said.probability,
        risk=said.risk,
        alarm=alarms(predictor, said),
        episode_outputs=outputs[:, : len(spec.episode_outputs)] if spec.episode_outputs else None,
        age_ms=ages,
    )


def alarms(predictor: Predictor, said: Prediction) -> NDArray[np.float32]:
    """Whether there is an alarm at each step of an episode, (T,): 0, 1, NaN where nothing is said.

    As live, with the hysteresis that is the default there.
    """
    alarm = Alarm()
    levels = predictor.alarm_level(said).tolist()
    active = np.array([alarm.update(level, 0.0, HYSTERESIS) for level in levels], np.float32)
    active[np.isnan(said.risk)] = np.nan
    return active


def _spec(spec: StoreSpec, predictor: Predictor, *, images: bool) -> StoreSpec:
    return replace(
        spec,
        cameras=spec.cameras if images else (),
        horizons_s=predictor.horizons_s,
        failure_types=predictor.failure_types,
        episode_outputs=predictor.checkpoint.episode_outputs,
    )
