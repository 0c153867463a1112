"""Why a record was rejected: a slow and thorough second look at the few records that the typed decoder refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from worker.core.events.event_time import milliseconds
from worker.core.events.spec import NUMBER_KINDS

_MAX_TEXT = 200
_QUOTE, _BACKSLASH = ord('"'), ord("\\")

RejectCode = Literal["too_large", "empty", "too_deep", "not_utf8", "not_json", "not_an_object", "field"]
"""What was wrong with a record: `field` if single fields were, any other code concerns the record as a whole."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on untrusted input: bytes of a record's value, and how deep objects and lists may nest."""

    max_bytes: int = 1_000_000
    max_depth: int = 64


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be decoded: the `index` of its value in the batch, and one reason per field (or one for
    the whole record).
    """

    index: int
    code: RejectCode
    reasons: tuple[str, ...]


def reject(index: int, value: bytes, error: Exception, kinds: dict[str, str], limits: Limits) -> Reject:
    """Find the reasons why the typed decoder refused `value` with `error`: at least one. Never raises.

    `kinds` gives the kind of each path that the spec reads.
    """
    if len(value) > limits.max_bytes:
        return Reject(index, "too_large", (f"too large: {len(value)} bytes, the limit is {limits.max_bytes}",))
    if not value.strip():
        return Reject(index, "empty", ("empty",))
    if _depth(value) > limits.max_depth:
        return Reject(index, "too_deep", (f"nested deeper than {limits.max_depth}",))
    try:
        plain = msgspec.json.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            return Reject(index, "not_utf8", ("not UTF-8",))
        return Reject(index, "not_json", (f"not JSON: {str(fault)[:_MAX_TEXT]}",))
    if not isinstance(plain, dict):
        return Reject(index, "not_an_object", (f"not a JSON object but {_name(plain)}",))
    reasons = [reason for path, kind in kinds.items() if (reason := _reason(plain, path, kind)) is not None]
    return Reject(index, "field", tuple(reasons) or (f"not readable: {str(error)[:_MAX_TEXT]}",))


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
    if kind in NUMBER_KINDS:
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
    """How deep brackets nest, not counting those inside strings."""
    depth = deepest = 0
    inside = escaped = False
    for byte in value:
        if inside:
            if escaped:
                escaped = False
            elif byte == _BACKSLASH:
                escaped = True
            elif byte == _QUOTE:
                inside = False
        elif byte == _QUOTE:
            inside = True
        elif byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest
