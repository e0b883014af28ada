"""Episodes as MCAP files, one each, and a Foxglove layout that shows them; Rerun reads them too.

    /camera/<name>/image_raw   foxglove.RawImage, rgb8, as it was recorded
    /state, /action            a number by the name of each column
    /signals                   a number by the name of each signal, and whether it is fresh
    /failure_horizons          what was predicted live: risk, alarm, episode_failure, no_progress,
                               probability (H x K, horizon by horizon)
    /episode                   what is known of it as a whole, at its first step
    /log                       the failure, at its step

Each message has the stamp of its step. What is missing has no message, or no field. The topics are
those of the running graph and the fields that the layout plots have the names that they have
there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core import schema
from salus_ros.core.errors import ConfigError
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.files import whole_folder
from salus_ros.episodes.layout import data_arrays, image_array
from salus_ros.episodes.layouts.gaps import Exported, lacks_any, missing
from salus_ros.episodes.layouts.padded import OnEpisode, check_export
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import StoreSpec

LAYOUT_NAME = "foxglove_layout.json"

SHOWN = {
    "state", "action", "signals", "signals_valid", "signals_fresh", "further_signals", "stamp_ns",
    "probability", "risk", "alarm", "episode_outputs",
}  # fmt: skip


def export_mcap(
    reader: StoreReader, out: str | Path, on_episode: OnEpisode | None = None
) -> Exported:
    """Write each episode as an MCAP file, and a Foxglove layout beside them.

    The folder is there as a whole or not at all; one episode is in memory at a time.

    Args:
        reader: Store to export.
        out: The folder.
        on_episode: Called after each episode with the number of those done.

    Returns:
        How much was written; steps that lack something are counted, and have no message of it.

    Raises:
        ConfigError: if foxglove-sdk is not installed.
        StoreError: if the store is empty or damaged, or the folder exists or cannot be written.
    """
    try:
        import foxglove
    except ImportError as error:
        raise ConfigError(
            "the layout mcap needs Foxglove's SDK, which is not installed: "
            "pip install 'salus_ros[foxglove]'"
        ) from error
    out = Path(out)
    check_export(reader, out)
    marked = 0
    with whole_folder(out) as part:
        part.mkdir()
        for index in range(len(reader)):
            episode = reader.episode(index)
            lacking = missing(reader, index)
            marked += int(lacks_any(lacking, len(episode)).sum())
            name = re.sub(r"[^\w.-]", "_", episode.meta.id)
            context = foxglove.Context()
            with foxglove.open_mcap(part / f"{index:06d}_{name}.mcap", context=context):
                acted = reader.intervention(index)
                _write(context, episode, reader.spec, lacking, acted)
            if on_episode is not None:
                on_episode(index + 1)
        (part / LAYOUT_NAME).write_text(foxglove_layout(reader.spec))
    shown = SHOWN | {image_array(camera) for camera in reader.spec.cameras}
    left_out = tuple(name for name in data_arrays(reader.spec) if name not in shown)
    return Exported(len(reader), reader.steps, marked=marked, left_out=left_out)


def foxglove_layout(spec: StoreSpec) -> str:
    """A layout of Foxglove's, as JSON: the cameras, the risk and the signals."""
    from foxglove import layouts

    images: list[Any] = [
        layouts.ImagePanel(
            config=layouts.ImageConfig(
                image_mode=layouts.ImageModeConfig(image_topic=_image_topic(camera))
            ),
            title=camera,
        )
        for camera in spec.cameras
    ]
    risk = [f"/failure_horizons.{name}" for name in ("risk", *schema.EPISODE_OUTPUTS)]
    plots = {"risk": risk} | {
        kind: [f'/signals."{name}"' for name in columns]
        for kind, columns in schema.columns_by_kind(spec.signals).items()
    }
    panels: list[Any] = [
        layouts.PlotPanel(
            config=layouts.PlotConfig(
                paths=[
                    layouts.PlotSeries(value=path, timestamp_method="receiveTime", enabled=True)
                    for path in paths
                ]
            ),
            title=title,
        )
        for title, paths in plots.items()
    ]

    def side_by_side(direction: Any, content: Sequence[Any]) -> Any:
        items = [layouts.SplitItem(content=one) for one in content]
        return layouts.SplitContainer(direction=direction, items=items)

    rows = [side_by_side("row", images)] if images else []
    return layouts.Layout(content=side_by_side("column", [*rows, *panels])).to_json()


