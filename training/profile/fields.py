"""What a sample shows of a field: types, how much is missing, how it is spread, and what to be careful of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.profile.data_warnings import UNIQUE_VALUES, Caution, cautions
from training.profile.infer import Verdict
from training.tables.values import is_time_text, present, type_name
from worker.core.events.columns import category

_IDENTIFIES = {"id", "uuid", "guid", "seq", "sequence", "serial", "number", "no", "offset", "index", "nr"}
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Field:
    """`types` counts the values by type, `missing` is the share without one, `distinct` is None where values are lists.
    `shape` is one line about the values.
    """

    name: str
    types: dict[str, int]
    missing: float
    distinct: int | None
    verdict: Verdict
    shape: str
    cautions: tuple[Caution, ...]

    @property
    def kind(self) -> str:
        return str(self.verdict.feature["kind"]) if self.verdict.feature is not None else "none"

    @property
    def counts_up(self) -> bool:
        return any(caution.code == "counter" for caution in self.cautions)

    @property
    def identifies(self) -> bool:
        """Whole numbers of which none repeats, and a name that says that it numbers things."""
        whole = set(self.types) == {"integer"} and self.distinct == self.types["integer"] > UNIQUE_VALUES
        return whole and not _IDENTIFIES.isdisjoint(words_of(self.name))

    @property
    def readable_as(self) -> dict[str, str] | None:
        """The feature that it would be if somebody wanted it all the same."""
        if not self.types or not self.verdict.scalar:
            return None
        kinds = set(self.types)
        numbers = kinds <= {"integer", "number"}
        return {
            "field": self.name,
            "kind": "numeric" if numbers else "boolean" if kinds == {"boolean"} else "categorical",
        }


def look(name: str, values: Sequence[Any], verdict: Verdict) -> Field:
    """From (n,) values, n at least 1, and what `training.profile.infer` made of them."""
    known = present(values)
    types: Counter[str] = Counter()
    for kind, count in Counter(map(type, known)).items():
        types[type_name(kind)] += count
    counts = Counter(map(category, known)) if "list" not in types else None
    missing = 1.0 - len(known) / len(values)
    found = tuple(cautions(name, known, types, counts))
    distinct = len(counts) if counts is not None else None
    return Field(name, dict(types), missing, distinct, verdict, _shape(known, types, counts), found)


def words_of(name: str) -> list[str]:
    """The words in the last part of a dotted path: `src.userId_2` has user, id, 2."""
    found = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name.rsplit(".", 1)[-1])
    return [word.lower() for word in found]


def _shape(known: list[Any], types: Counter[str], counts: Counter[str | None] | None) -> str:
    if not known or counts is None:
        return "lists" if known else "never there"
    if set(types) <= {"integer", "number"}:
        ordered = sorted(known)
        least, middle, most = (_number(ordered[place]) for place in (0, len(ordered) // 2, -1))
        return f"{least} … {most}, median {middle}"
    if set(types) == {"text"} and is_time_text(known):
        return f"{min(known)[:_SHOWN]} … {max(known)[:_SHOWN]}"
    (top, often), total = counts.most_common(1)[0], len(known)
    text = str(top) if len(str(top)) <= _SHOWN else str(top)[:_SHOWN] + "…"
    return f"{len(counts):,} values, most often {text!r} ({often / total:.0%})"


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) and abs(value) < 10**18 else f"{value:.6g}"
