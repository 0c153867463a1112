"""Records to columns, the hot path: typed decoding of only the fields that the spec names, a whole batch at once.

Dotted paths walk nested objects: `src.ip` is {"src": {"ip": …}}, never a key with a dot in it. A record that fails
here goes to `worker.core.rejects`, which finds one reason per field; nothing about a record can raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.columns import Columns, category, objects
from worker.core.eventtime import milliseconds
from worker.core.rejects import Limits, Reject, reasons_for
from worker.core.spec import FeatureSpec

__all__ = ["Decoded", "Decoder", "JsonDecoder", "Limits", "Reject", "decoder_for"]

_NAN = float("nan")
_SCALAR = str | int | float | bool | None
_TYPES: dict[str, Any] = {
    "numeric": float | None,
    "rate": float | None,
    "boolean": bool | None,
    "categorical": _SCALAR,
    "cyclic": str | float | None,
    "time": str | float | None,
    "entity": _SCALAR,
}
_NUMBERS = {"numeric", "rate", "boolean"}


@dataclass(slots=True)
class Decoded:
    """What a batch of n values became: m decoded rows, rejects and tombstones, each value in exactly one of them.

    `index` (m,) which of the given values were decoded, ascending; `times` (m,) float64 event time in ms since 1970,
    nan where the event names none.
    """

    index: npt.NDArray[np.intp]
    columns: Columns
    times: npt.NDArray[np.float64]
    rejects: list[Reject]
    tombstones: int
    _entity: Callable[[Any], Any] | None
    _structs: Sequence[Any] = field(repr=False)

    def entities(self) -> list[str | None]:
        """The entities of all decoded rows; None where the event names none."""
        if self._entity is None:
            return [None] * len(self.index)
        return [name if type(name) is str else category(name) for name in map(self._entity, self._structs)]

    def entity(self, row: int) -> str | None:
        """The entity of a decoded row, for the few that alert."""
        return None if self._entity is None else category(self._entity(self._structs[row]))


class Decoder(Protocol):
    """The seam for other formats."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded: ...


def decoder_for(format: str, spec: FeatureSpec, limits: Limits) -> Decoder:
    """Raises ValueError for a format that this version does not read, or for paths that contradict each other."""
    if format != "json":
        raise ValueError(f"event.format: {format!r} is not in this version; allowed: json")
    return JsonDecoder(spec, limits)


class JsonDecoder:
    """JSON objects by a struct type built from the spec."""

    def __init__(self, spec: FeatureSpec, limits: Limits) -> None:
        self._spec = spec
        self._limits = limits
        self._kinds = _paths(spec)
        self._decoder = msgspec.json.Decoder(_struct("Event", _tree(self._kinds)))
        self._getters = [attrgetter(_attribute(feature.field)) for feature in spec.features]
        self._time = attrgetter(_attribute(spec.time)) if spec.time else None
        self._entity = attrgetter(_attribute(spec.entity)) if spec.entity else None
        self._strict = [i for i, feature in enumerate(spec.features) if feature.missing == "reject"]

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        decode, limit = self._decoder.decode, self._limits.max_bytes
        rejects: list[Reject] = []
        tombstones = 0
        index: npt.NDArray[np.intp] | None = None
        try:
            if max(map(len, values), default=0) > limit:  # type: ignore[arg-type]
                raise ValueError
            structs = [decode(value) for value in values]  # type: ignore[arg-type]
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            structs, good, tombstones = [], [], 0
            for i, value in enumerate(values):
                if value is None:
                    tombstones += 1
                    continue
                try:
                    if len(value) > limit:
                        raise ValueError
                    structs.append(decode(value))
                    good.append(i)
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    rejects.append(Reject(i, reasons_for(value, error, self._kinds, self._limits)))
            index = np.array(good, np.intp)
        if index is None:
            index = np.arange(len(values), dtype=np.intp)
        return self._columns(index, structs, rejects, tombstones)

    def _columns(
        self, index: npt.NDArray[np.intp], structs: list[Any], rejects: list[Reject], tombstones: int
    ) -> Decoded:
        bad: dict[int, list[str]] = {}
        arrays = []
        for feature, getter in zip(self._spec.features, self._getters, strict=True):
            arrays.append(_column(feature.field, feature.kind, getter, structs, bad))
        times = np.full(len(structs), _NAN)
        if self._time is not None and structs:
            times = _times(str(self._spec.time), map(self._time, structs), len(structs), bad)
        for i in self._strict:
            for row in np.flatnonzero(_missing(arrays[i])).tolist():
                bad.setdefault(row, []).append(f"{self._spec.features[i].field}: missing")
        columns = Columns(tuple(arrays))
        if bad:
            keep = np.array([row for row in range(len(structs)) if row not in bad], np.intp)
            rejects = rejects + [Reject(int(index[row]), tuple(dict.fromkeys(bad[row]))) for row in bad]
            rejects.sort(key=lambda reject: reject.index)
            structs = [structs[row] for row in keep.tolist()]
            index, columns, times = index[keep], columns.take(keep), times[keep]
        return Decoded(index, columns, times, rejects, tombstones, self._entity, structs)


