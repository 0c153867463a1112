"""A small labelled stream of events with entities and times, evaluated once for several tests."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from training.evaluate.evaluation import Evaluation, Options, run
from worker.config.load import load

N = 1_000
START_MS = 1_760_000_000_000
OFF: dict[str, dict[str, Any]] = {"far out": {"a": 40.0}, "unseen level": {"c": "new"}, "odd pair": {"b": 6.0}}
KINDS = tuple(OFF)
CONFIG = """
stream: s
event: {entity: shop, time: at}
features:
  - {field: a, kind: numeric}
  - {field: b, kind: numeric}
  - {field: c, kind: categorical}
threshold: {alert_rate: 0.03}
alerts: {cooldown: 60s}
fine_tune: {events: 300}
"""


def events() -> list[dict[str, Any]]:
    """`N` events of four shops, some seven seconds apart; b depends on a. Anomalies come in threes of one shop,
    the last of them after the cooldown."""
    g = np.random.default_rng(5)
    a, noise = g.normal(5.0, 2.0, N), g.normal(0.0, 0.2, N)
    at = START_MS + np.cumsum(g.integers(0, 14_000, N))
    made = []
    for i in range(N):
        event: dict[str, Any] = {"at": int(at[i]), "shop": f"shop-{g.integers(4)}", "a": float(a[i])}
        event |= {"b": float(2.0 * a[i] + noise[i]), "c": str(g.choice(["x", "y", "z"])), "kind": "normal"}
        if i > 400 and i % 40 in (0, 1, 12):
            kind = KINDS[i // 40 % len(KINDS)]
            event |= {"shop": f"shop-{i // 40 % 4}", "kind": kind}
            event |= OFF[kind]
        made.append(event)
    return made


def folder() -> Path:
    """A folder with the events, with and without labels, and a configuration."""
    found = Path(mkdtemp(prefix="offbeat-evaluate-"))
    (found / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events()), "utf-8")
    (found / "c.yaml").write_text(CONFIG, "utf-8")
    return found


@cache
def evaluation() -> Evaluation:
    made = folder()
    return run(Options(made / "events.jsonl", "kind", load(made / "c.yaml"), (), 400, None, None, None, 0))
