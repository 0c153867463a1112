"""Loads the configuration from a YAML file and the environment. Everything wrong with it becomes one ConfigError."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from worker.config.messages import describe, describe_unknown
from worker.config.settings import Settings
from worker.config.yaml_file import read_yaml
from worker.errors import ConfigError

_NOT_SETTINGS = ("OFFBEAT_INSTANCE", "OFFBEAT_SIGNING_KEY", "OFFBEAT_TEST_KAFKA", "OFFBEAT_TEST_REDIS")


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file and the environment. Raises ConfigError with one line for each problem."""
    environment = os.environ if environ is None else environ
    _refuse_unknown_variables(environment)
    plain = _read_sections(path) if path is not None else {}
    before = dict(os.environ)
    try:
        if environ is not None:
            os.environ.clear()
            os.environ.update(environ)
        return Settings(**plain)
    except ValidationError as error:
        raise ConfigError("\n".join(describe(error))) from None
    except SettingsError as error:
        raise ConfigError(_describe_not_json(str(error), environment)) from None
    finally:
        if environ is not None:
            os.environ.clear()
            os.environ.update(before)


def signing_key() -> bytes | None:
    """The key in OFFBEAT_SIGNING_KEY, with which bundles and thresholds are signed; None when there is none."""
    key = os.environ.get("OFFBEAT_SIGNING_KEY")
    return key.encode() if key else None


def _read_sections(path: Path) -> dict[str, Any]:
    plain = read_yaml(path)
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        raise ConfigError(f"{path}: a mapping of sections is expected; allowed: {', '.join(Settings.model_fields)}")
    # Before pydantic sees them: its settings class takes keyword arguments of its own, such as `_env_file`.
    unknown = [key for key in plain if key not in Settings.model_fields]
    if unknown:
        raise ConfigError("\n".join(describe_unknown((key,), Settings) for key in unknown))
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


def _describe_not_json(error: str, environ: Mapping[str, str]) -> str:
    """Pydantic names the section only; the variables of that section are named instead, without their values."""
    field = re.search(r'field "(\w+)"', error)
    stem = f"OFFBEAT_{field[1].upper()}" if field else "OFFBEAT_"
    names = sorted(name for name in environ if name.upper() == stem or name.upper().startswith(f"{stem}__"))
    return f"{' or '.join(names)}: not JSON; lists and mappings are written as JSON"
