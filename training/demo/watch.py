"""Reads the alerts and the scores topics as any consumer would, and measures them against the labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from training.demo.services import PARTITIONS
from training.demo.stream import Player
from training.evaluate.ranking_metrics import ranking
from worker.adapters.kafka_range_reader import Connection, RangeReader
from worker.ports.log import TopicPartition


@dataclass(slots=True)
class Results:
    """The worker's output so far. `score`, `error`, `flagged` and `version` (of the model) are (n,), one value
    per table row; `score` and `error` are NaN and `version` is 0 for rows that are not scored yet.

    `new_alerts` holds the alerts that have not been shown yet.
    """

    score: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    version: npt.NDArray[np.int64]
    alerts: int = 0
    new_alerts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        return ~np.isnan(self.score)


class Watcher:
    """A `read_committed` reader of both topics that collects `results`."""

    def __init__(self, bootstrap: str, alerts: str, scores: str, player: Player, rows: int) -> None:
        self._alerts = alerts
        self._player = player
        self.results = Results(
            np.full(rows, np.nan), np.full(rows, np.nan), np.zeros(rows, np.bool_), np.zeros(rows, np.int64)
        )
        self._reader = RangeReader(Connection(bootstrap), "the demo's topics", quiet=True)
        self._reader.follow(
            {TopicPartition(topic, number): 0 for topic in (alerts, scores) for number in range(PARTITIONS)}
        )

    def poll(self, seconds: float) -> int:
        """Collect the records that arrive within `seconds`; returns the number of rows scored so far."""
        for records in self._reader.poll(5_000, seconds):
            for value in records.values:
                document = msgspec.json.decode(value or b"{}")
                if records.source.topic == self._alerts:
                    self._add_alert(document)
                else:
                    self._add_score(document)
        return int(self.results.scored.sum())

    def _add_alert(self, alert: dict[str, Any]) -> None:
        if alert["kind"] == "anomaly" and alert["status"] != "closed":
            self.results.alerts += 1
            self.results.new_alerts.append(alert)

    def _add_score(self, score: dict[str, Any]) -> None:
        row, results = self._player.sent[score["partition"]][score["offset"]], self.results
        results.score[row] = score["score"]
        results.error[row] = score["reconstruction_error"]
        results.flagged[row] = score["verdict"] == "ANOMALOUS"
        results.version[row] = score["version"]

    def close(self) -> None:
        self._reader.close()


def measure(results: Results, labels: npt.NDArray[np.bool_] | None) -> dict[str, float | None]:
    """Precision and recall of the flagged rows, ROC-AUC and PR-AUC of the scores; None where it is undefined.

    Rows are ranked by score; rows with the same score (the lowest possible p-value) by reconstruction error.
    """
    metrics: dict[str, float | None] = {"precision": None, "recall": None, "roc_auc": None, "pr_auc": None}
    scored = results.scored
    if labels is None or not scored.any():
        return metrics
    truth, flagged = labels[scored], results.flagged[scored]
    hits = int((truth & flagged).sum())
    if flagged.any():
        metrics["precision"] = hits / int(flagged.sum())
    if truth.any():
        metrics["recall"] = hits / int(truth.sum())
        if not truth.all():
            rank = np.empty(len(truth))
            rank[np.lexsort((results.error[scored], results.score[scored]))] = np.arange(len(truth))
            metrics |= {name: value for name, value in ranking(truth, rank).items() if name in metrics}
    return metrics
