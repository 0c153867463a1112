"""The feature spec: the ordered, hashed description of what is read from an event. Shared by fit and serve."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Missing = Literal["mask", "reject"]
PATH = r'^[^"\\\x00-\x1f]+$'
"""No quotes, backslashes or control characters: the decoder's JSON library takes no such names."""
_FIELD: Any = Field(min_length=1, max_length=256, pattern=PATH, description="Dotted path of the field in the event.")
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
    transform: Literal["none", "log", "asinh"] = Field(
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


Feature = Annotated[NumericFeature | CategoricalFeature | BooleanFeature | CyclicFeature, Field(discriminator="kind")]


class FeatureSpec(BaseModel):
    """Features in order, and where an event's entity and time are found."""

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
    def names(self) -> tuple[str, ...]:
        """One name per feature: its field, with the kind appended where the same field is used twice."""
        names: list[str] = []
        for feature in self.features:
            names.append(feature.field if feature.field not in names else f"{feature.field}:{feature.kind}")
        return tuple(names)
