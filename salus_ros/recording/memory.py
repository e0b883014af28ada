"""Episodes that are recorded into memory, whole, by whoever runs them step by step."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import StoreError
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec
from salus_ros.recording.assembly import Assembler
from salus_ros.recording.blocks import BlockMaker, Kept, Lost, Written
from salus_ros.recording.flight import Rules
from salus_ros.recording.rows import ACTION, JOINT, TRUTH
from salus_ros.recording.streams import Stream


class EpisodeRecording:
    """Records episodes one after the other, each step with samples of its own stamp.

    They go through what a recorder node sends its messages through, so that they come out the
    same.
    """

    def __init__(self, spec: StoreSpec, required: tuple[str, ...]) -> None:
        """Nothing is recorded yet.

        Args:
            spec: Sizes of the episodes.
            required: Streams that every step has.
        """
        streamless = {JOINT: spec.joint_names, TRUTH: spec.truth_names}
        own = (name for name in spec.streams if name != ACTION)
        self._streams = (*own, *(name for name, columns in streamless.items() if columns))
        rules = Rules(
            max_age_ms=dict.fromkeys(self._streams, 0.0),
            required=required,
            settle_s=0.0,
            patience_s=0.0,
            block_steps=sys.maxsize,
            block_bytes=sys.maxsize,
        )
        streams = {name: Stream() for name in self._streams}
        self._assembler = Assembler(streams, rules, room=lambda: sys.maxsize)
        others = [name for name in spec.streams if name not in spec.cameras]
        self._blocks = BlockMaker(
            spec.cameras,
            lambda pixels, _: pixels,
            spec=spec,
            required=required,
            streams=others,
            names=spec.names,
        )

    def step(
        self,
        episode_id: str,
        step: int,
        stamp_ns: int,
        samples: Mapping[str, Any],
        action: NDArray[np.float32],
        policy_id: str,
        now_s: float,
    ) -> None:
        """Take in a step: what was seen and said at its stamp, and the action."""
        for name, sample in samples.items():
            self._assembler.sample(name, stamp_ns, sample)
        self._assembler.step(episode_id, step, stamp_ns, now_s)
        self._assembler.action(episode_id, step, stamp_ns, action, policy_id, now_s)

    def end(self, meta: EpisodeMeta, stamp_ns: int, total: int, now_s: float) -> Episode:
        """End an episode of `total` steps and return it.

        Raises:
            StoreError: if it is not whole; saying why.
        """
        self._assembler.end(meta, stamp_ns, now_s, total)
        block: Episode | None = None
        for result in self._assembler.collect(now_s):
            for piece in self._blocks.take(result):
                if isinstance(piece, Lost):
                    raise StoreError(f"episode '{meta.id}' is not whole: {piece.reason}")
                if isinstance(piece, Written):
                    block = piece.block
                if isinstance(piece, Kept) and block is not None:
                    return block.named(piece.meta)
        raise StoreError(f"episode '{meta.id}' has no step")
