"""From produced records to alerts: the right records, the right features, and bad records on the dead-letter topic."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.scenarios.processes import await_committed, worker
from tests.scenarios.stream import anomalous, encoded, events, headers_of, make
from tests.services.kafka import KafkaCluster


def test_each_anomaly_alerts_once_and_names_the_feature(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream)
    setup.train()
    plain = events(2_000, every=100)
    kafka.produce(stream, encoded(plain))
    with worker(setup, "a", tmp_path) as process:
        await_committed(setup, 2_000, process)
        assert process.stop() == 0
    alerts = {alert["event"]["id"]: alert for alert in setup.alerts()}
    truth = {event["id"] for event in plain if event["duration"] == 60.0}
    assert truth <= set(alerts)
    # alert_rate is 0.001: a handful of the 1,980 normal events may be flagged too.
    assert len(set(alerts) - truth) <= 12
    for event_id in truth:
        alert = alerts[event_id]
        first = alert["features"][0]
        assert first["field"] == "duration"
        assert first["actual"] == 60.0
        assert 5.0 < first["expected"] < 12.0
        assert alert["entity"] == f"h{event_id % 7}"
        record = alert["record"]
        assert alert["alert_id"].endswith(f".{record['partition']}.{record['offset']}.anomaly.{alert['status']}")


def test_bad_records_become_dead_letters_and_the_others_are_scored(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, partitions=1)
    setup.train()
    rng = np.random.default_rng(0)
    bad = [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'{"bytes": "many"}',
        b"[" * 9_000,
        b'{"bytes": 1e999}',
        b'{"bytes": NaN}',
        b'{"proto": 5}',
        b"x" * 1_048_300,
    ]
    good = [anomalous(rng, i) for i in range(len(bad))]
    mixed = [value for two in zip(bad, encoded(good), strict=True) for value in two]
    kafka.produce(stream, [*mixed, None], timestamp_ms=1_750_000_000_000)
    with worker(setup, "a", tmp_path) as process:
        await_committed(setup, len(mixed) + 1, process)
        assert process.stop() == 0
    assert setup.flagged_ids() == [event["id"] for event in good]
    letters = kafka.read_committed(setup.settings.kafka.dead_letters)
    assert len(letters) == len(bad)
    for i, letter in enumerate(letters):
        headers = headers_of(letter)
        assert headers["offbeat-topic"] == stream
        assert headers["offbeat-partition"] == "0"
        assert headers["offbeat-offset"] == str(2 * i)
        assert headers["offbeat-timestamp"] == "1750000000000"
        assert headers["offbeat-reason"]
        if i < len(bad) - 1:
            assert (letter.value() or b"") == bad[i]
        else:
            assert headers["offbeat-truncated"] == "true"
            assert headers["offbeat-size"] == "1048300"
            assert headers["offbeat-sha256"] == hashlib.sha256(bad[i]).hexdigest()
            assert bad[i].startswith(letter.value() or b"?")


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_scores_topic_has_every_event_once(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, delivery: str
) -> None:
    scores = f"{stream}.scores"
    kafka.create_topic(scores, 1)
    setup = make(kafka, redis_url, tmp_path, stream, kafka={"scores": scores, "delivery": delivery})
    setup.train()
    kafka.produce(stream, encoded(events(300, every=50)))
    with worker(setup, "a", tmp_path) as process:
        await_committed(setup, 300, process)
        assert process.stop() == 0
    records = [json.loads(m.value() or b"") for m in kafka.read_committed(scores)]
    assert sorted((r["partition"], r["offset"]) for r in records) == [(p, o) for p in range(2) for o in range(150)]
    assert sum(r["verdict"] == "ANOMALOUS" for r in records) >= 6
    codes = np.array([r["code"] for r in records])
    assert codes.shape[1] >= 2
    assert (np.abs(codes) <= 1.0).all(), "the bottleneck's activation is tanh"
    assert (codes.std(0) > 0).all()
