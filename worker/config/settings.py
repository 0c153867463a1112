"""The configuration: YAML, overridden by `OFFBEAT_SECTION__KEY`. Whatever is wrong is refused with its path and what
is allowed.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.config.refused_properties import is_secret, refusal
from worker.core.events.durations import Duration
from worker.core.events.spec import PATH, Feature, FeatureSpec
from worker.core.state.bounds import Bounds

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,180}")
_URL = re.compile(
    r"(?P<scheme>\w+://)(?P<login>[^@/?#]*@)?(?P<place>([\w.-]*|\[[\da-fA-F:.]+\])(:\d{1,5})?(/[\w./-]*)?)(\?[^@]*)?"
)
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Pattern = Annotated[str, Field(pattern=r"^(\^.*|[a-zA-Z0-9._-]{1,249})$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    bootstrap_servers: str = Field(
        "localhost:9092", min_length=1, description="Brokers, host:port, separated by commas."
    )
    events: tuple[Pattern, ...] = Field(
        (), description="Topics to read; a leading ^ makes it a pattern. Default: the stream."
    )
    alerts: Topic = Field("", validate_default=False, description="Default: <stream>.alerts.")
    dead_letters: Topic = Field("", validate_default=False, description="Default: <stream>.dead-letters.")
    labels: Topic = Field("", validate_default=False, description="Default: <stream>.labels.")
    scores: Topic | None = Field(None, description="A topic for every score; null publishes none.")
    group: str = Field("", description="The consumer group. Default: offbeat-<stream>.")
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="exactly_once needs read_committed readers; at_least_once may repeat alert ids.",
    )
    start: Literal["earliest", "latest"] | datetime = Field(
        "earliest", description="Where a new group begins: earliest, latest, or a time with its zone."
    )
    offset_lost: Literal["stop", "earliest"] = Field(
        "stop", description="What to do when the committed offset is gone."
    )
    dead_letter_limit: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Stop (exit code 5) when more than this share of the last 50,000 records was rejected.",
    )
    properties: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="Handed to librdkafka: SASL, TLS, buffers. Some are refused, with the reason.",
    )

    @field_validator("events", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("start")
    @classmethod
    def _zoned(cls, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError("a time needs its zone, such as 2026-01-01T00:00:00Z; allowed too: earliest, latest")
        return value

    @field_validator("properties")
    @classmethod
    def _allowed(cls, value: dict[str, Any]) -> dict[str, Any]:
        reason = refusal(value)
        if reason is not None:
            raise ValueError(reason)
        return value

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            shown = {k: "***" if is_secret(k) else v for k, v in self.properties.items()}
            yield name, shown if name == "properties" else value


class RedisSettings(_Section):
    url: SecretStr = Field(SecretStr("redis://localhost:6379/0"), description="redis://, rediss:// or unix:// URL.")
    allow_eviction: bool = Field(
        False, description="Run although the server's maxmemory-policy (allkeys-*) may delete models and state."
    )

    @field_validator("url")
    @classmethod
    def _scheme(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"(redis|rediss|unix)://", value.get_secret_value()):
            raise ValueError("a URL that begins with redis://, rediss:// or unix://")
        return value


class EventSettings(_Section):
    format: Literal["json"] = Field("json", description="How record values are written.")
    entity: str | None = Field(
        None, min_length=1, pattern=PATH, description="Dotted path of the thing monitored; without it the record's key."
    )
    time: str | None = Field(
        None,
        min_length=1,
        pattern=PATH,
        description="Dotted path of the event time; without it the record's timestamp.",
    )


class ModelSettings(_Section):
    kind: Literal["denoising", "linear", "undercomplete", "sparse", "variational"] = Field(
        "denoising", description="The autoencoder; `denoising` is the one that was tuned."
    )
    window: int = Field(
        1, ge=1, le=128, description="Records of an entity scored together: the newest one's error counts."
    )


class ThresholdSettings(_Section):
    alert_rate: float = Field(
        0.001, ge=1e-6, le=0.5, description="Share of scored events that may be judged anomalous."
    )


class AlertSettings(_Section):
    cooldown: Duration = Field(
        60.0, description="Event time after an alert in which further ones of its entity are held back."
    )
    event: Literal["full", "none"] | tuple[str, ...] = Field(
        "full", description="The event inside the alert: full, none, or a list of dotted paths."
    )


class FineTuneSettings(_Section):
    every: Duration = Field(3_600.0, description="Fine-tune after this long …")
    events: int = Field(
        500,
        ge=1,
        description="… or after so many events (a tenth of those seen, where that is fewer), whichever comes first …",
    )
    at_most_every: Duration = Field(600.0, description="… yet not more often than this.")
    on_drift: bool = Field(True, description="Fine-tune when drift is found.")


class StateSettings(_Section):
    snapshot_every: Duration = Field(5.0, description="How often a partition's state is stored.")
    rebuild: Duration = Field(86_400.0, description="How much of the log to rebuild lost state from; 0 stops instead.")
    entities: int = Field(
        300_000,
        ge=1,
        le=20_000_000,
        description="Entities that a partition remembers for rates and windows; beyond it the one seen longest ago "
        "is forgotten.",
    )
    entity_idle: Duration = Field(
        604_800.0, gt=0, description="Event time after which an entity that was silent is forgotten."
    )


class HttpSettings(_Section):
    port: int = Field(8080, ge=0, le=65_535, description="Probes, metrics and status; 0 takes any free port.")


class Settings(BaseSettings):
    """offbeat's configuration."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="OFFBEAT_",
        env_nested_delimiter="__",
        title="offbeat configuration",
    )

    stream: str = Field(description="Names the stream: default topics, Redis keys, metric label.")
    kafka: KafkaSettings = KafkaSettings()  # type: ignore[call-arg]
    redis: RedisSettings = RedisSettings()  # type: ignore[call-arg]
    event: EventSettings = EventSettings()  # type: ignore[call-arg]
    features: tuple[Feature, ...] = Field(
        min_length=1, max_length=2_000, description="What the model looks at, in order."
    )
    model: ModelSettings = ModelSettings()  # type: ignore[call-arg]
    threshold: ThresholdSettings = ThresholdSettings()  # type: ignore[call-arg]
    alerts: AlertSettings = AlertSettings()  # type: ignore[call-arg]
    fine_tune: FineTuneSettings = FineTuneSettings()  # type: ignore[call-arg]
    state: StateSettings = StateSettings()  # type: ignore[call-arg]
    http: HttpSettings = HttpSettings()  # type: ignore[call-arg]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @field_validator("stream")
    @classmethod
    def _topic_charset(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("letters, digits, '.', '_' and '-', at most 180 of them")
        return value

    @model_validator(mode="after")
    def _defaults(self) -> Self:
        kafka = self.kafka
        named = {
            "events": kafka.events or (self.stream,),
            "alerts": kafka.alerts or f"{self.stream}.alerts",
            "dead_letters": kafka.dead_letters or f"{self.stream}.dead-letters",
            "labels": kafka.labels or f"{self.stream}.labels",
            "group": kafka.group or f"offbeat-{self.stream}",
        }
        object.__setattr__(self, "kafka", kafka.model_copy(update=named))
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kafka = self.kafka
        outputs = {"alerts": kafka.alerts, "dead_letters": kafka.dead_letters, "labels": kafka.labels}
        if kafka.scores is not None:
            outputs["scores"] = kafka.scores
        for name, topic in outputs.items():
            for events in kafka.events:
                if topic == events or (events.startswith("^") and _pattern(events).match(topic)):
                    raise ValueError(
                        f"kafka.{name}: {topic!r} is among kafka.events: offbeat would read its own output"
                    )
            twin = next((other for other, named in outputs.items() if other != name and named == topic), None)
            if twin is not None:
                raise ValueError(f"kafka.{name}: {topic!r} is also kafka.{twin}; each needs a topic of its own")
        if self.fine_tune.at_most_every > self.fine_tune.every:
            every, most = self.fine_tune.every, self.fine_tune.at_most_every
            raise ValueError(
                f"fine_tune.at_most_every: {most:g}s is longer than fine_tune.every; allowed: at most {every:g}s"
            )
        seen = set()
        for i, feature in enumerate(self.features):
            one = (feature.field, feature.kind, getattr(feature, "half_life", None))
            if one in seen:
                raise ValueError(f"features.{i}: {feature.field!r} as {feature.kind} is there twice")
            seen.add(one)
        return self

    @property
    def spec(self) -> FeatureSpec:
        return FeatureSpec(
            features=self.features, entity=self.event.entity, time=self.event.time, window=self.model.window
        )

    @property
    def bounds(self) -> Bounds:
        """How many entities a partition's state remembers, and for how long."""
        return Bounds(self.state.entities, int(self.state.entity_idle * 1_000))

    def public(self) -> dict[str, Any]:
        """For logs and the status page: without secrets."""
        plain = self.model_dump(mode="json")
        properties = plain["kafka"]["properties"]
        plain["kafka"]["properties"] = {k: "***" if is_secret(k) else v for k, v in properties.items()}
        plain["redis"]["url"] = _public_url(self.redis.url.get_secret_value())
        return plain


def _public_url(url: str) -> str:
    """Scheme, host, port and path; all of it hidden where a password might be taken for one of them."""
    parts = _URL.fullmatch(url)
    if parts is None:
        return "***"
    return f"{parts['scheme']}{'***@' if parts['login'] else ''}{parts['place']}"


def _pattern(topic: str) -> re.Pattern[str]:
    try:
        return re.compile(topic)
    except re.error as error:
        raise ValueError(f"kafka.events: {topic!r} is not a pattern: {error}") from None
