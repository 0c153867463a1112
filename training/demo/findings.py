"""What a run of the demo found, as figures: by kind of anomaly, and by version of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.demo.watch import Results
from training.tables.table import Table


@dataclass(frozen=True, slots=True)
class Stretch:
    """The events that one version of the model scored, and how many of them it flagged."""

    version: int
    scored: int
    flagged: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Counts of scored events. `anomalies`, `hits` (flagged anomalies) and `kinds` are None if the data has no labels.

    `kinds` maps a kind of anomaly to (flagged, scored) events; it is empty if the labels name no kinds.
    """

    scored: int
    flagged: int
    stretches: tuple[Stretch, ...]
    anomalies: int | None = None
    hits: int | None = None
    kinds: dict[str, tuple[int, int]] | None = None

    def over_target(self, alert_rate: float) -> float | None:
        """The share of events flagged, as a multiple of the share that may be flagged; None if none was scored."""
        return self.flagged / self.scored / alert_rate if self.scored else None


def find(results: Results, table: Table) -> Findings:
    scored, flagged = results.scored, results.flagged
    stretches = tuple(
        Stretch(version, int(served.sum()), int(flagged[served].sum()))
        for version in np.unique(results.version[scored]).tolist()
        for served in [scored & (results.version == version)]
    )
    counts = int(scored.sum()), int(flagged[scored].sum()), stretches
    if table.labels is None:
        return Findings(*counts)
    anomalous = scored & table.labels
    hits = int((anomalous & flagged).sum())
    return Findings(*counts, int(anomalous.sum()), hits, _count_kinds(table.kinds, scored, flagged))


def _count_kinds(
    kinds: list[str | None] | None, scored: npt.NDArray[np.bool_], flagged: npt.NDArray[np.bool_]
) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for row in np.flatnonzero(scored).tolist():
        kind = kinds[row] if kinds is not None else None
        if kind is not None:
            hits, total = counts.get(kind, (0, 0))
            counts[kind] = hits + bool(flagged[row]), total + 1
    return counts
