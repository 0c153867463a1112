"""The event inside an alert, parsed again as a whole: the fields that the policy allows, as values that every JSON
parser accepts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Policy = Literal["full", "none"] | Sequence[str]
"""`alerts.event`: all of the event, none of it, or a list of dotted paths."""

_MAX_BITS = 1_024
"""Integers with more bits are beyond the range of a double."""


def read_event(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in a record's value, or None if there is none.

    It must read all that the decoder accepts. The decoder looks only at the fields of the feature spec, so a number out
    of range in another field must not cost the event its place in the alert.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def redact(event: dict[str, Any] | None, policy: Policy) -> dict[str, Any] | None:
    """A copy of the fields that the policy allows, nested as in the event. Paths that the event lacks are left out.

    The policy applies to the event only: the features that contributed to the score keep their actual values.
    """
    if event is None or policy == "none":
        return None
    if policy == "full":
        copy: dict[str, Any] = plain(event)
        return copy
    shown: dict[str, Any] = {}
    for path in policy:
        _copy(event, shown, path.split("."))
    return shown


def _copy(event: dict[str, Any], shown: dict[str, Any], path: list[str]) -> None:
    value: Any = event
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return
        value = value[key]
    for key in path[:-1]:
        shown = shown.setdefault(key, {})
    shown[path[-1]] = plain(value)


def plain(value: Any) -> Any:
    """The value as strict JSON can hold it.

    NaN, infinities and integers beyond a double become null, lone surrogates question marks, and numpy scalars Python
    values.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if type(value) is float and math.isfinite(value):
        return value  # the most frequent case first
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _MAX_BITS else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain(value.item())


def trim(value: Any, length: int) -> Any:
    """The value with longer texts cut to `length` characters, each marked with its full length."""
    if isinstance(value, str) and len(value) > length:
        return f"{value[:length]}… ({len(value)} characters)"
    if isinstance(value, dict):
        return {key: trim(item, length) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [trim(item, length) for item in value]
    return value
