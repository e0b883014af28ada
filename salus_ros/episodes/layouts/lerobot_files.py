"""Whether a folder holds all the files of a LeRobotDataset.

Where one is missing, lerobot would look for it on a server and say that it cannot reach that.
"""

import json
from pathlib import Path
from typing import Any

from salus_ros.core.errors import StoreError
from salus_ros.episodes.files import store_errors

INFO = Path("meta") / "info.json"
TASKS = Path("meta") / "tasks.parquet"
EPISODES = Path("meta") / "episodes"
VERSION = "v3."
"""How the version of a dataset begins that the installed lerobot reads."""


def check_files(source: Path) -> None:
    """Check that the files of a dataset are there and hold as much as `info.json` counts.

    Args:
        source: Folder of the dataset.

    Raises:
        StoreError: naming the file that is missing or damaged, or the counts that differ.
    """
    if not (source / INFO).is_file():
        raise StoreError(f"'{source}' is no LeRobotDataset: it has no {INFO}")
    with store_errors(source / INFO, "read"):
        info = json.loads((source / INFO).read_text())
        version, counted = str(info["codebase_version"]), int(info["total_episodes"])
        frames, data_path = int(info["total_frames"]), str(info["data_path"])
        videos = [k for k, feature in info["features"].items() if feature["dtype"] == "video"]
        video_path = str(info.get("video_path"))
    if not version.startswith(VERSION):
        raise StoreError(
            f"'{source}' is a LeRobotDataset of version {version}, allowed is {VERSION}x; convert "
            "it with lerobot's own script"
        )
    _there(source, TASKS)
    entries = _episodes(source, videos)
    if len(entries) != counted:
        raise StoreError(
            f"'{source}': {INFO} counts {counted} episodes, {EPISODES} has {len(entries)}: its "
            "writer was stopped before it was whole; restore it from a copy or record it again"
        )
    if not entries:
        raise StoreError(f"'{source}' holds no episode")
    with store_errors(source, "read"):
        listed = sum(int(entry["length"]) for entry in entries)
        data = {
            Path(
                data_path.format(
                    chunk_index=entry["data/chunk_index"], file_index=entry["data/file_index"]
                )
            )
            for entry in entries
        }
        films = {
            Path(
                video_path.format(
                    video_key=key,
                    chunk_index=entry[f"videos/{key}/chunk_index"],
                    file_index=entry[f"videos/{key}/file_index"],
                )
            )
            for entry in entries
            for key in videos
        }
    if listed != frames:
        raise StoreError(
            f"'{source}': {INFO} counts {frames} frames, the episodes in {EPISODES} have {listed}"
        )
    _there(source, *sorted(data), *sorted(films))
    rows = sum(_rows(source, path) for path in data)
    if rows != frames:
        raise StoreError(f"'{source}': {INFO} counts {frames} frames, data/ has {rows}")


def _there(source: Path, *paths: Path) -> None:
    missing = [str(path) for path in paths if not (source / path).is_file()]
    if missing:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise StoreError(
            f"'{source}' is incomplete: {some} missing ({len(missing)} files); copy it again"
        )


def _episodes(source: Path, videos: list[str]) -> list[dict[str, Any]]:
    """Rows of the table of episodes: their lengths, and the files that they lie in."""
    from pyarrow import parquet

    files = sorted((source / EPISODES).glob("*/*.parquet"))
    if not files:
        raise StoreError(f"'{source}' is incomplete: {EPISODES} missing; copy it again")
    columns = ["length", "data/chunk_index", "data/file_index"]
    columns += [f"videos/{key}/{part}_index" for key in videos for part in ("chunk", "file")]
    entries: list[dict[str, Any]] = []
    for file in files:
        with store_errors(file, "read"):
            table = parquet.read_table(file, columns=columns)
            entries += [{name: row[name] for name in columns} for row in table.to_pylist()]
    return entries


def _rows(source: Path, path: Path) -> int:
    from pyarrow import parquet

    with store_errors(source / path, "read"):
        return int(parquet.read_metadata(source / path).num_rows)
