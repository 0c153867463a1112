"""Keys of the configuration that this version accepts, but does nothing with."""

from __future__ import annotations

from typing import NamedTuple

from worker.config.settings import Settings


class KeyWithoutEffect(NamedTuple):
    key: str
    text: str


def keys_without_effect(settings: Settings) -> list[KeyWithoutEffect]:
    """Those that the user set and expects something of; to be logged at start as `not_in_this_version`."""
    found = []
    if "labels" in settings.kafka.model_fields_set:
        found.append(KeyWithoutEffect("kafka.labels", "this version does not read labels: the topic has no effect"))
    if "on_drift" in settings.fine_tune.model_fields_set and settings.fine_tune.on_drift:
        text = "this version has no drift detectors: fine-tuning follows fine_tune.every and fine_tune.events only"
        found.append(KeyWithoutEffect("fine_tune.on_drift", text))
    return found
