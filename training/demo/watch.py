"""What came out: reads the alerts and the scores topics as any user would, and measures them against the labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from training.demo.services import PARTITIONS
from training.demo.stream import Player
from training.evaluate.ranking_metrics import ranking


@dataclass(slots=True)
class Seen:
    """`score`, `error` and `flagged` by row of the table; nan where a row was not scored."""

    score: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    alerts: int = 0
    versions: set[int] = field(default_factory=set)
    fresh: list[dict[str, Any]] = field(default_factory=list)

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        return ~np.isnan(self.score)


class Watcher:
    """A `read_committed` reader of both topics; `poll()` takes what there is."""

    def __init__(self, bootstrap: str, alerts: str, scores: str, player: Player, rows: int) -> None:
        self._alerts = alerts
        self._player = player
        self.seen = Seen(np.full(rows, np.nan), np.full(rows, np.nan), np.zeros(rows, np.bool_))
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "demo-watcher",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,
                "log_level": 3,
            }
        )
        self._consumer.assign(
            [TopicPartition(topic, partition, 0) for topic in (alerts, scores) for partition in range(PARTITIONS)]
        )

    def poll(self, seconds: float) -> int:
        """Take what arrives within `seconds`; returns how many rows were scored so far."""
        for message in self._consumer.consume(5_000, seconds):
            error = message.error()
            if error is not None:
                if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._PARTITION_EOF):
                    continue
                raise RuntimeError(error.str())
            self._take(message)
        return int(self.seen.scored.sum())

    def _take(self, message: Message) -> None:
        plain = msgspec.json.decode(message.value() or b"{}")
        seen = self.seen
        if message.topic() == self._alerts:
            if plain["kind"] == "anomaly" and plain["status"] != "closed":
                seen.alerts += 1
                seen.fresh.append(plain)
            return
        row = self._player.sent[plain["partition"]][plain["offset"]]
        seen.score[row] = plain["score"]
        seen.error[row] = plain["reconstruction_error"]
        seen.flagged[row] = plain["verdict"] == "ANOMALOUS"
        seen.versions.add(plain["version"])

    def close(self) -> None:
        self._consumer.close()


def measure(seen: Seen, labels: npt.NDArray[np.bool_] | None) -> dict[str, float | None]:
    """Precision and recall of the flagged, ROC-AUC and PR-AUC of the scores; None where the labels do not allow one.

    Ranked by score; scores that are equal (the floor of the p-value) by reconstruction error.
    """
    nothing: dict[str, float | None] = {"precision": None, "recall": None, "roc_auc": None, "pr_auc": None}
    scored = seen.scored
    if labels is None or not scored.any():
        return nothing
    truth, flagged = labels[scored], seen.flagged[scored]
    hits = int((truth & flagged).sum())
    if flagged.any():
        nothing["precision"] = hits / int(flagged.sum())
    if truth.any():
        nothing["recall"] = hits / int(truth.sum())
        if not truth.all():
            rank = np.empty(len(truth))
            rank[np.lexsort((seen.error[scored], seen.score[scored]))] = np.arange(len(truth))
            nothing |= {name: value for name, value in ranking(truth, rank).items() if name in nothing}
    return nothing
