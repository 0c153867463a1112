"""Builds alerts from the changes of incidents. Pure; the Kafka record around an alert is in `envelope`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.core.alerts.alert import Alert, Contribution, ModelReference, RecordReference, Status, alert_id, rfc3339
from worker.core.model.threshold import score_of, severity_of
from worker.core.state.incidents import Closed, Flagged, Incident, IncidentChange


@dataclass(frozen=True, slots=True)
class Origin:
    """Where alerts come from; the same for every alert of one partition under one feature spec."""

    stream: str
    spec_hash: str
    topic: str
    topic_id: str
    partition: int


def anomaly(
    origin: Origin,
    change: IncidentChange,
    *,
    detected_ms: int,
    features: Sequence[Contribution],
    event: dict[str, Any] | None,
) -> Alert:
    """The `open` or `update` alert of a flagged record; `event` as `redaction.redact` returns it.

    Raises ValueError for a p-value outside (0, 1] or an error that is not finite, which JSON cannot hold.
    """
    return _alert(origin, change.record, change.status, change, detected_ms, features, event)


def closing(origin: Origin, closed: Closed, *, detected_ms: int) -> Alert:
    """The `closed` alert of an incident. Its event time is when the incident expired."""
    incident = closed.incident
    record = Flagged(
        entity=closed.entity,
        offset=incident.opened_offset,
        timestamp_ms=incident.opened_timestamp_ms,
        time_ms=incident.expires_ms,
        clock_ms=incident.expires_ms,
        evidence=incident.peak,
    )
    return _alert(origin, record, "closed", incident, detected_ms, (), None)


def _alert(
    origin: Origin,
    record: Flagged,
    status: Status,
    incident: IncidentChange | Incident,
    detected_ms: int,
    features: Sequence[Contribution],
    event: dict[str, Any] | None,
) -> Alert:
    evidence = record.evidence
    if not (0.0 < evidence.p_value <= 1.0 and math.isfinite(evidence.error)):
        raise ValueError(f"not the evidence of an alert: {evidence}")
    score = float(score_of(np.array([evidence.p_value]))[0])
    topic_id, partition = origin.topic_id, origin.partition
    return Alert(
        alert_id=alert_id(topic_id, partition, record.offset, "anomaly", status),
        incident_id=alert_id(topic_id, partition, incident.opened_offset, "anomaly", "open"),
        kind="anomaly",
        status=status,
        stream=origin.stream,
        entity=record.entity,
        expires_at=rfc3339(incident.expires_ms),
        event_time=rfc3339(record.time_ms),
        detected_at=rfc3339(detected_ms),
        score=score,
        severity=severity_of(score),
        p_value=evidence.p_value,
        p_value_best=evidence.best_p,
        calibration_n=evidence.calibration_n,
        reconstruction_error=evidence.error,
        threshold=evidence.threshold,
        backfill=evidence.backfill,
        features=tuple(features),
        model=ModelReference(version=evidence.version, kind=evidence.kind, spec_hash=origin.spec_hash),
        record=RecordReference(
            topic=origin.topic,
            partition=partition,
            offset=record.offset,
            timestamp=rfc3339(record.timestamp_ms) if record.timestamp_ms >= 0 else None,
        ),
        event=event,
        event_omitted=False,
        opened_at=rfc3339(incident.opened_ms),
        flagged=incident.flagged,
    )
