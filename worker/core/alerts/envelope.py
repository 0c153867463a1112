"""Alerts as Kafka records: a JSON value, the entity as key, CloudEvents 1.0 headers, and a size within limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from worker.core.alerts.alert import Alert, Contribution
from worker.core.alerts.redaction import trim

_HEADER_BYTES = 10  # the lengths of one header's name and value
_RECORD_BYTES = 256  # the framing of the record and its batch
_TEXT_LENGTHS = (256, 16)
"""Characters that long texts are cut to, one after the other, when an alert is too large."""
# Not allowed in a CloudEvents String: control characters, surrogates and noncharacters.
_DISALLOWED = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


class Envelope(NamedTuple):
    """The parts of a Kafka record."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """The record's size in bytes as the broker counts it, rounded up."""
        headers = sum(len(name) + len(value) + _HEADER_BYTES for name, value in self.headers)
        return len(self.key or b"") + len(self.value) + headers + _RECORD_BYTES


def seal(alert: Alert, limit: int) -> Envelope:
    """The alert as a record of at most `limit` bytes; `shrink` says what is left out of a larger one."""
    envelope = _seal(alert)
    for smaller in shrink(alert) if envelope.size > limit else ():
        envelope = _seal(smaller)
        if envelope.size <= limit:
            break
    return envelope


def shrink(alert: Alert) -> Iterator[Alert]:
    """Ever smaller forms of an alert: without the event, then with long texts in actual and expected values cut, then
    without features. The last form is below two kilobytes, if names have ordinary lengths.
    """
    if alert.event is not None:
        alert = replace(alert, event=None, event_omitted=True)
    yield alert
    for length in _TEXT_LENGTHS:
        features = tuple(_trim_values(feature, length) for feature in alert.features)
        yield replace(alert, features=features)
    yield replace(alert, features=())


def headers(alert: Alert) -> list[tuple[str, bytes]]:
    """The attributes of CloudEvents 1.0 in binary mode, by the Kafka protocol binding, section 3.2.

    Values are UTF-8. In the subject, which is the entity, only characters that a CloudEvents String may not hold are
    percent-encoded; the record's value has the entity as it is. `severity` is an extension attribute, for consumers
    that route alerts without reading the value.
    """
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": alert.alert_id,
        "ce_source": f"/offbeat/{quote(alert.stream, safe='')}",
        "ce_type": f"offbeat.{alert.kind}.{alert.status}",
        "ce_time": alert.event_time,
        "ce_severity": alert.severity,
        "content-type": "application/json",
    }
    if alert.entity:
        attributes["ce_subject"] = _DISALLOWED.sub(lambda match: quote(match.group()), alert.entity)
    return [(name, value.encode()) for name, value in attributes.items()]


def alert_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an alert."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Alert)}


def _trim_values(feature: Contribution, length: int) -> Contribution:
    values = trim(msgspec.to_builtins(feature), length)
    return msgspec.convert({**values, "field": feature.field}, Contribution)


def _seal(alert: Alert) -> Envelope:
    key = alert.entity.encode() if alert.entity is not None else None
    return Envelope(key, msgspec.json.encode(alert), headers(alert))
