"""Durations as a configuration writes them: "60s", "10m", "1h", "7d", or a number of seconds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def seconds(value: Any) -> Any:
    """The duration in seconds. Raises ValueError with the allowed forms."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('a duration such as "60s", "10m", "1h" or "7d", or a number of seconds')
    if isinstance(value, str):
        match = _FORM.fullmatch(value.strip())
        if match is None:
            try:
                return float(value)
            except ValueError:
                raise ValueError('a duration such as "60s", "10m", "1h" or "7d", or a number of seconds') from None
        return float(match[1]) * _UNITS[match[2]]
    return float(value)


Duration = Annotated[
    float,
    BeforeValidator(seconds, json_schema_input_type=str | float),
    Field(ge=0, allow_inf_nan=False),
]
"""A field of a pydantic model, in float seconds."""