def _column(
    name: str, kind: str, getter: Callable[[Any], Any], structs: list[Any], bad: dict[int, list[str]]
) -> npt.NDArray[Any]:
    count = len(structs)
    if kind == "categorical":
        return objects(list(map(getter, structs))) if count else np.empty(0, object)
    if kind == "cyclic":
        return _times(name, map(getter, structs), count, bad) / 1000.0
    try:
        return np.fromiter(map(getter, structs), np.float64, count)
    except TypeError:  # an explicit null
        return np.fromiter((_NAN if value is None else value for value in map(getter, structs)), np.float64, count)


def _times(name: str, values: Any, count: int, bad: dict[int, list[str]]) -> npt.NDArray[np.float64]:
    """Milliseconds since 1970; what is no time goes to `bad` under its row."""
    times = np.empty(count)
    for row, value in enumerate(values):
        if value is None or value != value:
            times[row] = _NAN
            continue
        try:
            times[row] = milliseconds(value)
        except ValueError as error:
            times[row] = _NAN
            bad.setdefault(row, []).append(f"{name}: {error}")
    return times


def _missing(column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if column.dtype == object:
        return np.array([value is None for value in column], np.bool_)
    absent: npt.NDArray[np.bool_] = np.isnan(column)
    return absent


# The struct type.


def _paths(spec: FeatureSpec) -> dict[str, str]:
    """Path to kind; a field used twice is decoded by the widest of its kinds."""
    wanted: list[tuple[str, str]] = [(feature.field, feature.kind) for feature in spec.features]
    wanted += [(path, kind) for path, kind in ((spec.time, "time"), (spec.entity, "entity")) if path]
    kinds: dict[str, str] = {}
    for path, kind in wanted:
        before = kinds.get(path)
        if before is not None and before != kind and _TYPES[before] != _TYPES[kind]:
            widest = {before, kind}
            if widest & _NUMBERS:
                raise ValueError(f"{path}: cannot be read as {before} and as {kind} at once")
            kind = "entity"
        kinds[path] = kind
    for path in kinds:
        parents = path.split(".")
        for depth in range(1, len(parents)):
            if (parent := ".".join(parents[:depth])) in kinds:
                raise ValueError(f"{parent} is used as a value and, in {path}, as an object: it cannot be both")
    return kinds


def _tree(kinds: dict[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, kind in kinds.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = kind
    return tree


def _struct(name: str, tree: dict[str, Any]) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = []
    renames: dict[str, str] = {}
    for i, (key, below) in enumerate(tree.items()):
        attribute = _safe(key)
        renames[attribute] = key
        if isinstance(below, dict):
            child = _struct(f"{name}{i}", below)
            fields.append((attribute, child, msgspec.field(default_factory=child)))
        else:
            fields.append((attribute, _TYPES[below], _NAN if below in _NUMBERS else None))
    return msgspec.defstruct(name, fields, rename=renames, gc=False, frozen=False)


def _safe(key: str) -> str:
    """A Python identifier for any JSON key, the same key always the same one."""
    return "f_" + key.encode("utf-8").hex()


def _attribute(path: str) -> str:
    return ".".join(_safe(key) for key in path.split("."))
