"""The configuration as one model, with what must hold between its keys.

Variables named `OFFBEAT_SECTION__KEY` override the file. `worker.config.messages` turns errors into the user's words.
"""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.config.public_url import public_url
from worker.config.refused_properties import is_secret
from worker.config.sections import (
    AlertSettings,
    EventSettings,
    FineTuneSettings,
    HttpSettings,
    KafkaSettings,
    ModelSettings,
    RedisSettings,
    StateSettings,
    ThresholdSettings,
)
from worker.core.events.spec import Feature, FeatureSpec
from worker.core.state.bounds import Bounds

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,180}")


class Settings(BaseSettings):
    """The configuration of offbeat."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="OFFBEAT_",
        env_nested_delimiter="__",
        title="offbeat configuration",
    )

    stream: str = Field(description="Name of the stream, used in default topic names, Redis keys and metric labels.")
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
    def _check_characters(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("letters, digits, '.', '_' and '-', at most 180 of them")
        return value

    @model_validator(mode="after")
    def _fill_defaults(self) -> Self:
        kafka = self.kafka
        defaults = {
            "events": kafka.events or (self.stream,),
            "alerts": kafka.alerts or f"{self.stream}.alerts",
            "dead_letters": kafka.dead_letters or f"{self.stream}.dead-letters",
            "labels": kafka.labels or f"{self.stream}.labels",
            "group": kafka.group or f"offbeat-{self.stream}",
        }
        # Not model_copy, which would count the defaults among the keys that the user has set.
        complete = KafkaSettings.model_construct(kafka.model_fields_set, **{**dict(kafka), **defaults})
        object.__setattr__(self, "kafka", complete)
        return self

    @model_validator(mode="after")
    def _check_topics(self) -> Self:
        kafka = self.kafka
        outputs = {"alerts": kafka.alerts, "dead_letters": kafka.dead_letters, "labels": kafka.labels}
        if kafka.scores is not None:
            outputs["scores"] = kafka.scores
        for name, topic in outputs.items():
            for events in kafka.events:
                if topic == events or (events.startswith("^") and _compile_pattern(events).match(topic)):
                    raise ValueError(
                        f"kafka.{name}: {topic!r} is among kafka.events: offbeat would read its own output"
                    )
            twin = next((other for other in outputs if other != name and outputs[other] == topic), None)
            if twin is not None:
                raise ValueError(f"kafka.{name}: {topic!r} is also kafka.{twin}; each needs a topic of its own")
        return self

    @model_validator(mode="after")
    def _check_fine_tune(self) -> Self:
        every, at_most_every = self.fine_tune.every, self.fine_tune.at_most_every
        if at_most_every > every:
            raise ValueError(
                f"fine_tune.at_most_every: {at_most_every:g}s is longer than fine_tune.every; "
                f"allowed: at most {every:g}s"
            )
        return self

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        seen = set()
        for i, feature in enumerate(self.features):
            identity = (feature.field, feature.kind, getattr(feature, "half_life", getattr(feature, "period", None)))
            if identity in seen:
                raise ValueError(f"features.{i}: {feature.field!r} as {feature.kind} is there twice")
            seen.add(identity)
        return self

    @property
    def spec(self) -> FeatureSpec:
        """The feature spec, which models are trained for."""
        return FeatureSpec(
            features=self.features, entity=self.event.entity, time=self.event.time, window=self.model.window
        )

    @property
    def bounds(self) -> Bounds:
        """How many entities a partition's state remembers, and for how long."""
        return Bounds(self.state.entities, int(self.state.entity_idle * 1_000))

    def public(self) -> dict[str, Any]:
        """The settings without secrets, for logs and the status page."""
        plain = self.model_dump(mode="json")
        properties = plain["kafka"]["properties"]
        plain["kafka"]["properties"] = {k: "***" if is_secret(k) else v for k, v in properties.items()}
        plain["redis"]["url"] = public_url(self.redis.url.get_secret_value())
        return plain


def _compile_pattern(topic: str) -> re.Pattern[str]:
    try:
        return re.compile(topic)
    except re.error as error:
        raise ValueError(f"kafka.events: {topic!r} is not a pattern: {error}") from None
