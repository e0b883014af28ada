"""One look-up among a million steps in 8-D: the index of the manifold against comparing all.

Both in one run, on one thread, on the same steps: along random walks, as steps of episodes are.
Half of the queries lie beside a step, half far from all.

    python benchmark/bench_manifold.py [--json] [--steps 1000000] [--queries 1000]

"""

import argparse
import json
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from salus_ros.prediction.normalisation import Normalisation
from salus_ros.recovery.manifold.key import Key
from salus_ros.recovery.manifold.manifold import embed
from salus_ros.recovery.manifold.neighbours import Neighbours
from salus_ros.recovery.manifold.network import build_network
from salus_ros.recovery.manifold.settings import ManifoldSettings

ASKED_MS = 1.0
DIMENSION = 8
EPISODE_STEPS = 100

Rows = NDArray[np.float32]


def make_steps(count: int, rng: np.random.Generator) -> Rows:
    """Steps (count, 8) of episodes."""
    shape = (count // EPISODE_STEPS, EPISODE_STEPS, DIMENSION)
    starts = rng.normal(size=(shape[0], 1, DIMENSION))
    walks = starts + 0.1 * np.cumsum(rng.normal(size=shape), axis=1)
    return walks.reshape(-1, DIMENSION).astype(np.float32)


def milliseconds(look: Callable[[Rows], object], queries: Rows) -> tuple[float, float]:
    """Median and 99th percentile of a look-up."""
    times = []
    for query in queries:
        started = time.perf_counter()
        look(query)
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times)), 1e3 * float(np.percentile(times, 99))


def measure(count: int, asked: int) -> dict[str, float]:
    """Measure the index, comparing all, and the way from joints and action to a point."""
    rng = np.random.default_rng(0)
    steps = make_steps(count, rng)
    started = time.perf_counter()
    index = Neighbours(steps)
    build_s = time.perf_counter() - started
    near = steps[rng.integers(len(steps), size=asked // 2)]
    near = near + 0.05 * rng.normal(size=near.shape)
    far = 3 * rng.normal(size=(asked - len(near), DIMENSION))
    queries = rng.permutation(np.concatenate([near, far])).astype(np.float32)

    def brute(query: Rows) -> int:
        apart = steps - query
        return int(np.einsum("ij,ij->i", apart, apart).argmin())

    few = queries[:: max(1, asked // 50)]
    brute_ms, _ = milliseconds(brute, few)
    index_ms, p99_ms = milliseconds(lambda query: index.nearest(query[None]), queries)
    distance, rows = index.nearest(few)
    right = [brute(query) == row for query, row in zip(few, rows, strict=True)]
    best = np.array([np.linalg.norm(steps[brute(query)] - query) for query in few])
    settings = ManifoldSettings()
    one = Normalisation(np.zeros(7, np.float32), np.ones(7, np.float32))
    key = Key({"state": one, "action": one}, {})
    network = build_network(key.width, settings.hidden, settings.dimension).eval()
    given = {"state": np.zeros((1, 7), np.float32), "action": np.zeros((1, 7), np.float32)}
    embed_ms, _ = milliseconds(lambda _: embed(network, *key.apply(given)), queries)
    return {
        "build_s": round(build_s, 2),
        "brute_force_ms": round(brute_ms, 3),
        "index_ms": round(index_ms, 4),
        "index_p99_ms": round(p99_ms, 4),
        "ratio": round(brute_ms / index_ms, 1),
        "embedding_ms": round(embed_ms, 4),
        "nearest_found": round(float(np.mean(right)), 3),
        "distance_too_long": round(float(np.mean(distance / best - 1.0)), 5),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "benchmark": "manifold",
        "command": "python benchmark/bench_manifold.py --json",
        "cores": os.cpu_count(),
        "steps": given.steps,
        "dimension": DIMENSION,
        "asked_ms": ASKED_MS,
        **measure(given.steps, given.queries),
    }
    if given.json:
        print(json.dumps(result))
        return
    print(
        f"{result['index_ms']:.3f} ms a look-up among {given.steps} steps (p99 "
        f"{result['index_p99_ms']:.3f}), {result['ratio']:.0f} x faster than comparing all "
        f"({result['brute_force_ms']:.1f} ms); the nearest is found in "
        f"{result['nearest_found']:.0%}; asked: {ASKED_MS:g} ms"
    )


if __name__ == "__main__":
    main()
