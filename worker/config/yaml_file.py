"""Reads a YAML file strictly. Errors name the place in the file, but never quote its text, which may be a secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from worker.errors import ConfigError


class _DuplicateKey(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """Refuses a mapping with the same key twice; YAML itself would silently keep the last one."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, TypeError, LookupError, AttributeError):  # such as a day that is not in the calendar
            raise yaml.MarkedYAMLError(problem="this cannot be read", problem_mark=node.start_mark) from None


def _construct_mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise _DuplicateKey(problem=f"the key {key!r} is there twice", problem_mark=key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(path: Path) -> Any:
    """The document in a file. Raises ConfigError when the file cannot be read or is not YAML."""
    try:
        return yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader with one more check
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}: not YAML: {_describe(error)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not YAML: nested too deeply") from None


def _describe(error: yaml.MarkedYAMLError) -> str:
    """The problem and its place. The name of an alias or a tag is left out: it may be an unquoted secret."""
    text = error.problem or "damaged"
    if not isinstance(error, _DuplicateKey):
        text = re.sub(r"(alias|anchor|tag|handle) ['\"].*", r"\1", text, flags=re.DOTALL)
    mark = error.problem_mark
    return f"{text}, line {mark.line + 1}, column {mark.column + 1}" if mark is not None else text
