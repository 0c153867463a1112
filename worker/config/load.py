"""Reading a configuration, and saying what is wrong with it: path, value, what is allowed; never a secret."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from worker.config.refused_properties import is_secret
from worker.config.settings import Settings
from worker.core.events.spec import Feature
from worker.errors import ConfigError

_NOT_SETTINGS = ("OFFBEAT_INSTANCE", "OFFBEAT_SIGNING_KEY", "OFFBEAT_TEST_KAFKA", "OFFBEAT_TEST_REDIS")


_UNIONS = {
    ("kafka", "start"): "earliest, latest, or a time with its zone such as 2026-01-01T00:00:00Z",
    ("alerts", "event"): "full, none, or a list of dotted paths",
    ("kafka", "properties"): "text, a number, true or false",
}
"""What is allowed where several types are; pydantic would say it once for each."""
_LATER = {
    "format": ("avro", "protobuf"),
    "encoding": ("embedding",),
    "model.kind": ("linear", "undercomplete", "sparse", "variational"),
}


class _Twice(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML would silently let win."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, TypeError, LookupError, AttributeError):  # such as a day that is not in the calendar
            raise yaml.MarkedYAMLError(problem="this cannot be read", problem_mark=node.start_mark) from None


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise _Twice(problem=f"the key {key!r} is there twice", problem_mark=key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file and the environment; raises ConfigError with one line per problem."""
    environment = os.environ if environ is None else environ
    _refuse_unknown_variables(environment)
    plain = _read(path) if path is not None else {}
    unknown = [key for key in plain if key not in Settings.model_fields]
    if unknown:
        raise ConfigError("\n".join(_unknown((key,), Settings) for key in unknown))
    before = dict(os.environ)
    try:
        if environ is not None:
            os.environ.clear()
            os.environ.update(environ)
        return Settings(**plain)
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(error.errors()))) from None
    except SettingsError as error:
        raise ConfigError(_not_json(str(error), environment)) from None
    finally:
        if environ is not None:
            os.environ.clear()
            os.environ.update(before)


