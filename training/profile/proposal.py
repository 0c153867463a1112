"""The configuration that a profile proposes, read back by the worker's own loader and tried by its own decoder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from training.profile.data_warnings import Caution
from training.tables.json_records import event
from training.tables.table import Table
from worker.config.load import load
from worker.config.refused_properties import is_secret
from worker.config.settings import Settings
from worker.core.events.decode import Limits, decoder_for

TRIED = 1_000
DAY_S = 86_400
ALERT_RATE = 0.001
_FLAGGED_A_DAY = 100.0
_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)


def suggested_rate(events_per_second: float | None) -> float:
    """A share of events: the greatest of 0.00001, 0.00002, 0.00005 … 0.01 by which at most 100 events a day are
    flagged, and the default where the number of events is unknown.
    """
    if events_per_second is None:
        return ALERT_RATE
    wanted = _FLAGGED_A_DAY / (events_per_second * DAY_S)
    return max((rate for rate in _RATES if rate <= wanted), default=_RATES[0])


def configuration(
    stream: str,
    kafka: tuple[str, str | None, Mapping[str, str]],
    roles: Mapping[str, str | None],
    features: list[dict[str, Any]],
    alert_rate: float,
) -> dict[str, Any]:
    """As `offbeat run` reads it; `kafka` is brokers, topic and client properties, of which secrets are left out."""
    bootstrap, topic, properties = kafka
    section: dict[str, Any] = {"bootstrap_servers": bootstrap}
    if topic is not None and topic != stream:
        section["events"] = [topic]
    shown = {name: value for name, value in properties.items() if not is_secret(name)}
    if shown:
        section["properties"] = shown
    return {
        "stream": stream,
        "kafka": section,
        "redis": {"url": "redis://localhost:6379/0"},
        "event": {role: path for role, path in roles.items() if path is not None},
        "features": features,
        "threshold": {"alert_rate": alert_rate},
    }


def checked(text: str) -> Settings:
    """The settings that a configuration's text means, without any of the environment; raises ConfigError."""
    with tempfile.TemporaryDirectory(prefix="offbeat-profile-") as folder:
        path = Path(folder) / "offbeat.yaml"
        path.write_text(text, "utf-8")
        return load(path, {})


def trial(proposed: dict[str, Any], table: Table, values: Sequence[bytes]) -> list[Caution]:
    """What the worker would reject of the first records: `values` as they were, or else the table's rows as events.

    Raises ConfigError where the configuration does not load.
    """
    settings = checked(yaml.safe_dump(proposed, allow_unicode=True))
    if not values:
        rows = zip(*(column[:TRIED] for column in table.columns.values()), strict=True)
        values = [msgspec.json.encode(event(list(table.columns), row)) for row in rows]
    rejects = decoder_for(settings.event.format, settings.spec, Limits()).decode(values).rejects
    if not rejects:
        return []
    text = f"{len(rejects)} of {len(values)} records tried would be dead letters, such as: {rejects[0].reasons[0]}"
    return [Caution("dead-letters", text)]
