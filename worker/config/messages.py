"""Pydantic's validation errors in the user's words: the key's path, its value, what is allowed; never a secret."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import date
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from worker.config.refused_properties import is_secret
from worker.config.settings import Settings
from worker.config.value_types import NOT_ALLOWED, REFUSED_PROPERTY
from worker.core.events.spec import Feature

_FEATURES: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(Feature)[0])
}
"""The model of a feature by its kind."""
_PLANNED = {"format": ("avro", "protobuf"), "encoding": ("embedding",)}
"""Values, by key, that the design has and this version does not."""
_LONGEST = 100


def describe(error: ValidationError) -> list[str]:
    """One line for each problem."""
    details = error.errors()
    wrong_feature = any(len(detail["loc"]) > 1 and detail["loc"][0] == "features" for detail in details)
    # When no feature is right, pydantic adds that the list of right ones is too short.
    return [_line(detail) for detail in details if not (wrong_feature and detail["type"] == "too_short")]


def describe_unknown(location: Sequence[Any], model: type[BaseModel]) -> str:
    """The line for a key that `model` does not have, with the keys that it has."""
    near = difflib.get_close_matches(str(location[-1]), model.model_fields, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{_path(location)}: unknown key; allowed here: {', '.join(model.model_fields)}{hint}"


def _line(detail: ErrorDetails) -> str:
    kind, context, location = detail["type"], detail.get("ctx", {}), _location(detail)
    path, message, value = _path(location), detail["msg"].removeprefix("Value error, "), detail["input"]
    if not location:  # a check over several keys, whose text names them
        return message
    match kind:
        case "missing":
            return f"{path}: required"
        case "extra_forbidden":
            return describe_unknown(location, _model_of(detail))
        case "union_tag_not_found":
            return f"{path}.kind: required; allowed: {', '.join(_FEATURES)}"
        case "union_tag_invalid":
            return f"{path}: {context['tag']!r} is not allowed; allowed: {', '.join(_FEATURES)}"
        case "literal_error":
            planned = value in _PLANNED.get(str(location[-1]), ())
            refusal = "is not in this version" if planned else "is not allowed"
            allowed = context["expected"].replace("'", "")
            return f"{path}: {_shown(value, location)} {refusal}; allowed: {allowed}"
        case kind if kind == NOT_ALLOWED:
            return f"{path}: {_shown(value, location)} is not allowed; allowed: {message}"
        case kind if kind == REFUSED_PROPERTY:
            return f"{path}: {message}"
        case "value_error":
            return f"{path}: {_shown(value, location)} is not allowed: {message}"
        case _:
            return f"{path}: {_shown(value, location)} is not allowed: {message[0].lower()}{message[1:]}"


def _location(detail: ErrorDetails) -> tuple[Any, ...]:
    """The keys that lead to the error. Pydantic also puts a feature's kind there, and a mark behind a mapping's key."""
    location = detail["loc"]
    if location[:1] == ("features",):
        return location[:2] + location[3:]
    return location[:-1] if location[-1:] == ("[key]",) else location


def _model_of(detail: ErrorDetails) -> type[BaseModel]:
    """The model that was given a key too many."""
    match detail["loc"]:
        case ("features", _, str(kind), *_):
            return _FEATURES[kind]
        case (str(section), _):
            return cast(type[BaseModel], Settings.model_fields[section].annotation)
        case _:
            return Settings


def _path(location: Sequence[Any]) -> str:
    return ".".join(map(str, location))


def _shown(value: Any, location: tuple[Any, ...]) -> str:
    if _is_hidden(location) and value is not None:
        return "***"
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _is_hidden(location: tuple[Any, ...]) -> bool:
    """Whole sections are hidden too: someone may have written the URL or a property in the section's place."""
    match location:
        case ("redis", *_) | ("kafka",) | ("kafka", "properties"):
            return True
        case ("kafka", "properties", name, *_):
            return is_secret(str(name))
        case _:
            return False
