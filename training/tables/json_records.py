"""JSON records as columns by dotted path, and a row back as the event that it stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from worker.errors import ConfigError

_MAX_DEPTH = 64
_MAX_FIELDS = 5_000
_LARGEST = 2**1023
"""Whole numbers from here on have no float64: they count as missing, as the worker could not read them either."""


class FieldColumns:
    """Collects n records into `columns`, each (n,) values by path in order of first appearance, None where absent.

    Lists stay lists. Keys that no dotted path can name (empty, or with a dot) are left out and told in `notes`.
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}
        self.rows = 0
        self._unreachable: dict[str, None] = {}

    def add(self, record: dict[str, Any]) -> None:
        """One record; raises ConfigError where there come to be more than 5,000 fields."""
        self._walk(record, "", 1)
        self.rows += 1

    def finish(self) -> dict[str, list[Any]]:
        for column in self.columns.values():
            column.extend([None] * (self.rows - len(column)))
        return self.columns

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{path!r} is left out: no dotted path can name it (a path walks nested objects; a key is neither empty "
            "nor holds a dot)"
            for path in self._unreachable
        )

    def _walk(self, record: dict[str, Any], prefix: str, depth: int) -> None:
        for key, value in record.items():
            path = prefix + key
            if not key or "." in key or depth > _MAX_DEPTH:
                self._unreachable.setdefault(path[:100])
            elif isinstance(value, dict):
                self._walk(value, path + ".", depth + 1)
            else:
                self._put(path, None if type(value) is int and abs(value) >= _LARGEST else value)

    def _put(self, path: str, value: Any) -> None:
        column = self.columns.get(path)
        if column is None:
            if len(self.columns) == _MAX_FIELDS:
                raise ConfigError(
                    f"more than {_MAX_FIELDS} fields, such as {path[:100]!r}: are there objects with ids for keys? "
                    f"allowed: at most {_MAX_FIELDS}"
                )
            column = self.columns[path] = []
        column.extend([None] * (self.rows - len(column)))
        column.append(value)


def decode(raw: bytes) -> dict[str, Any]:
    """One JSON object; NaN, Infinity and numbers beyond float64, which JSON does not have, become null.

    Raises ValueError with the reason.
    """
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        try:
            # What Python reads beyond JSON are exactly those numbers; msgspec writes them as null.
            record = msgspec.json.decode(msgspec.json.encode(json.loads(raw.decode("utf-8"))))
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ValueError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object but {_named(record)}")
    return record


def _named(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def read_lines(lines: Iterable[bytes], where: str, rows: int | None) -> FieldColumns:
    """JSON lines, blank ones skipped, at most `rows` of them; raises ConfigError with the number of a bad line."""
    found = FieldColumns()
    for number, line in enumerate(lines, 1):
        if rows is not None and found.rows >= rows:
            break
        raw = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not raw:
            continue
        try:
            found.add(decode(raw))
        except ValueError as error:
            raise ConfigError(f"{where}: line {number}: {error}") from None
        except ConfigError as error:
            raise ConfigError(f"{where}: line {number}: {error}") from None
    return found


def read_array(raw: bytes, where: str, rows: int | None) -> FieldColumns:
    """A JSON document that is one list of objects; raises ConfigError with the place of a bad one."""
    try:
        records = decode(b'{"rows":' + raw.removeprefix(b"\xef\xbb\xbf") + b"}")["rows"]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    found = FieldColumns()
    for number, record in enumerate(records[:rows], 1):
        if not isinstance(record, dict):
            raise ConfigError(f"{where}: item {number}: not a JSON object but {_named(record)}")
        found.add(record)
    return found


def event(paths: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """A row as the nested object that its dotted paths walk; a path through a value that is there is dropped."""
    built: dict[str, Any] = {}
    for path, value in zip(paths, values, strict=True):
        if value is None:
            continue
        *parents, leaf = path.split(".")
        node: Any = built
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.setdefault(leaf, value)
    return built
