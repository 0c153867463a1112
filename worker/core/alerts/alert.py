"""Alerts: what is published and how it is named. Pure builders; the record around it is in
`worker.core.alerts.envelope`.

An alert's id names the record it is about, so that it can be found again: of an `open` or `update` alert the
flagged record, of a `closed` one the record that opened the incident (several incidents may close on one
record, but each was opened by its own).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from worker.core.alerts.redaction import plain
from worker.core.events.event_time import LATEST_MS
from worker.core.model.threshold import Severity, score_of, severity_of
from worker.core.state.incidents import Closed, Flagged, Incident, IncidentChange

Kind = Literal["anomaly", "storm", "drift", "stale_model", "degraded"]
Status = Literal["open", "update", "closed"]
Scalar = str | bool | int | float | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHARE_STEPS = 1_000_000

Instant = Annotated[
    str,
    Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", extra_json_schema={"format": "date-time"}),
]
Probability = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class Level(msgspec.Struct, frozen=True):
    """A level that a categorical feature was expected to have."""

    value: Scalar
    probability: Probability


class Contribution(msgspec.Struct, frozen=True):
    """A feature's part in the error: `share` of the whole, values in original units."""

    field: str
    actual: Scalar
    expected: Scalar | tuple[Level, ...]
    share: Annotated[float, Meta(gt=0, le=1)]


class ModelReference(msgspec.Struct, frozen=True):
    """The bundle that judged."""

    version: int
    kind: str
    spec_hash: str


class RecordReference(msgspec.Struct, frozen=True):
    """The record an alert is about; `timestamp` is Kafka's, null where there is none."""

    topic: str
    partition: Count
    offset: Count
    timestamp: Instant | None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on the alerts topic. Readers take no offence at fields added later.

    Score, p-value, error, threshold, model and `backfill` are the record's own; in a `closed` alert those of
    the incident's worst record, while `record` is the one that opened it. `expires_at`: when the incident
    closes, in event time, if no further record of the entity is flagged. `flagged`: the incident's flagged
    records so far, those held back included.
    """

    alert_id: str
    incident_id: str
    kind: Kind
    status: Status
    stream: str
    entity: str | None
    expires_at: Instant
    event_time: Instant
    detected_at: Instant
    score: Annotated[float, Meta(ge=0, le=100)]
    severity: Severity
    p_value: Annotated[float, Meta(gt=0, le=1)]
    calibration_n: Annotated[int, Meta(gt=0)]
    reconstruction_error: Annotated[float, Meta(ge=0)]
    threshold: Annotated[float, Meta(ge=0)]
    backfill: bool
    features: tuple[Contribution, ...]
    model: ModelReference
    record: RecordReference
    event: dict[str, Any] | None
    event_omitted: Annotated[bool, Meta(description="the event was left out because the alert was too large with it")]
    opened_at: Instant
    flagged: Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where alerts come from: the same for every alert of one partition under one feature spec."""

    stream: str
    spec_hash: str
    topic: str
    topic_id: str
    partition: int


def alert_id(topic_id: str, partition: int, offset: int, kind: Kind, status: Status) -> str:
    return f"{topic_id}.{partition}.{offset}.{kind}.{status}"


@lru_cache(4_096)  # an alert's times are mostly one another's
def rfc3339(time_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, with milliseconds."""
    instant = _EPOCH + timedelta(milliseconds=min(max(time_ms, 0), LATEST_MS))
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def contributions(
    names: Sequence[str],
    per_feature: npt.NDArray[np.float32],
    described: Callable[[int], tuple[Sequence[Any], Sequence[Any]]],
    top: int = 5,
) -> list[list[Contribution]]:
    """Of n rows the features that contributed most to each one's error, largest first, ties in order of the spec.

    `names` (F,) and `per_feature` (n, F) >= 0; `described` gives the rows' actual and expected values of one feature.
    Shares are of the error over all features, rounded down to a millionth; what rounds to nothing is left out.
    """
    weights = np.asarray(per_feature, np.float64)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :top]
    totals = np.maximum(weights.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    shares = np.floor(np.take_along_axis(weights, order, 1) / totals * _SHARE_STEPS) / _SHARE_STEPS
    values = {feature: described(feature) for feature in np.unique(order).tolist()}
    return [
        [
            _contribution(names[feature], values[feature][0][row], values[feature][1][row], share)
            for feature, share in zip(features, parts, strict=True)
            if share > 0
        ]
        for row, (features, parts) in enumerate(zip(order.tolist(), shares.tolist(), strict=True))
    ]


def _contribution(name: str, actual: Any, expected: Any, share: float) -> Contribution:
    if isinstance(expected, list):
        expected = tuple(Level(plain(level["value"]), level["probability"]) for level in expected)
    else:
        expected = plain(expected)
    return Contribution(name, plain(actual), expected, share)


def anomaly(
    origin: Origin,
    record: Flagged,
    change: IncidentChange,
    *,
    detected_ms: int,
    features: Sequence[Contribution],
    event: dict[str, Any] | None,
) -> Alert:
    """The `open` or `update` alert of a flagged record; `event` as `redaction.redact` gives it.

    Raises ValueError for a p-value outside (0, 1] and an error that is not finite, which JSON could not hold.
    """
    return _alert(origin, record, change.status, change, detected_ms, features, event)


def closing(origin: Origin, closed: Closed, *, detected_ms: int) -> Alert:
    """The `closed` alert of an incident; its event time is when the incident expired."""
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
