"""The alert: its fields and its id.

An alert's id names the record that it is about, so that the record can be found again. For an `open` or `update` alert
this is the flagged record, for a `closed` one the record that opened the incident: several incidents may close on one
record, but each was opened by its own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from worker.core.events.event_time import LATEST_MS
from worker.core.model.threshold import Severity

Kind = Literal["anomaly", "storm", "drift", "stale_model", "degraded"]
Status = Literal["open", "update", "closed"]
Scalar = str | bool | int | float | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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
    """A feature's contribution to the error: its `share` of the whole, and its values in original units."""

    field: str
    actual: Scalar
    expected: Scalar | tuple[Level, ...]
    share: Annotated[float, Meta(gt=0, le=1)]


class ModelReference(msgspec.Struct, frozen=True):
    """The bundle that scored the record."""

    version: int
    kind: str
    spec_hash: str


class RecordReference(msgspec.Struct, frozen=True):
    """The record that an alert is about; `timestamp` is Kafka's, or null if there is none."""

    topic: str
    partition: Count
    offset: Count
    timestamp: Instant | None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on the alerts topic. Readers must ignore unknown fields: later versions may add some.

    Score, p-value, error, threshold, model and `backfill` are the record's own. In a `closed` alert they are those of
    the incident's worst record, while `record` is the one that opened it. `expires_at` is when the incident closes, in
    event time, if no further record of the entity is flagged. `flagged` is the number of the incident's flagged records
    so far, including those that were held back.

    `p_value` is the one-sided 95 % upper confidence limit of the fitted tail, and at least 1 / (20 `calibration_n`).
    `p_value_best` is the best estimate without these two: the further the two are apart, the less certain is the score.
    It is null in the `closed` alert of an incident that an earlier release opened.
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
    p_value_best: Probability | None
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


def alert_id(topic_id: str, partition: int, offset: int, kind: Kind, status: Status) -> str:
    return f"{topic_id}.{partition}.{offset}.{kind}.{status}"


@lru_cache(4_096)  # most times of a batch's alerts are the same
def rfc3339(time_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, with milliseconds."""
    instant = _EPOCH + timedelta(milliseconds=min(max(time_ms, 0), LATEST_MS))
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
