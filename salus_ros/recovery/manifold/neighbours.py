"""Nearest neighbours among many points of few dimensions, by faiss."""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError

EXACT_POINTS = 20_000
"""Fewer points are compared one by one, which is exact and takes a fraction of a millisecond."""

PROBES = 16
"""Cells that are searched, of about the square root of the number of points: of a million points
the nearest one is found in all but a few of a thousand queries."""

CELL_SAMPLES = 50
"""Points per cell that the cells are made of."""

ITERATIONS = 10
"""Of k-means, which makes the cells."""

faiss.omp_set_num_threads(1)  # a single query gains nothing from a second thread


class Neighbours:
    """An index of points that does not change.

    The same points give the same answers.

    Args:
        points: Float32 (N, D), finite.

    Raises:
        ConfigError: if there is none.
    """

    def __init__(self, points: NDArray[np.float32]) -> None:
        if not len(points):
            raise ConfigError("there is no step of a success to compare with; record some")
        self.count, width = points.shape
        points = np.ascontiguousarray(points, np.float32)
        flat = faiss.IndexFlatL2(width)
        if self.count < EXACT_POINTS:
            self._index: Any = flat
        else:
            cells = round(self.count**0.5)
            self._index = faiss.IndexIVFFlat(flat, width, cells)
            self._index.cp.niter = ITERATIONS
            self._index.train(points[:: max(1, self.count // (CELL_SAMPLES * cells))])
            self._index.nprobe = PROBES
        self._index.add(points)

    def nearest(
        self, points: NDArray[np.float32], without: slice | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest point of each.

        Args:
            points: Float32 (Q, D), finite.
            without: Points that do not count, from its start to before its stop.

        Returns:
            Euclidean distances float32 (Q,), and which points they are (Q,).
        """
        given: dict[str, Any] = {}
        if without is not None:
            chosen = faiss.IDSelectorNot(faiss.IDSelectorRange(without.start, without.stop))
            exact = isinstance(self._index, faiss.IndexFlatL2)
            kind: Any = faiss.SearchParameters if exact else faiss.SearchParametersIVF
            given["params"] = kind(sel=chosen, **({} if exact else {"nprobe": PROBES}))
        squared, rows = self._index.search(np.ascontiguousarray(points, np.float32), 1, **given)
        return np.sqrt(np.maximum(squared[:, 0], 0.0)), rows[:, 0]
