"""Death at every step between poll and commit: alerts exactly once, state as if nothing had happened."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.scenarios.stream import Stream, await_committed, encoded, events, make, worker
from tests.services.kafka import KafkaCluster

RECORDS = 3_000


def undisturbed(cluster: KafkaCluster, redis_url: str, folder: Path, topic: str) -> Stream:
    """The same log read by another group without an incident: what must come out."""
    made = make(cluster, redis_url, folder, f"{topic}-reference", kafka={"events": [topic]})
    made.train()
    with worker(made, "reference", folder) as process:
        await_committed(made, RECORDS, process)
        assert process.stop() == 0
    return made


def same(made: Stream, reference: Stream) -> None:
    ours, theirs = made.comparable(), reference.comparable()
    assert ours.keys() == theirs.keys()
    for alert_id, alert in theirs.items():
        assert ours[alert_id] == alert
    assert made.state_bytes() == reference.state_bytes()


@pytest.mark.parametrize("point", ["produced", "offsets_sent", "committed"])
def test_killed_at_a_point_of_the_transaction(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, point: str
) -> None:
    made = make(kafka, redis_url, tmp_path, stream)
    made.train()
    plain = encoded(events(RECORDS, every=60))
    kafka.produce(stream, plain[:1_500])
    with worker(made, "pod-0", tmp_path, dies=(point, 3)) as dying:
        while dying.process.poll() is None:  # more input, until its third transaction with alerts
            done = min(1_500 + 30 * len(dying.events("batch")), RECORDS)
            sent = sum(kafka.bounds(stream, p)[1] for p in range(2))
            kafka.produce(stream, plain[sent:done])
        assert dying.wait() == -signal.SIGKILL
    sent = sum(kafka.bounds(stream, p)[1] for p in range(2))
    kafka.produce(stream, plain[sent:])
    with worker(made, "pod-0", tmp_path) as successor:
        await_committed(made, RECORDS, successor)
        assert successor.stop() == 0
    same(made, undisturbed(kafka, redis_url, tmp_path, stream))


def test_sigterm_mid_stream_leaves_nothing_to_replay(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    made = make(kafka, redis_url, tmp_path, stream)
    made.train()
    plain = encoded(events(RECORDS, every=60))
    with worker(made, "pod-0", tmp_path) as first:
        first.wait_for("first_start", 2)
        kafka.produce(stream, plain[:1_000])
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
    kafka.produce(stream, plain[1_000:])
    with worker(made, "pod-1", tmp_path) as second:
        for restored in second.wait_for("restored", 2):
            assert restored["behind"] == 0
        await_committed(made, RECORDS, second)
        assert second.stop() == 0
    same(made, undisturbed(kafka, redis_url, tmp_path, stream))
