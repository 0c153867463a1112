"""The sections of the configuration: each key with its type, default, limits and description."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from worker.config.refused_properties import is_secret, refusal
from worker.config.value_types import REFUSED_PROPERTY, EventPolicy, Pattern, PropertyValue, Start, Topic
from worker.core.events.durations import Duration
from worker.core.events.spec import PATH


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    bootstrap_servers: str = Field(
        "localhost:9092", min_length=1, description="Brokers, host:port, separated by commas."
    )
    events: tuple[Pattern, ...] = Field(
        (), description="Topics to read; one that begins with ^ is a pattern. Default: the stream."
    )
    alerts: Topic = Field("", validate_default=False, description="Default: <stream>.alerts.")
    dead_letters: Topic = Field("", validate_default=False, description="Default: <stream>.dead-letters.")
    labels: Topic = Field(
        "",
        validate_default=False,
        description="No effect in this version, which does not read labels; the name may not be that of another topic. "
        "Default: <stream>.labels.",
    )
    scores: Topic | None = Field(None, description="A topic for every score; null publishes none.")
    group: str = Field("", description="The consumer group. Default: offbeat-<stream>.")
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="exactly_once needs read_committed readers; at_least_once may repeat alert ids.",
    )
    start: Start = Field("earliest", description="Where a new group begins: earliest, latest, or a time with its zone.")
    offset_lost: Literal["stop", "earliest"] = Field(
        "stop", description="What to do when retention has deleted the committed offset."
    )
    dead_letter_limit: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Stop (exit code 5) when more than this share of the last 50,000 records was rejected.",
    )
    properties: dict[str, PropertyValue] = Field(
        default_factory=dict,
        description="Passed to librdkafka: SASL, TLS, buffers. Some are refused, with the reason.",
    )

    @field_validator("events", mode="before")
    @classmethod
    def _wrap_single_topic(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("properties")
    @classmethod
    def _refuse(cls, value: dict[str, Any]) -> dict[str, Any]:
        reason = refusal(value)
        if reason is not None:
            raise PydanticCustomError(REFUSED_PROPERTY, "{reason}", {"reason": reason})
        return value

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            shown = {k: "***" if is_secret(k) else v for k, v in self.properties.items()}
            yield name, shown if name == "properties" else value


class RedisSettings(_Section):
    url: SecretStr = Field(SecretStr("redis://localhost:6379/0"), description="redis://, rediss:// or unix:// URL.")
    allow_eviction: bool = Field(
        False, description="Run even if the server's maxmemory-policy (allkeys-*) may delete models and state."
    )

    @field_validator("url")
    @classmethod
    def _check_scheme(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"(redis|rediss|unix)://", value.get_secret_value()):
            raise ValueError("a URL that begins with redis://, rediss:// or unix://")
        return value


class EventSettings(_Section):
    format: Literal["json"] = Field("json", description="The format of record values.")
    entity: str | None = Field(
        None,
        min_length=1,
        pattern=PATH,
        description="Dotted path of the entity, the thing that is monitored. Default: the record's key.",
    )
    time: str | None = Field(
        None,
        min_length=1,
        pattern=PATH,
        description="Dotted path of the event time. Default: the record's timestamp.",
    )


class ModelSettings(_Section):
    kind: Literal["denoising", "linear", "undercomplete", "sparse", "variational"] = Field(
        "denoising", description="The kind of autoencoder; only `denoising` has been tuned."
    )
    window: int = Field(
        1, ge=1, le=128, description="Records of an entity that are scored together; the score is that of the newest."
    )


class ThresholdSettings(_Section):
    alert_rate: float = Field(
        0.001, ge=1e-6, le=0.5, description="Target share of scored events that are flagged as anomalous."
    )


class AlertSettings(_Section):
    cooldown: Duration = Field(
        60.0, description="Event time after an alert during which further alerts of its entity are held back."
    )
    event: EventPolicy = Field("full", description="The event inside the alert: full, none, or a list of dotted paths.")


class FineTuneSettings(_Section):
    every: Duration = Field(3_600.0, description="Fine-tune after this long …")
    events: int = Field(
        500,
        ge=1,
        description="… or after this many events (or a tenth of those seen, if that is fewer), whichever comes first …",
    )
    at_most_every: Duration = Field(600.0, description="… but not more often than this.")
    on_drift: bool = Field(True, description="No effect in this version, which has no drift detectors.")


class StateSettings(_Section):
    snapshot_every: Duration = Field(5.0, description="How often a partition's state is stored in Redis.")
    rebuild: Duration = Field(
        86_400.0, description="How much of the log to replay when state is lost; 0 stops the worker instead."
    )
    entities: int = Field(
        300_000,
        ge=1,
        le=20_000_000,
        description="How many entities a partition remembers for rates, last values and windows; beyond that, the one "
        "seen longest ago is forgotten.",
    )
    entity_idle: Duration = Field(
        604_800.0, gt=0, description="Event time after which an entity without events is forgotten."
    )


class HttpSettings(_Section):
    port: int = Field(8080, ge=0, le=65_535, description="Probes, metrics and status; 0 takes any free port.")
