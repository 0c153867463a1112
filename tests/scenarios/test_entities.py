"""Features that look back at the entity's past, through cold start, crash, rebalance and swap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.scenarios.processes import await_committed, await_named, worker
from tests.scenarios.stream import FEATURES, Stream, encoded, make, table_of
from tests.scenarios.test_crash import assert_same
from tests.services.kafka import KafkaCluster
from training.history.lookback import featurize_rows
from training.learn.cold_start import ENOUGH_ROWS
from training.learn.versioning import train_version
from worker.adapters.redis_registry import RedisRegistry
from worker.core.events.columns import from_table
from worker.ports.stores import Champion

RATES = [*FEATURES, {"field": "duration", "kind": "rate", "half_life": "60s"}]
RECORDS = 3_000
START_S = 1_800_000_000


def visits(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Each host has a level of its own, from ten to seventy. Every 60th event has the level of another host."""
    rng = np.random.default_rng(seed)
    plain: list[dict[str, Any]] = []
    for i in range(count):
        host = int(rng.integers(7))
        odd = i % 60 == 59
        level = 10.0 * (1 + (host + 3) % 7 if odd else host + 1)
        size = float(np.exp(rng.normal(8.0, 0.5)))
        event = {"id": i, "host": f"h{host}", "ts": START_S + i, "odd": odd, "proto": {"name": "tcp"}}
        plain.append({**event, "bytes": round(size, 2), "duration": round(level + rng.normal(0, 0.3), 3)})
    return plain


def train(setup: Stream) -> None:
    """Train and promote a first model, on rows that the serving code gave their pasts."""
    plain = [event for event in visits(4_000, seed=9) if not event["odd"]]
    spec = setup.settings.spec
    hosts, times = [e["host"] for e in plain], np.array([1_000 * e["ts"] for e in plain], np.int64)
    columns = featurize_rows(setup.settings, from_table(table_of(plain), spec), hosts, times)
    version = train_version(
        setup.settings,
        columns,
        calibrate_on=None,
        version=1,
        parent=None,
        ranges={},
        seed=0,
        created_at="2026-01-01T00:00:00Z",
    )
    registry: RedisRegistry = setup.registry
    registry.put_bundle(version.bundle)
    registry.put_threshold(version.threshold)
    champion = Champion(version.bundle.digest, version.threshold.digest(), 1, registry.next_token())
    assert registry.promote(spec.spec_hash, champion)


def looking_back(cluster: KafkaCluster, redis_url: str, folder: Path, name: str, /, **sections: Any) -> Stream:
    return make(
        cluster,
        redis_url,
        folder,
        name,
        features=RATES,
        event={"entity": "host", "time": "ts"},
        model={"window": 3},
        **sections,
    )


def test_killed_mid_stream_the_past_of_each_entity_is_what_it_was(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = looking_back(kafka, redis_url, tmp_path, stream)
    train(setup)
    plain = visits(RECORDS)
    with worker(setup, "pod-0", tmp_path) as first:
        kafka.produce(stream, encoded(plain[:1_500]))
        await_committed(setup, 1_500, first)
        await_named(setup)
        first.kill9()
    kafka.produce(stream, encoded(plain[1_500:]))
    with worker(setup, "pod-1", tmp_path) as second:
        await_committed(setup, RECORDS, second)
        assert second.stop() == 0
    reference = looking_back(kafka, redis_url, tmp_path, f"{stream}-reference", kafka={"events": [stream]})
    train(reference)
    with worker(reference, "reference", tmp_path) as undisturbed:
        await_committed(reference, RECORDS, undisturbed)
        assert undisturbed.stop() == 0
    assert_same(setup, reference)
    found = {alert["event"]["id"]: alert for alert in setup.alerts()}
    odd = {event["id"] for event in plain if event["odd"]}
    # Only the entity's past shows them. The first events of a host have no past yet.
    assert len(odd & set(found)) > 0.8 * len(odd)
    blamed = [found[i]["features"][0]["field"] for i in odd & set(found)]
    assert sum(name.startswith("duration:") for name in blamed) > 0.8 * len(blamed)


def test_a_cold_start_learns_from_rows_with_their_past(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = looking_back(kafka, redis_url, tmp_path, stream, threshold={"alert_rate": 0.02})
    plain = visits(ENOUGH_ROWS + 1_000)
    kafka.produce(stream, encoded(plain))
    with worker(setup, "pod-0", tmp_path, trainer=True) as process:
        await_committed(setup, len(plain), process)
        assert process.stop() == 0
    champion = setup.registry.champion(setup.settings.spec.spec_hash)
    assert champion is not None
    encoder = setup.registry.bundle(champion.bundle).detector().encoder
    mean = setup.settings.spec.names.index("duration:mean:60s")
    # The means of the entities spread over their levels, from ten to seventy.
    scaling = encoder.to_json()["parts"][mean]
    assert scaling["low"] < 15.0
    assert scaling["high"] > 60.0
    assert setup.alerts()
