"""Counts the live p-values of one bundle, each once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt

from worker.core.model.histogram import BUCKETS
from worker.core.state.partition_state import PartitionState

_Hours = dict[int, npt.NDArray[np.int64]]
_Sources = Iterable[tuple[Hashable, PartitionState]]


class LiveCounts:
    """What partitions' rings have counted since they were last taken. The memory of one process, not part of a state.

    A partition's ring holds p-values of several bundles. It is first taken when the partition is seen under the bundle,
    and what it holds by then is left out, unless the bundle is the first of its stream.
    """

    def __init__(self) -> None:
        self._bundle = ""
        self._taken: dict[Hashable, _Hours] = {}

    def begin(self, states: _Sources, bundle: str, *, first: bool = False) -> None:
        """Count for this bundle from now on. `first`: nothing was counted under any bundle before."""
        if bundle != self._bundle:
            self._bundle, self._taken = bundle, {}
        for source, state in states:
            if state.versions.bundle == bundle and source not in self._taken:
                self._taken[source] = {} if first else dict(state.ring.hours)

    def fresh(self, states: _Sources, bundle: str) -> npt.NDArray[np.int64]:
        """(BUCKETS,) int64: what was counted under this bundle and not taken yet. It stays until `take`."""
        total = np.zeros(BUCKETS, np.int64)
        if bundle != self._bundle:
            return total
        for source, state in states:
            taken = self._taken.get(source)
            if taken is None or state.versions.bundle != bundle:
                continue
            for hour, counts in state.ring.hours.items():
                # Never below 0: an operator may have rewound a partition to an older state.
                total += np.maximum(counts - taken.get(hour, 0), 0)
        return total

    def take(self, states: _Sources, bundle: str) -> None:
        """What `fresh` returns for these states is used now."""
        self._taken.update(
            (source, dict(state.ring.hours))
            for source, state in states
            if bundle == self._bundle and source in self._taken and state.versions.bundle == bundle
        )
