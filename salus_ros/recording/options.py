"""Where and how a recorder records."""

from dataclasses import dataclass
from pathlib import Path

from salus_ros.recording.arrays import ReadImage
from salus_ros.recording.flight import Rules


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """Which clips are saved.

    Attributes:
        folder: Where; made if it does not exist.
        before_s: How far they look back.
        after_s: How long they go on.
        buffer_bytes: Memory for what they look back at.
        per_minute: How many alarms and failures begin one in a minute.
        max_bytes: What all clips of the folder may take.
    """

    folder: Path
    before_s: float
    after_s: float
    buffer_bytes: int
    per_minute: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """Where and how episodes are recorded.

    Attributes:
        store: The store; made if it does not exist.
        cameras: Names of the cameras.
        joints: Names of the joints of the state.
        extra_joints: Names of others that are recorded.
        rules: What makes an episode good.
        read_image: Reads what is taken in of a camera.
        buffer_bytes: Memory for images that are not written yet.
        min_free_bytes: Free space below which nothing is written.
        image_codec: How a new store compresses images.
        clips: Which clips are saved; None for none.
    """

    store: Path
    cameras: tuple[str, ...]
    joints: tuple[str, ...]
    rules: Rules
    read_image: ReadImage
    buffer_bytes: int
    min_free_bytes: int
    image_codec: str = "lossless"
    extra_joints: tuple[str, ...] = ()
    clips: ClipOptions | None = None

    @property
    def all_joints(self) -> tuple[str, ...]:
        """Names of the joints that are recorded, each once."""
        return tuple(dict.fromkeys((*self.joints, *self.extra_joints)))
