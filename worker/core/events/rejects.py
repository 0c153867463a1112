"""Why a record was rejected: the slow, thorough second look at the few that the typed decoder refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from worker.core.events.event_time import milliseconds

_TEXT = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on untrusted input: bytes of a record's value, and how deep objects and lists may nest."""

    max_bytes: int = 1_000_000
    max_depth: int = 64


@dataclass(frozen=True, slots=True)
class Reject:
    """`index` of the value in the batch, and one reason per field (or one for the whole record)."""

    index: int
    reasons: tuple[str, ...]


def reasons_for(value: bytes, error: Exception, kinds: dict[str, str], limits: Limits) -> tuple[str, ...]:
    """One reason per field of `kinds` (path to kind), or one for the record. Never empty, never raises."""
    if len(value) > limits.max_bytes:
        return (f"too large: {len(value)} bytes, the limit is {limits.max_bytes}",)
    if not value.strip():
        return ("empty",)
    if _depth(value) > limits.max_depth:
        return (f"nested deeper than {limits.max_depth}",)
    try:
        plain = msgspec.json.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            return ("not UTF-8",)
        return (f"not JSON: {str(fault)[:_TEXT]}",)
    if not isinstance(plain, dict):
        return (f"not a JSON object but {_name(plain)}",)
    reasons = [reason for path, kind in kinds.items() if (reason := _reason(plain, path, kind)) is not None]
    return tuple(reasons) or (f"not readable: {str(error)[:_TEXT]}",)


def _reason(plain: dict[str, Any], path: str, kind: str) -> str | None:
    value: Any = plain
    walked: list[str] = []
    for key in path.split("."):
        if value is None:
            return f"{'.'.join(walked)}: null where an object is expected"
        if not isinstance(value, dict):
            return f"{'.'.join(walked)}: {_name(value)} where an object is expected"
        if key not in value:
            return None
        value = value[key]
        walked.append(key)
    return _mismatch(path, value, kind)


def _mismatch(path: str, value: Any, kind: str) -> str | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "numeric":
        if not number:
            return f"{path}: {_name(value)} where a number is expected"
        try:
            float(value)
        except OverflowError:
            return f"{path}: a number out of range"
    elif kind == "boolean":
        return None if isinstance(value, bool) else f"{path}: {_name(value)} where true or false is expected"
    elif kind in ("cyclic", "time"):
        if not number and not isinstance(value, str):
            return f"{path}: {_name(value)} where a time is expected"
        try:
            milliseconds(value)
        except (ValueError, OverflowError) as error:
            return f"{path}: {error}"
    elif isinstance(value, dict | list):
        return f"{path}: {_name(value)} where a single value is expected"
    return None


def _name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _depth(value: bytes) -> int:
    """How deep brackets nest, outside strings."""
    depth = deepest = 0
    inside = escaped = False
    for byte in value:
        if inside:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                inside = False
        elif byte == 0x22:
            inside = True
        elif byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest
