"""The recorder's parameters, see `parameters`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from salus_ros.core.errors import ConfigError
from salus_ros.episodes.spec import IMAGE_CODECS
from salus_ros.nodes.declaration import NodeParameters, parameter
from salus_ros.recording.options import ClipOptions
from salus_ros.recording.rows import JOINT, NUMBERS
from salus_ros.worlds.panda import CAMERAS, FINGER_JOINTS
from salus_ros.worlds.panda import JOINTS as PANDA_JOINTS


@dataclass(frozen=True)
class RecorderParameters(NodeParameters):
    """Where and how episodes are recorded."""

    node_name: ClassVar[str] = "recorder"

    store_path: str = parameter("runs/salus.zarr", "Episode store; made if it does not exist")
    record: bool = parameter(True, "Record from the start; else wait for ~/start")
    cameras: tuple[str, ...] = parameter(CAMERAS, "Cameras to record")
    image_transport: str = parameter(
        "raw",
        "Topic of a camera: raw is image_raw, compressed is image_raw/compressed (jpeg, png)",
        choices=("raw", "compressed"),
    )
    depth_near_mm: float = parameter(
        0.0,
        "Depth stored as grey 1, for cameras that send 16UC1",
        unit="mm",
        minimum=0.0,
        maximum=65535.0,
    )
    depth_far_mm: float = parameter(
        0.0,
        "Depth stored as grey 255, above depth_near_mm; 0 refuses 16UC1",
        unit="mm",
        minimum=0.0,
        maximum=65535.0,
    )
    image_codec: str = parameter(
        "lossless",
        "Compression of a new store's images: lossless, or jpeg (quality 95)",
        choices=IMAGE_CODECS,
    )
    state_joints: tuple[str, ...] = parameter(
        PANDA_JOINTS, "Joints whose positions are recorded as the state, in this order"
    )
    extra_joints: tuple[str, ...] = parameter(
        FINGER_JOINTS,
        "Joints recorded beside those of the state, with position, velocity and effort; those "
        "that never come are left out",
    )
    reliable_sensors: bool = parameter(
        False,
        "Ask for reliable images and joint states, so that none of a simulated world is missed; "
        "false takes them from any driver",
    )
    max_age_ms: float = parameter(
        100.0,
        "Oldest image that a step may use; older is a gap",
        unit="ms",
        minimum=0.0,
        maximum=60000.0,
    )
    max_state_age_ms: float = parameter(
        -1.0,
        "Oldest joint state that a step may use; -1 for max_age_ms",
        unit="ms",
        minimum=-1.0,
        maximum=60000.0,
    )
    max_signals_age_ms: float = parameter(
        -1.0,
        "Oldest signals that a step may use; -1 for max_age_ms",
        unit="ms",
        minimum=-1.0,
        maximum=60000.0,
    )
    max_prediction_age_ms: float = parameter(
        -1.0,
        "Oldest prediction that a step may use; -1 for max_age_ms",
        unit="ms",
        minimum=-1.0,
        maximum=60000.0,
    )
    settle_s: float = parameter(
        0.5,
        "How long a step waits for late messages, such as its prediction",
        unit="s",
        minimum=0.0,
        maximum=60.0,
    )
    max_missing_share: float = parameter(
        0.0,
        "Share of the steps that may lack an action or an image; above it an episode is dropped",
        minimum=0.0,
        maximum=1.0,
    )
    buffer_mb: int = parameter(
        1024,
        "Memory for images that are not written yet: what the disk is behind by, and at least "
        "one image file of the store; an episode beyond it is dropped",
        unit="MB",
        minimum=16,
        maximum=1048576,
    )
    min_free_mb: int = parameter(
        500,
        "Free disk space below which nothing is written",
        unit="MB",
        minimum=0,
        maximum=1048576,
    )
    status_hz: float = parameter(
        1.0, "Rate of `recorder_status`", unit="Hz", minimum=0.1, maximum=50.0
    )
    clips: str = parameter(
        "",
        "Folder for clips: what was before and after each alarm, each failure and each call of "
        "~/clip, also while no episode is recorded; empty: none",
    )
    clip_before_s: float = parameter(
        10.0, "How far a clip looks back", unit="s", minimum=0.5, maximum=60.0
    )
    clip_after_s: float = parameter(
        5.0,
        "How long a clip goes on; an alarm before it is over keeps it going",
        unit="s",
        minimum=0.0,
        maximum=60.0,
    )
    clip_buffer_mb: int = parameter(
        512,
        "Memory for what clips look back at; up to two that are being written may take as much "
        "again each",
        unit="MB",
        minimum=16,
        maximum=1048576,
    )
    clips_per_minute: int = parameter(
        6, "How many clips alarms and failures begin in a minute", minimum=1, maximum=60
    )
    clips_max_mb: int = parameter(
        5000,
        "What the clips of the folder may take; none is saved beyond it, and none removed",
        unit="MB",
        minimum=1,
        maximum=1048576,
    )

    def __post_init__(self) -> None:
        """Check every value, the cameras' names, and that the ends of the depth go together."""
        super().__post_init__()
        if taken := {*NUMBERS, JOINT} & set(self.cameras):
            raise ConfigError(
                f"cameras has {', '.join(sorted(taken))}, the name of another stream; rename it"
            )
        if self.depth_far_mm and self.depth_far_mm <= self.depth_near_mm:
            raise ConfigError(
                f"depth_far_mm is {self.depth_far_mm:g} and depth_near_mm "
                f"{self.depth_near_mm:g}; far must be above near"
            )
        if "://" in self.clips:
            raise ConfigError(f"clips is '{self.clips}'; allowed is a folder of this machine")

    @property
    def clip_options(self) -> ClipOptions | None:
        """Which clips are saved; None for none."""
        if not self.clips:
            return None
        return ClipOptions(
            Path(self.clips),
            before_s=self.clip_before_s,
            after_s=self.clip_after_s,
            buffer_bytes=self.clip_buffer_mb * 1_000_000,
            per_minute=self.clips_per_minute,
            max_bytes=self.clips_max_mb * 1_000_000,
        )

    @property
    def depth_range_mm(self) -> tuple[float, float] | None:
        """Near and far end of the depth; None where depth is refused."""
        return (self.depth_near_mm, self.depth_far_mm) if self.depth_far_mm else None