def _image_topic(camera: str) -> str:
    return f"/camera/{camera}/image_raw"


def _write(
    context: Any,
    episode: Episode,
    spec: StoreSpec,
    lacking: Mapping[str, NDArray[np.bool_]],
    acted: NDArray[np.integer],
) -> None:
    """All messages of an episode, in the order of their stamps."""
    from foxglove import Channel
    from foxglove.channels import LogChannel, RawImageChannel
    from foxglove.messages import Log, LogLevel, RawImage, Timestamp

    topics = ("/state", "/action", "/signals", "/failure_horizons", "/episode")
    plain = {name: Channel(name, message_encoding="json", context=context) for name in topics}
    cameras = {c: RawImageChannel(_image_topic(c), context=context) for c in episode.images}
    meta, log = episode.meta, LogChannel("/log", context=context)
    plain["/episode"].log(_about(meta), log_time=int(episode.stamp_ns[0]))
    for step, stamp_ns in enumerate(episode.stamp_ns.tolist()):
        timestamp = Timestamp(sec=stamp_ns // 10**9, nsec=stamp_ns % 10**9)
        for camera, channel in cameras.items():
            if camera in lacking and lacking[camera][step]:
                continue
            image = episode.images[camera][step]
            height, width, _ = image.shape
            channel.log(
                RawImage(
                    timestamp=timestamp,
                    frame_id=camera,
                    width=width,
                    height=height,
                    encoding="rgb8",
                    step=3 * width,
                    data=image.tobytes(),
                ),
                log_time=stamp_ns,
            )
        for topic, message in _messages(episode, spec, step, int(acted[step])):
            plain[topic].log(message, log_time=stamp_ns)
        if step == min(meta.failure_step, len(episode) - 1):  # it may be after the last one
            said = f"failure: {meta.finest_type.label}"
            log.log(
                Log(timestamp=timestamp, level=LogLevel.Error, message=said), log_time=stamp_ns
            )


def _messages(
    episode: Episode, spec: StoreSpec, step: int, acted: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was said at a step; a topic of which nothing was has no message."""
    for what in ("state", "action"):
        values = getattr(episode, what)[step]
        names = spec.names(what) or [f"{what}_{n}" for n in range(len(values))]
        if found := _finite(names, values):
            if what == "action":
                found |= {"intervention": acted}
            yield f"/{what}", found
    told = _finite(spec.signals, episode.signals[step])
    if episode.further_signals is not None:
        told |= _finite(spec.further_signals, episode.further_signals[step])
    if told:
        yield "/signals", told | {"fresh": bool(episode.signals_fresh[step])}
    said: dict[str, Any] = {}
    if episode.risk is not None:
        said |= _finite(["risk"], episode.risk[step : step + 1])
    if episode.episode_outputs is not None:
        said |= _finite(spec.episode_outputs, episode.episode_outputs[step])
    if episode.probability is not None and np.isfinite(episode.probability[step]).all():
        said |= {"probability": episode.probability[step].ravel().tolist()}
    if episode.alarm is not None and np.isfinite(episode.alarm[step]):
        said |= {"alarm": bool(episode.alarm[step])}
    if said:
        horizons, kinds = list(spec.horizons_s), [kind.label for kind in spec.failure_types]
        yield "/failure_horizons", said | {"horizons": horizons, "failure_types": kinds}


def _finite(names: Sequence[str], values: NDArray[np.floating]) -> dict[str, Any]:
    """The values that are there, by name."""
    pairs = zip(names, values.tolist(), strict=True)
    return {name: value for name, value in pairs if np.isfinite(value)}


def _about(meta: EpisodeMeta) -> dict[str, Any]:
    """What is known of an episode, in words; what is not known is left out."""
    found: dict[str, Any] = {}
    for name, value in asdict(meta).items():
        if isinstance(value, IntEnum):  # outcome, failure type
            value = value.name.lower()
        if not (isinstance(value, float) and not np.isfinite(value)):
            found[name] = value
    return found
