"""What a run of the demo found, as figures: by kind of anomaly, and by version of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.demo.watch import Results
from training.tables.table import Table

_GROUPS = 3


@dataclass(frozen=True, slots=True)
class Stretch:
    """The events that one version of the model scored, and how many of them it flagged."""

    version: int
    scored: int
    flagged: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Counts of scored events. `anomalies`, `hits` (flagged anomalies) and `kinds` are None if the data has no labels.

    `kinds` maps a kind of anomaly to (flagged, scored) events; it is empty if the labels name no kinds. `groups` are
    the largest groups of flagged events without a label, each with its size.
    """

    scored: int
    flagged: int
    stretches: tuple[Stretch, ...]
    anomalies: int | None = None
    hits: int | None = None
    kinds: dict[str, tuple[int, int]] | None = None
    groups: tuple[tuple[str, int], ...] = ()

    def over_target(self, alert_rate: float) -> float | None:
        """The share of events flagged, as a multiple of the share that may be flagged; None if none was scored."""
        return self.flagged / self.scored / alert_rate if self.scored else None


def find(results: Results, table: Table, group_by: Sequence[str] = ()) -> Findings:
    """Count what a run found; `group_by` names the columns by which flagged events without a label are grouped."""
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
    groups = _count_groups(table, np.flatnonzero(scored & flagged & ~table.labels), group_by)
    return Findings(*counts, int(anomalous.sum()), hits, _count_kinds(table.kinds, scored, flagged), groups)


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


def _count_groups(table: Table, rows: npt.NDArray[np.intp], group_by: Sequence[str]) -> tuple[tuple[str, int], ...]:
    if not group_by:
        return ()
    columns = [table.columns[name] for name in group_by]
    counts = Counter(" ".join(str(column[row]) for column in columns) for row in rows.tolist())
    return tuple(counts.most_common(_GROUPS))
