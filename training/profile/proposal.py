"""Builds the configuration that a profile proposes, and checks it with the worker's own loader and decoder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from training.profile.data_warnings import DataWarning
from training.tables.json_records import build_event
from training.tables.table import Table
from worker.config.load import load
from worker.config.refused_properties import is_secret
from worker.config.settings import Settings
from worker.core.events.decode import Limits, decoder_for

TRIED_RECORDS = 1_000


def build_configuration(
    stream: str,
    kafka: tuple[str, str | None, Mapping[str, str]],
    roles: Mapping[str, str | None],
    features: list[dict[str, Any]],
    alert_rate: float,
) -> dict[str, Any]:
    """Build a configuration for `offbeat run`. `kafka` is (brokers, topic, client properties); secrets are omitted."""
    bootstrap, topic, properties = kafka
    section: dict[str, Any] = {"bootstrap_servers": bootstrap}
    if topic is not None and topic != stream:
        section["events"] = [topic]
    public = {name: value for name, value in properties.items() if not is_secret(name)}
    if public:
        section["properties"] = public
    return {
        "stream": stream,
        "kafka": section,
        "redis": {"url": "redis://localhost:6379/0"},
        "event": {role: path for role, path in roles.items() if path is not None},
        "features": features,
        "threshold": {"alert_rate": alert_rate},
    }


def parse_settings(text: str) -> Settings:
    """Load a configuration from its text, ignoring environment variables. Raises ConfigError if it is invalid."""
    with tempfile.TemporaryDirectory(prefix="offbeat-profile-") as folder:
        path = Path(folder) / "offbeat.yaml"
        path.write_text(text, "utf-8")
        return load(path, {})


def try_decoding(proposed: dict[str, Any], table: Table, values: Sequence[bytes]) -> list[DataWarning]:
    """Decode the first records as the worker would, and warn if it would reject some of them.

    `values` are the records' bytes; if there are none, the table's rows are encoded as events. Raises ConfigError if
    the configuration is invalid.
    """
    settings = parse_settings(yaml.safe_dump(proposed, allow_unicode=True))
    if not values:
        rows = zip(*(column[:TRIED_RECORDS] for column in table.columns.values()), strict=True)
        values = [msgspec.json.encode(build_event(list(table.columns), row)) for row in rows]
    rejects = decoder_for(settings.event.format, settings.spec, Limits()).decode(values).rejects
    if not rejects:
        return []
    text = f"{len(rejects)} of {len(values)} records would become dead letters, for example: {rejects[0].reasons[0]}"
    return [DataWarning("dead-letters", text)]
