"""A store that is made of the episodes of another one, each changed in some way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from salus_ros.core.errors import StoreError
from salus_ros.episodes.identity import CONTENT, content_key
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import StoreSpec
from salus_ros.episodes.store import EpisodeStore


@contextmanager
def derived_store(
    reader: StoreReader, out: str | Path, spec: StoreSpec, model_id: str | None = None
) -> Iterator[EpisodeStore]:
    """Open the new store to append the episodes of a store that it has not, in their order.

    Its length says which come next, so that the same call goes on after a kill.

    Args:
        reader: The store that it is made of.
        out: Folder of the new store.
        spec: Its sizes.
        model_id: Which predictor the episodes of the new store name; None for whichever.

    Raises:
        StoreError: if the new store cannot be written, or holds something else.
    """
    with EpisodeStore.open_or_create(out, spec) as store:
        held = StoreReader(store.path)
        keys = [_key(reader, index) for index in range(min(len(held), len(reader)))]
        others = model_id is not None and any(m.model_id != model_id for m in held.episodes())
        if others or [_key(held, index) for index in range(len(held))] != keys:
            of_model = f", or those of another predictor than {model_id}" if model_id else ""
            raise StoreError(
                f"'{out}' holds other episodes than '{reader.path}'{of_model}; give a new folder"
            )
        yield store


def _key(reader: StoreReader, index: int) -> str:
    return content_key(reader.to_numpy(CONTENT, reader.rows(index)))