def _read(path: Path) -> dict[str, Any]:
    try:
        plain = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader with one check more
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}: not YAML: {_problem(error)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not YAML: nested too deeply") from None
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        raise ConfigError(f"{path}: a mapping of sections is expected; allowed: {', '.join(Settings.model_fields)}")
    return plain


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Without the line itself, nor an alias or tag: each may be a secret that somebody forgot to quote."""
    text = error.problem or "damaged"
    if not isinstance(error, _Twice):
        text = re.sub(r"(alias|anchor|tag|handle) ['\"].*", r"\1", text, flags=re.DOTALL)
    mark = error.problem_mark
    return f"{text}, line {mark.line + 1}, column {mark.column + 1}" if mark is not None else text


def _not_json(error: str, environ: Mapping[str, str]) -> str:
    field = re.search(r'field "(\w+)"', error)
    stem = f"OFFBEAT_{field[1].upper()}" if field else "OFFBEAT_"
    names = sorted(name for name in environ if name.upper() == stem or name.upper().startswith(f"{stem}__"))
    return f"{' or '.join(names)}: not JSON; lists and mappings are written as JSON"


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {f"OFFBEAT_{name.upper()}" for name in Settings.model_fields}
    for name in environ:
        if not name.upper().startswith("OFFBEAT_") or name.upper() in _NOT_SETTINGS:
            continue
        section = name.upper().split("__")[0]
        if section not in known:
            near = difflib.get_close_matches(section, known, 1)
            raise ConfigError(f"{name}: unknown variable{f'; did you mean {near[0]}' if near else ''}")


def _lines(details: Sequence[ErrorDetails]) -> list[str]:
    """One for each problem."""
    lines: dict[str, None] = {}
    told: set[str] = set()
    for detail in details:
        location = _location(detail)
        if detail["type"] == "too_short" and any(len(d["loc"]) > 1 and d["loc"][0] == "features" for d in details):
            continue  # only because none of them was right
        allowed = _UNIONS.get(location[:2]) if len(location) > (location[:2] == ("kafka", "properties")) + 1 else None
        if allowed is None:
            lines[_line(detail, location)] = None
            continue
        place = location[: 3 if location[1] == "properties" else 2]
        path = ".".join(place)
        if path not in told:
            told.add(path)
            lines[f"{path}: {_shown(detail['input'], place)} is not allowed; allowed: {allowed}"] = None
    return list(lines)


def _location(detail: ErrorDetails) -> tuple[Any, ...]:
    if detail["loc"][:2] == ("kafka", "properties"):
        return detail["loc"][:3]
    return tuple(part for part in detail["loc"] if not _is_tag(part))


def _line(detail: ErrorDetails, location: tuple[Any, ...]) -> str:
    path = ".".join(map(str, location))
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(location, _model_at(location[:-1], detail))
    if kind == "missing":
        return f"{path}: required"
    if kind == "union_tag_not_found":
        return f"{path}.kind: required; allowed: {', '.join(_feature_kinds())}"
    value = _shown(detail["input"], location)
    if kind in ("literal_error", "union_tag_invalid"):
        allowed = str(context.get("expected") or context.get("expected_tags")).replace("'", "")
        given = detail["input"] if kind == "literal_error" else context.get("tag")
        name = "features.kind" if kind == "union_tag_invalid" else path
        what = "is not in this version" if _comes_later(name, given) else "is not allowed"
        return f"{path}: {_shown(given, location)} {what}; allowed: {allowed}"
    message = detail["msg"].removeprefix("Value error, ")
    if not path:
        return message
    if kind == "value_error" and location == ("kafka", "properties"):
        return f"{path}: {message}"
    if kind != "value_error":
        message = message[0].lower() + message[1:]
    return f"{path}: {value} is not allowed: {message}"


def _shown(value: Any, location: tuple[Any, ...]) -> str:
    if _hidden(location) and value is not None:
        return "***"
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def _comes_later(path: str, value: Any) -> bool:
    """Whether the design has it and this version does not."""
    if path == "model.window":
        return isinstance(value, int) and value > 1
    planned = _LATER.get(path) or _LATER.get(path.rsplit(".", 1)[-1], ())
    return value in planned


def _unknown(location: tuple[Any, ...], model: type[BaseModel] | None) -> str:
    path = ".".join(map(str, location))
    if model is None:
        return f"{path}: unknown key"
    names = list(model.model_fields)
    near = difflib.get_close_matches(str(location[-1]), names, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{path}: unknown key; allowed here: {', '.join(names)}{hint}"


def _model_at(location: tuple[Any, ...], detail: ErrorDetails) -> type[BaseModel] | None:
    if location and location[0] == "features":
        tag = next((part for part in detail["loc"] if _is_tag(part)), None)
        return next((model for model in _feature_models() if model.model_fields["kind"].annotation is not None
                     and tag in get_args(model.model_fields["kind"].annotation)), None)  # fmt: skip
    model: Any = Settings
    for part in location:
        annotation = model.model_fields[part].annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        if model is None:
            return None
    found: type[BaseModel] = model
    return found


def _feature_models() -> Iterator[type[BaseModel]]:
    union = get_args(Feature)[0]
    yield from get_args(union)


def _feature_kinds() -> list[str]:
    return [get_args(model.model_fields["kind"].annotation)[0] for model in _feature_models()]


def _is_tag(part: Any) -> bool:
    """Parts of a location that pydantic adds for the branch of a union, not for a key."""
    return part in ("numeric", "categorical", "boolean", "cyclic", "rate") or (
        isinstance(part, str) and (part.startswith(("literal[", "tuple[", "function-")) or part == "datetime")
    )


def _hidden(location: tuple[Any, ...]) -> bool:
    """Whole sections too: somebody may have written the URL or a property in the section's place."""
    if location[:1] == ("redis",) or location == ("kafka",):
        return True
    return location[:2] == ("kafka", "properties") and (len(location) == 2 or is_secret(str(location[2])))


def signing_key() -> bytes | None:
    key = os.environ.get("OFFBEAT_SIGNING_KEY")
    return key.encode() if key else None
