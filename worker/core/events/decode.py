"""Records to columns, the hot path: typed decoding of only the fields in the spec, a whole batch at once.

A dotted path walks nested objects: `src.ip` is {"src": {"ip": …}}, never a key with a dot in it. For a record that
cannot be decoded, `worker.core.events.rejects` finds one reason per field; no record makes the decoder raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns, objects
from worker.core.events.entity_names import (
    MAX_ENTITY,
    AttributeNames,
    EntityNames,
    MergedNames,
    PackedNames,
    entity_of,
    pack_names,
)
from worker.core.events.event_time import milliseconds
from worker.core.events.json_scanner import Scanner
from worker.core.events.rejects import Limits, Reject, reject
from worker.core.events.spec import NUMBER_KINDS, FeatureSpec

__all__ = ["Decoded", "Decoder", "JsonDecoder", "Limits", "Reject", "decoder_for"]

_NAN = float("nan")
_SCALAR = str | int | float | bool | None
_TYPES: dict[str, Any] = {
    **dict.fromkeys(sorted(NUMBER_KINDS), float | None),
    "boolean": bool | None,
    "categorical": _SCALAR,
    "cyclic": str | float | None,
    "time": str | float | None,
    "entity": _SCALAR,
}
_NUMBERS = NUMBER_KINDS | {"boolean"}


@dataclass(slots=True)
class Decoded:
    """The result for a batch of n values: m decoded rows, rejects and tombstones; each value is exactly one of these.

    `index` (m,) gives the positions of the decoded values in the batch, ascending; `times` (m,) float64 the event times
    in ms since 1970, nan if the event has none; `names` the entities that the events name.
    """

    index: npt.NDArray[np.intp]
    columns: Columns
    times: npt.NDArray[np.float64]
    rejects: list[Reject]
    tombstones: int
    names: EntityNames = field(repr=False)

    def entities(self, key: Callable[[int], bytes | None]) -> PackedNames:
        """The entity of each decoded row: the name in its event, else its key, else none.

        `key(i)` returns the key of value i; it is called only for rows whose event has no name.
        """
        if isinstance(self.names, PackedNames) and self.names.all_within(MAX_ENTITY):
            return self.names
        rows = zip(self.names.all(), self.index.tolist(), strict=True)
        return pack_names([entity_of(name, key(i) if name is None else None) for name, i in rows])


class Decoder(Protocol):
    """The seam for other formats."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded: ...


def decoder_for(format: str, spec: FeatureSpec, limits: Limits) -> Decoder:
    """The decoder for a format. Raises ValueError for an unknown format, and for paths that contradict each other."""
    if format != "json":
        raise ValueError(f"event.format: {format!r} is not in this version; allowed: json")
    return JsonDecoder(spec, limits)


class JsonDecoder:
    """Decodes JSON objects: plain ones with a compiled scanner, all others with a struct type that is built from the
    spec. Only the latter decides which records are rejected.
    """

    def __init__(self, spec: FeatureSpec, limits: Limits) -> None:
        self._spec = spec
        self._limits = limits
        self._kinds = _paths(spec)
        self._decoder = msgspec.json.Decoder(_struct("Event", _tree(self._kinds)))
        self._getters = [attrgetter(_attribute(feature.field)) for feature in spec.features]
        self._time = attrgetter(_attribute(spec.time)) if spec.time else None
        self._entity = attrgetter(_attribute(spec.entity)) if spec.entity else None
        self._strict = [i for i, feature in enumerate(spec.features) if feature.missing == "reject"]
        self._scanner = _scanner(spec, self._kinds)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        if self._scanner is None:
            return self._by_struct(values)
        scanned = self._scanner.scan(values, self._limits.max_bytes)
        arrays: list[npt.NDArray[Any]] = [
            scanned.scalar[feature.field] if feature.kind == "categorical" else scanned.number[feature.field]
            for feature in self._spec.features
        ]
        for i in self._strict:
            scanned.plain[_missing(arrays[i])] = False
        times = scanned.number[self._spec.time] if self._spec.time else np.full(len(values), _NAN)
        for i, feature in enumerate(self._spec.features):
            if feature.kind == "cyclic":
                arrays[i] = arrays[i] / 1000.0
        index = np.flatnonzero(scanned.plain)
        names = scanned.names.with_hashes() if self._spec.stateful else scanned.names
        read = Decoded(index, Columns(tuple(arrays)), times, [], 0, names)
        if len(index) == len(values):
            return read
        read.columns, read.times, read.names = read.columns.take(index), times[index], names.take(index)
        others = np.flatnonzero(~scanned.plain)
        return _merge(read, self._by_struct([values[i] for i in others.tolist()]), others)

    def _by_struct(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values one by one; works for every record."""
        structs, good, rejects = [], [], []
        for i, value in enumerate(values):
            if value is None:
                continue
            try:
                if len(value) > self._limits.max_bytes:
                    raise ValueError
                structs.append(self._decoder.decode(value))
                good.append(i)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                rejects.append(reject(i, value, error, self._kinds, self._limits))
        return self._columns(np.array(good, np.intp), structs, rejects, sum(value is None for value in values))

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
            rejects = rejects + [Reject(int(index[row]), "field", tuple(dict.fromkeys(bad[row]))) for row in bad]
            rejects.sort(key=lambda rejected: rejected.index)
            structs = [structs[row] for row in keep.tolist()]
            index, columns, times = index[keep], columns.take(keep), times[keep]
        return Decoded(index, columns, times, rejects, tombstones, AttributeNames(self._entity, structs))


def _merge(read: Decoded, others: Decoded, places: npt.NDArray[np.intp]) -> Decoded:
    """Merge both parts in the order of the values; `others` were decoded from the values at `places`."""
    index = np.concatenate((read.index, places[others.index]))
    order = np.argsort(index)
    return Decoded(
        index[order],
        Columns.concat([read.columns, others.columns]).take(order),
        np.concatenate((read.times, others.times))[order],
        [replace(rejected, index=int(places[rejected.index])) for rejected in others.rejects],
        others.tombstones,
        MergedNames(read.names, others.names, len(read.index), order),
    )


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
    """Milliseconds since 1970, nan if missing; the reason why a value is not a time goes to `bad` under its row."""
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
    """The kind of each path. A field that is used twice is decoded as the widest of its kinds."""
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


def _scanner(spec: FeatureSpec, kinds: dict[str, str]) -> Scanner | None:
    """None if a field is used in ways that need different decoding, such as a time and a category."""
    wanted: list[tuple[str, str]] = [(feature.field, feature.kind) for feature in spec.features]
    wanted += [(spec.time, "time")] if spec.time else []
    if any(_TYPES[kind] != _TYPES[kinds[path]] for path, kind in wanted):
        return None
    categorical = [path for path, kind in wanted if kind == "categorical"]
    return Scanner(kinds, categorical, spec.entity)


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
    """A Python identifier for any JSON key, the same one for the same key."""
    return "f_" + key.encode("utf-8").hex()


def _attribute(path: str) -> str:
    return ".".join(_safe(key) for key in path.split("."))
