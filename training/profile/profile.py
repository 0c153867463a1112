"""What `offbeat profile` finds: the fields, what to be careful of, suggestions, and a configuration that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.candidates import Candidate, entities, events_per_second, stamps, times
from training.profile.data_warnings import Caution
from training.profile.fields import Field, look
from training.profile.infer import MAX_FEATURES, Verdict, clashes, judge
from training.profile.leaks import named_like_an_answer, tells_labels, twins
from training.profile.proposal import DAY_S, configuration, suggested_rate, trial
from training.tables.table import Table
from worker.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Source:
    """Where a sample of n rows came from.

    For a topic: `stamps` (n,) ms since 1970 and `partitions` (n,) of the records, `values` some of them as they were,
    and whether it is `keyed`: by keys that come again and again, as an entity does.
    """

    name: str
    table: Table
    topic: str | None = None
    bootstrap: str = "localhost:9092"
    properties: Mapping[str, str] = field(default_factory=dict)
    stamps: npt.NDArray[np.float64] | None = None
    partitions: npt.NDArray[np.int64] | None = None
    values: Sequence[bytes] = ()
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """`entity` and `time` are the fields chosen of the candidates, None where none is sure enough; `alert_rate` is a
    share of events, `rate` events per second, None where nothing tells.
    """

    source: Source
    stream: str
    fields: tuple[Field, ...]
    warnings: tuple[Caution, ...]
    entities: tuple[Candidate, ...]
    entity: str | None
    times: tuple[Candidate, ...]
    time: str | None
    rate: float | None
    alert_rate: float
    configuration: dict[str, Any]

    @property
    def flagged_a_day(self) -> float | None:
        return None if self.rate is None else self.rate * DAY_S * self.alert_rate


def profile(source: Source, stream: str) -> Profile:
    """Raises ConfigError where no field can be a feature, and where the stream's name does not load."""
    columns = source.table.columns
    verdicts = judge(columns)
    seen = {name: look(name, values, verdicts[name]) for name, values in columns.items()}
    answers = _answers(seen, source.table)
    askable = [found for name, found in seen.items() if name not in answers]
    when = times(askable, columns)
    time = next((candidate.field for candidate in when if candidate.usable), None)
    things = [candidate for candidate in entities(askable) if candidate.field != time]
    entity = next((candidate.field for candidate in things if candidate.usable and not source.keyed), None)
    fields, beyond = _at_most([_settled(found, answers.get(found.name), entity, time) for found in seen.values()])
    features = [found.verdict.feature for found in fields if found.verdict.feature is not None]
    if not features:
        reasons = "; ".join(f"{found.name[:100]}: {found.verdict.reason}" for found in fields)
        raise ConfigError(f"{source.name}: no field can be a feature: {reasons}")
    rate = _rate(source, time)
    alert_rate = suggested_rate(rate)
    kafka = (source.bootstrap, source.topic, source.properties)
    proposed = configuration(stream, kafka, {"entity": entity, "time": time}, features, alert_rate)
    warnings = [*_cautions(fields, seen, source.table), *beyond, *trial(proposed, source.table, source.values)]
    found = tuple(fields), tuple(warnings)
    return Profile(source, stream, *found, tuple(things), entity, tuple(when), time, rate, alert_rate, proposed)


def _cautions(fields: list[Field], seen: Mapping[str, Field], table: Table) -> list[Caution]:
    found = [caution for each in fields for caution in each.cautions] + twins(table.columns, seen)
    for name, how in clashes(table.columns).items():
        found.append(Caution("clash", f"{how}; the worker rejects one of the two", name))
    return found + [Caution("sample", note) for note in table.notes]


def _answers(seen: Mapping[str, Field], table: Table) -> dict[str, str]:
    """Fields that tell what is to be found out, and how."""
    told = {}
    for name, values in table.columns.items():
        if table.labels is not None and tells_labels(values, table.labels):
            told[name] = "leaking: each of its values goes with one label alone"
        elif named_like_an_answer(name) and seen[name].types:
            told[name] = "leaking, by its name: events that are still to be judged will not have it"
    return told


def _settled(found: Field, answer: str | None, entity: str | None, time: str | None) -> Field:
    """Its last word. A number cannot be entity or time and numeric at once: the time becomes its place in the day."""
    if answer is not None:
        leaking = Caution("leaking", answer, found.name)
        return replace(found, verdict=Verdict(None, answer), cautions=(*found.cautions, leaking))
    if found.name == time:
        return replace(found, verdict=Verdict({"field": time, "kind": "cyclic", "period": "day"}), cautions=())
    if found.name == entity and found.kind == "numeric":
        return replace(found, verdict=Verdict(None, "the entity"))
    if found.kind == "numeric" and found.counts_up:
        return replace(found, verdict=Verdict(None, "a clock or a counter: it grows steadily"))
    if found.kind == "numeric" and found.identifies:
        return replace(found, verdict=Verdict(None, "an identifier, by its name: no value repeats"))
    return found


def _at_most(fields: list[Field]) -> tuple[list[Field], list[Caution]]:
    """With at most 500 features, and a warning where there were more."""
    kept = [found.name for found in fields if found.verdict.feature is not None]
    beyond = set(kept[MAX_FEATURES:])
    if not beyond:
        return fields, []
    reason = Verdict(None, f"beyond the first {MAX_FEATURES} features")
    limited = [replace(found, verdict=reason) if found.name in beyond else found for found in fields]
    return limited, [Caution("many", f"{len(kept)} fields could be features: only the first {MAX_FEATURES} are")]


def _rate(source: Source, time: str | None) -> float | None:
    known = stamps(source.table.columns[time]) if time is not None else source.stamps
    return None if known is None else events_per_second(known, source.partitions)
