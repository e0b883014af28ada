"""The episode store: whole episodes in one zarr group, readable while it grows, or packed."""

from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import StoreSpec
from salus_ros.episodes.store import EpisodeStore

__all__ = ["Episode", "EpisodeMeta", "EpisodeStore", "StoreReader", "StoreSpec"]
