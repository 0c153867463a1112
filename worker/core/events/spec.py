"""The feature spec: the ordered, hashed description of the fields of an event. Training and serving share it."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.core.events.durations import Duration

Missing = Literal["mask", "reject"]
Transform = Literal["none", "log", "asinh"]
PATH = r'^[^"\\\x00-\x1f]+$'
"""No quotes, backslashes or control characters: the decoder's JSON library accepts no such names."""
_FIELD: Any = Field(min_length=1, max_length=256, pattern=PATH, description="Dotted path of the field in the event.")
_DERIVED_FIELD: Any = Field(
    min_length=1, max_length=240, pattern=PATH, description="Dotted path of the field in the event."
)
"""Shorter than `_FIELD`, so that the name of the column that is computed from it is not too long."""
_MISSING: Any = Field(
    default="mask",
    description="A missing or null value: `mask` imputes the training median and tells the model so, `reject` sends "
    "the record to the dead-letter topic.",
)


class _Feature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericFeature(_Feature):
    """A number."""

    field: str = _FIELD
    kind: Literal["numeric"]
    transform: Transform = Field(
        default="none", description="Applied before scaling; `log` is sign(x) log(1 + |x|), for heavy tails."
    )
    scale: Literal["robust", "standard"] = Field(
        default="robust",
        description="`robust` by the 5 to 95 % range, `standard` by mean and standard deviation.",
    )
    missing: Missing = _MISSING


class CategoricalFeature(_Feature):
    """A value out of a set: text, a code, a flag."""

    field: str = _FIELD
    kind: Literal["categorical"]
    levels: int = Field(
        default=64, ge=1, le=1024, description="How many of the most frequent values get their own level."
    )
    encoding: Literal["onehot", "hash"] = Field(
        default="onehot",
        description="`onehot`: the top `levels` values, and `other`, `missing`, `unseen`. `hash`: every value falls "
        "into one of `levels` buckets, for fields with very many values.",
    )
    missing: Missing = _MISSING


class BooleanFeature(_Feature):
    """true or false."""

    field: str = _FIELD
    kind: Literal["boolean"]
    missing: Missing = _MISSING


class CyclicFeature(_Feature):
    """A time, as its place in a period: ISO 8601 text, or seconds or milliseconds since 1970."""

    field: str = _FIELD
    kind: Literal["cyclic"]
    period: Literal["hour", "day", "week", "year"] = Field(description="The period that repeats.")
    missing: Missing = _MISSING


class RateFeature(_Feature):
    """A number compared with its entity's own past, and how often the entity occurs: exponentially decayed statistics
    of the records before this one.
    """

    field: str = _FIELD
    kind: Literal["rate"]
    half_life: Annotated[Duration, Field(gt=0)] = Field(
        description="How long until a past record counts half, such as 60s or 1h."
    )
    transform: Transform = Field(default="none", description="Applied before the statistics; `log` for heavy tails.")
    missing: Missing = _MISSING


class DeltaFeature(_Feature):
    """The difference of a number from its entity's value before: the step of a gauge, the increase of a counter. It is
    missing for an entity's first value, and for a late record, one that is older than its entity's last value.
    """

    field: str = _DERIVED_FIELD
    kind: Literal["delta"]
    counter: bool = Field(
        default=False,
        description="Whether the number only grows until it is reset. A fall is then a reset, and the increase is the "
        "new value itself, as in Prometheus' `increase` and `rate`.",
    )
    per: Literal["event", "second"] = Field(
        default="event",
        description="`event`: the difference itself. `second`: divided by the seconds of event time since the value "
        "before; if no time has passed, it is missing, and the difference is added to that of the next record.",
    )
    transform: Transform = Field(
        default="asinh",
        description="Applied to the difference before scaling; `asinh` and `log` are for heavy tails of either sign.",
    )
    missing: Missing = _MISSING


class UnchangedFeature(_Feature):
    """For how many seconds of event time a number of its entity has been the same, so that a value that stands still
    for unusually long can be seen; 0 when it changes. It is missing for an entity's first value, and for a late record,
    one that is older than its entity's last value. Text is not supported.
    """

    field: str = _DERIVED_FIELD
    kind: Literal["unchanged"]
    transform: Transform = Field(default="log", description="Applied to the seconds before scaling.")
    missing: Missing = _MISSING


NUMBER_KINDS = frozenset({"numeric", "rate", "delta", "unchanged"})
"""The kinds that read a number."""
LastValueFeature = DeltaFeature | UnchangedFeature
"""The features that compare a number with its entity's last value; each becomes one column."""
Column = NumericFeature | CategoricalFeature | BooleanFeature | CyclicFeature
Feature = Annotated[Column | RateFeature | LastValueFeature, Field(discriminator="kind")]


class FeatureSpec(BaseModel):
    """The features in order, and the paths of an event's entity and time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Feature, ...] = Field(min_length=1, max_length=2_000)
    entity: str | None = None
    time: str | None = None
    window: int = Field(default=1, ge=1, le=128)

    @cached_property
    def spec_hash(self) -> str:
        """`sha256:` and 64 hex digits over the canonical JSON."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def rates(self) -> tuple[RateFeature, ...]:
        return tuple(feature for feature in self.features if isinstance(feature, RateFeature))

    @cached_property
    def last_values(self) -> tuple[LastValueFeature, ...]:
        return tuple(feature for feature in self.features if isinstance(feature, LastValueFeature))

    @property
    def stateful(self) -> bool:
        """Whether an event's columns depend on earlier events of its entity."""
        return bool(self.rates or self.last_values) or self.window > 1

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the model sees, in order: a rate becomes those that `rate_columns` lists, and a feature that
        compares a number with its entity's last value becomes one, named after its field and kind.
        """
        columns: list[Column] = []
        for feature in self.features:
            if isinstance(feature, RateFeature):
                columns += rate_columns(feature, self.rates)
            elif isinstance(feature, LastValueFeature):
                name = f"{feature.field}:{feature.kind}"
                columns.append(NumericFeature(field=name, kind="numeric", transform=feature.transform))
            else:
                columns.append(feature)
        return tuple(columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One name per column: its field, with the kind, or the period, appended where the same field is used twice."""
        names: list[str] = []
        for column in self.columns:
            names.append(
                column.field
                if column.field not in names
                else f"{column.field}:{getattr(column, 'period', column.kind)}"
            )
        return tuple(names)


def rate_statistics(rate: RateFeature, rates: tuple[RateFeature, ...]) -> list[str]:
    """The statistics that one of a spec's `rates` becomes, in order.

    `mean` and `deviation` of the entity's past values, and the `change` of the event's own value from that mean, in
    deviations. The first rate of each half-life adds the decayed `count` of records; the first rate of all adds the
    `gap` to the record before, in seconds.
    """
    statistics = ["mean", "deviation", "change"]
    if rate is next(other for other in rates if other.half_life == rate.half_life):
        statistics.append("count")
    if rate is rates[0]:
        statistics.append("gap")
    return statistics


def rate_columns(rate: RateFeature, rates: tuple[RateFeature, ...]) -> list[Column]:
    """The columns of one of a spec's `rates`: one for each of its `rate_statistics`."""
    transforms: dict[str, Transform] = {"mean": rate.transform, "change": "asinh"}
    return [
        NumericFeature(
            field=f"{rate.field}:{name}:{rate.half_life:g}s", kind="numeric", transform=transforms.get(name, "log")
        )
        for name in rate_statistics(rate, rates)
    ]
