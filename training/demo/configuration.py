"""The demo's configuration of the worker: the features that `offbeat profile` proposes, and short periods."""

from __future__ import annotations

from typing import Any

from training.profile.infer import infer_features
from training.tables.table import Table

ALERT_RATE = 0.02
FINE_TUNE_EVENTS = 2_000


def configure(table: Table, topics: dict[str, str], bootstrap: str, url: str, *, embedded: bool) -> dict[str, Any]:
    """Return a configuration of a stream with these `topics`: events, alerts, scores and dead_letters."""
    features = infer_features(table)
    entity = next((feature["field"] for feature in features if feature["kind"] == "categorical"), None)
    if "service" in table.columns:
        entity = "service"
    return {
        "stream": topics["events"],
        "kafka": {
            "bootstrap_servers": bootstrap,
            "events": [topics["events"]],
            "alerts": topics["alerts"],
            "dead_letters": topics["dead_letters"],
            "scores": topics["scores"],
            # The embedded broker, librdkafka's mock cluster, ignores the offsets in a transaction.
            "delivery": "at_least_once" if embedded else "exactly_once",
        },
        "redis": {"url": url},
        "event": {"entity": entity},
        "features": features,
        "threshold": {"alert_rate": ALERT_RATE},
        "alerts": {"cooldown": "2s"},
        # By events alone: by time, a slow trainer would fine-tune on the same events again while the stream waits.
        "fine_tune": {"every": "1h", "events": FINE_TUNE_EVENTS, "at_most_every": "2s"},
        "state": {"snapshot_every": "1s"},
        "http": {"port": 0},
    }
