"""Turns JSON records into columns by dotted path, and a row back into the event that it came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from training.tables.foreign_bytes import describe_prefix
from worker.errors import ConfigError

_MAX_DEPTH = 64
_MAX_FIELDS = 5_000
_LARGEST = 2**1023
"""Integers of at least this magnitude count as missing: they may not fit a float64, and the worker cannot read them."""


class FieldColumns:
    """Collects n records into `columns`: (n,) values by dotted path, in order of first appearance, None if absent.

    Lists stay lists. Keys that a dotted path cannot name (empty, or with a dot) are left out and listed in `notes`.
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}
        self.rows = 0
        self._unreachable: dict[str, None] = {}

    def add(self, record: dict[str, Any]) -> None:
        """Add one record. Raises ConfigError if there are more than 5,000 fields."""
        self._walk(record, "", 1)
        self.rows += 1

    def finish(self) -> dict[str, list[Any]]:
        for column in self.columns.values():
            column.extend([None] * (self.rows - len(column)))
        return self.columns

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{path!r} is left out: its key is empty or has a dot in it, and a dot in a configuration leads into an "
            "object; let the producer nest it or name it without a dot"
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
                    f"more than {_MAX_FIELDS} fields, such as {path[:100]!r}; are there objects with ids as keys? "
                    f"allowed: at most {_MAX_FIELDS}"
                )
            column = self.columns[path] = []
        column.extend([None] * (self.rows - len(column)))
        column.append(value)


def decode(raw: bytes) -> dict[str, Any]:
    """Decode one JSON object. NaN, Infinity and numbers beyond float64 are not valid JSON, and become null.

    Raises ValueError with the reason.
    """
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        try:
            # These numbers are all that Python's decoder accepts beyond JSON; msgspec writes them as null.
            record = msgspec.json.decode(msgspec.json.encode(json.loads(raw.decode("utf-8"))))
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ValueError(f"not JSON: {describe_prefix(raw) or error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object but {_json_type(record)}")
    return record


def _json_type(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def read_lines(lines: Iterable[bytes], where: str, rows: int | None) -> FieldColumns:
    """Read at most `rows` JSON lines; blank lines are skipped. Raises ConfigError with the number of a bad line."""
    fields = FieldColumns()
    for number, line in enumerate(lines, 1):
        if rows is not None and fields.rows >= rows:
            break
        raw = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not raw:
            continue
        try:
            fields.add(decode(raw))
        except (ValueError, ConfigError) as error:
            raise ConfigError(f"{where}: line {number}: {error}") from None
    return fields


def read_first_lines(path: Path, rows: int) -> list[bytes]:
    """The bytes of the first records of a file of JSON lines, as a producer would send them; empty for other files."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return []
    with path.open("rb") as file:
        lines = (line.removeprefix(b"\xef\xbb\xbf").strip() for line in file)
        return list(islice(filter(None, lines), rows))


def read_array(raw: bytes, where: str, rows: int | None) -> FieldColumns:
    """Read a JSON document that is one list of objects. Raises ConfigError with the number of a bad item."""
    try:
        records = decode(b'{"rows":' + raw.removeprefix(b"\xef\xbb\xbf") + b"}")["rows"]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    fields = FieldColumns()
    for number, record in enumerate(records[:rows], 1):
        if not isinstance(record, dict):
            raise ConfigError(f"{where}: item {number}: not a JSON object but {_json_type(record)}")
        fields.add(record)
    return fields


def build_event(paths: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Build the nested object that a row's dotted paths describe.

    Missing values are left out. If a path leads through a value that another path has set, it is dropped.
    """
    event: dict[str, Any] = {}
    for path, value in zip(paths, values, strict=True):
        if value is None:
            continue
        *parents, leaf = path.split(".")
        node: Any = event
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.setdefault(leaf, value)
    return event
