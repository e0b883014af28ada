"""Learning a manifold from recorded episodes."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.recovery.manifold.key import Key, Rows, Values
from salus_ros.recovery.manifold.library import Library
from salus_ros.recovery.manifold.manifold import Manifold, embed
from salus_ros.recovery.manifold.network import build_network
from salus_ros.recovery.manifold.settings import CARD, ManifoldSettings
from salus_ros.recovery.manifold.triplets import Triplets
from salus_ros.training.dataset import Samples, load_samples
from salus_ros.training.split import SplitName, split_episodes

CHECK_EVERY = 250
"""Gradient steps between two looks at the validation part."""

VALIDATION_TRIPLETS = 4096

OnCheck = Callable[[int, float], None]
"""Told how many gradient steps are done, and the share of validation triplets in order."""


def train_manifold(
    stores: Sequence[str | Path],
    out: Path,
    settings: ManifoldSettings,
    on_check: OnCheck | None = None,
) -> dict[str, Any]:
    """Learn a manifold and write its file.

    The same episodes, settings and machine give the same file.

    Args:
        stores: Episode stores.
        out: The file.
        settings: How.
        on_check: Told of the progress.

    Returns:
        JSON values: what it was learnt from, and how well it orders unseen triplets.

    Raises:
        ConfigError: if the episodes lack an input, or are too few.
        StoreError: if a store cannot be read.
    """
    samples = load_samples(stores, inputs=settings.inputs)
    split = split_episodes(
        [record.key for record in samples.records],
        [record.stratum for record in samples.records],
        {"validation": settings.validation_fraction, "test": settings.test_fraction},
        settings.seed,
    )
    manifold, share, best = learn(samples, split, settings, on_check)
    library = manifold.library
    return {
        "manifold_id": manifold.save(out),
        "settings": settings.to_dict(),
        "episodes": {n: len(manifold.split[n]) for n in ("train", "validation", "test")},
        "successes": len(library.ends),
        "steps": int(library.known.sum()),
        "steps_without_a_key": int((~library.known).sum()),
        "features": manifold.key.width,
        "best_batch": best,
        "validation_triplets_in_order": share,
        **samples.left_out,
    }


def learn(
    samples: Samples,
    split: Mapping[SplitName, Sequence[int]],
    settings: ManifoldSettings,
    on_check: OnCheck | None = None,
) -> tuple[Manifold, float, int]:
    """Learn a manifold from some of the episodes.

    Args:
        samples: The episodes, with the inputs of the settings.
        split: Places of those to learn from ("train"), of those that choose the weights and say
            how far a success may be ("validation"), and maybe others.
        settings: How.
        on_check: Told of the progress.

    Returns:
        The manifold, the share of validation triplets in order, and after which gradient step.

    Raises:
        ConfigError: if the episodes lack an input, or are too few.
    """
    values = inputs_of(samples, settings.inputs)
    train, validation = split["train"], split["validation"]
    rows = np.concatenate([np.arange(s.start, s.stop) for s in _slices(samples, train)])
    key = Key.fit({name: of[rows] for name, of in values.items()}, parts_of(samples))
    features, there = key.apply(values)
    network, share, best = _fit(
        torch.from_numpy(features),
        there,
        Triplets.of(samples, train, settings),
        Triplets.of(samples, validation, settings),
        settings,
        on_check,
    )
    embedding = embed(network, features, there)
    library = _library(samples, embedding, train)
    unseen = _rows_of_successes(samples, embedding, validation)
    distances, _ = library.all_steps.nearest(unseen[np.isfinite(unseen).all(axis=1)])
    keys: dict[str, tuple[str, ...]] = {
        str(n): tuple(samples.records[e].key for e in places) for n, places in split.items()
    }
    return Manifold(settings, key, network, library, np.sort(distances), keys), share, best


def inputs_of(samples: Samples, names: Sequence[str]) -> Values:
    """The inputs (N, W) of a key.

    Raises:
        ConfigError: if the episodes lack one.
    """
    there = {"state": samples.state, "action": samples.action, **samples.extras}
    lacking = [name for name in names if there.get(name) is None]
    if lacking:
        has = [name for name, of in there.items() if of is not None]
        raise ConfigError(
            f"the episodes have no {', '.join(lacking)} (or not all alike); they have "
            f"{', '.join(has)}: give --inputs of these"
        )
    return {name: of for name in names if (of := there[name]) is not None}


def parts_of(samples: Samples) -> dict[str, tuple[str, ...]]:
    """What the inputs of a key consist of."""
    return {"state": samples.state_names, **samples.parts}


def _fit(
    features: Tensor,
    there: NDArray[np.bool_],
    train: Triplets,
    validation: Triplets,
    settings: ManifoldSettings,
    on_check: OnCheck | None,
) -> tuple[nn.Sequential, float, int]:
    """The network, the share of validation triplets in order, and after which gradient step."""
    rng = np.random.default_rng(settings.seed)
    known = torch.from_numpy(there)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build_network(features.shape[1], settings.hidden, settings.dimension)
    optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate)
    schedule = CosineAnnealingLR(optimiser, settings.batches)
    held = validation.draw(VALIDATION_TRIPLETS, np.random.default_rng(settings.seed + 1))
    best: tuple[float, int, dict[str, Tensor]] = (-1.0, 0, {})
    for batch in range(1, settings.batches + 1):
        drawn = train.draw(settings.batch_size, rng)
        near, *far = _distances(network, features, known, drawn)
        excess = [(near[0] - one + settings.margin)[near[1] & there] for one, there in far]
        loss = torch.cat(excess).clamp(min=0.0).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if batch % CHECK_EVERY == 0 or batch == settings.batches:
            with torch.inference_mode():
                near, *far = _distances(network, features, known, held)
                ordered = [(near[0] < one)[near[1] & there] for one, there in far]
                share = float(torch.cat(ordered).float().mean())
            if share > best[0]:
                best = share, batch, copy.deepcopy(network.state_dict())
            if on_check is not None:
                on_check(batch, share)
    network.load_state_dict(best[2])
    return network.eval(), best[0], best[1]


def _distances(
    network: nn.Sequential,
    features: Tensor,
    known: Tensor,
    drawn: tuple[NDArray[np.int64], ...],
) -> list[tuple[Tensor, Tensor]]:
    """From the anchors to their positives, to the nearest before a failure, and elsewhere.

    Each (B,), with which of them (B,) are distances of steps that have a key.
    """
    flat = np.concatenate([rows.ravel() for rows in drawn])
    sizes, count = [rows.size for rows in drawn], len(drawn[0])
    points = network(features[flat]).split(sizes)  # (B, D), but for the third (B * C, D)
    anchor, positive, before, elsewhere = points
    has, has_positive, has_before, has_elsewhere = known[flat].split(sizes)
    to_failures = torch.linalg.vector_norm(
        anchor[:, None] - before.view(count, -1, anchor.shape[1]), dim=2
    ).masked_fill(~has_before.view(count, -1), torch.inf)  # (B, C)
    nearest = to_failures.amin(dim=1)
    return [
        (torch.linalg.vector_norm(anchor - positive, dim=1), has & has_positive),
        (nearest, has & ~nearest.isinf()),
        (torch.linalg.vector_norm(anchor - elsewhere, dim=1), has & has_elsewhere),
    ]


def _slices(samples: Samples, episodes: Sequence[int]) -> list[slice]:
    return [samples.slices[place] for place in episodes]


def _successes(samples: Samples, episodes: Sequence[int]) -> list[int]:
    return [n for n in episodes if samples.records[n].meta.outcome is Outcome.SUCCESS]


def _rows_of_successes(samples: Samples, values: Rows, episodes: Sequence[int]) -> Rows:
    slices = samples.slices
    return np.concatenate([values[slices[n]] for n in _successes(samples, episodes)])


def _library(samples: Samples, embedding: Rows, episodes: Sequence[int]) -> Library:
    good = _successes(samples, episodes)
    card = inputs_of(samples, CARD)  # what is done again is always kept
    tasks = sorted({samples.records[n].meta.task for n in good})
    return Library(
        embedding=_rows_of_successes(samples, embedding, good),
        state=_rows_of_successes(samples, np.asarray(card["state"], np.float32), good),
        action=_rows_of_successes(samples, np.asarray(card["action"], np.float32), good),
        ends=np.cumsum([samples.records[n].length for n in good], dtype=np.int64),
        task=np.array([tasks.index(samples.records[n].meta.task) for n in good], np.int64),
        tasks=tuple(tasks),
    )
