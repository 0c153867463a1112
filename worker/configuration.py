"""Reading a configuration, and saying what is wrong with it: path, value, what is allowed; never a secret."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from worker.core.spec import Feature
from worker.errors import ConfigError
from worker.kafka_rules import is_secret
from worker.settings import Settings

_NOT_SETTINGS = ("OFFBEAT_INSTANCE", "OFFBEAT_SIGNING_KEY", "OFFBEAT_TEST_KAFKA", "OFFBEAT_TEST_REDIS")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML would silently let win."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"the key {key!r} is there twice", problem_mark=key_node.start_mark)
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
        raise ConfigError("\n".join(dict.fromkeys(_line(detail) for detail in error.errors()))) from None
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; lists and mappings are written as JSON") from None
    finally:
        if environ is not None:
            os.environ.clear()
            os.environ.update(before)


def _read(path: Path) -> dict[str, Any]:
    try:
        plain = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader with one check more
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        raise ConfigError(f"{path}: a mapping of sections is expected; allowed: {', '.join(Settings.model_fields)}")
    return plain


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {f"OFFBEAT_{name.upper()}" for name in Settings.model_fields}
    for name in environ:
        if not name.upper().startswith("OFFBEAT_") or name.upper() in _NOT_SETTINGS:
            continue
        section = name.upper().split("__")[0]
        if section not in known:
            near = difflib.get_close_matches(section, known, 1)
            raise ConfigError(f"{name}: unknown variable{f'; did you mean {near[0]}' if near else ''}")


def _line(detail: ErrorDetails) -> str:
    location = tuple(part for part in detail["loc"] if not _is_tag(part))
    path = ".".join(map(str, location))
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(location, _model_at(location[:-1], detail))
    if kind == "missing":
        return f"{path}: required"
    value = "***" if _hidden(location) else repr(detail["input"])
    if len(value) > 100:
        value = value[:100] + "…"
    if kind in ("literal_error", "union_tag_invalid"):
        allowed = str(context.get("expected") or context.get("expected_tags")).replace("'", "")
        given = value if kind == "literal_error" else repr(context.get("tag"))
        return f"{path}: {given} is not in this version; allowed: {allowed}"
    message = detail["msg"].removeprefix("Value error, ")
    if not path:
        return message
    if kind == "value_error":
        return f"{path}: {message}"
    return f"{path}: {value} is not allowed: {message[0].lower()}{message[1:]}"


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


def _is_tag(part: Any) -> bool:
    """Parts of a location that pydantic adds for the branch of a union, not for a key."""
    return part in ("numeric", "categorical", "boolean", "cyclic") or (
        isinstance(part, str) and (part.startswith(("literal[", "tuple[", "function-")) or part == "datetime")
    )


def _hidden(location: tuple[Any, ...]) -> bool:
    return location[:2] == ("redis", "url") or (
        location[:2] == ("kafka", "properties") and (len(location) == 2 or is_secret(str(location[2])))
    )
