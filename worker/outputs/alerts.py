"""Alerts of one partition's batch: built from how its incidents changed, in log order, explained all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from worker.core.alerts.alert import Alert, Contribution
from worker.core.alerts.build import Origin, anomaly, closing
from worker.core.alerts.contributions import explain
from worker.core.alerts.envelope import seal
from worker.core.alerts.redaction import read_event, redact
from worker.core.model.serving_model import ServingModel
from worker.core.state.incidents import Closed, IncidentChange
from worker.core.step import Step
from worker.ports.log import Output, Records


class AlertOutputs:
    """Builds alert records. `event` says how much of an event its alert carries, `size_limit` is the largest record
    that the topic takes, in bytes.
    """

    def __init__(
        self,
        stream: str,
        topic: str,
        event: Literal["full", "none"] | tuple[str, ...],
        size_limit: Callable[[str], int],
        wall_ms: Callable[[], int],
    ) -> None:
        self._stream = stream
        self._topic = topic
        self._event = event
        self._size_limit = size_limit
        self._wall_ms = wall_ms

    def outputs(self, topic_id: str, records: Records, model: ServingModel, step: Step) -> list[Output]:
        """One alert for each incident that was closed, opened or updated; held-back changes have none."""
        topic, partition = records.source
        origin = Origin(self._stream, model.spec_hash, topic, topic_id, partition)
        published = [change for change in step.changes if isinstance(change, Closed) or change.publish]
        features = iter(_features(model, step, [one for one in published if isinstance(one, IncidentChange)]))
        outputs = []
        for change in published:
            if isinstance(change, Closed):
                outputs.append(self._output(records, closing(origin, change, detected_ms=self._wall_ms()), None))
                continue
            place = int(np.searchsorted(records.offsets, change.record.offset))
            event = redact(read_event(records.values[place] or b""), self._event)
            alert = anomaly(origin, change, detected_ms=self._wall_ms(), features=next(features), event=event)
            outputs.append(self._output(records, alert, records.key(place)))
        return outputs

    def _output(self, records: Records, alert: Alert, key: bytes | None) -> Output:
        sealed = seal(alert, self._size_limit(self._topic))
        return Output(
            source=records.source,
            topic=self._topic,
            key=sealed.key or key,
            value=sealed.value,
            headers=sealed.headers,
            kind=alert.kind,
            status=alert.status,
            severity=alert.severity,
        )


def _features(model: ServingModel, step: Step, changes: list[IncidentChange]) -> list[list[Contribution]]:
    """Why each of these records was flagged. Explaining them one by one would cost 0.8 ms each."""
    if not changes:
        return []
    rows = np.searchsorted(step.rows.offsets, [change.record.offset for change in changes])
    return explain(model.detector, step.scores, step.rows.columns, rows)
