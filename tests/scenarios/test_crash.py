"""Death at every step between poll and commit: alerts exactly once, and the state as if nothing had happened."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from tests.scenarios.processes import await_committed, worker
from tests.scenarios.stream import Stream, encoded, events, make
from tests.services.kafka import KafkaCluster
from tests.services.redis import RedisServer
from worker.core.model.histogram import BUCKETS
from worker.core.state.partition_state import PartitionState

RECORDS = 3_000


def run_reference(cluster: KafkaCluster, redis_url: str, folder: Path, topic: str) -> Stream:
    """Another group reads the same log without a fault: its results are what the faulty run must come to."""
    setup = make(cluster, redis_url, folder, f"{topic}-reference", kafka={"events": [topic]})
    setup.train()
    with worker(setup, "reference", folder) as process:
        await_committed(setup, RECORDS, process)
        assert process.stop() == 0
    return setup


def assert_same(setup: Stream, reference: Stream) -> None:
    ours, theirs = setup.comparable(), reference.comparable()
    assert ours.keys() == theirs.keys()
    for alert_id, alert in theirs.items():
        assert ours[alert_id] == alert
    assert setup.state_bytes() == reference.state_bytes()


@pytest.mark.parametrize("point", ["produced", "offsets_sent", "committed"])
def test_killed_at_a_point_of_the_transaction(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, point: str
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream)
    setup.train()
    plain = encoded(events(RECORDS, every=60))
    kafka.produce(stream, plain[:1_500])
    with worker(setup, "pod-0", tmp_path, dies=(point, 3)) as dying:
        while dying.process.poll() is None:  # give it input until its third transaction with alerts
            done = min(1_500 + 30 * len(dying.events("batch")), RECORDS)
            sent = sum(kafka.bounds(stream, p)[1] for p in range(2))
            kafka.produce(stream, plain[sent:done])
        assert dying.wait() == -signal.SIGKILL
    sent = sum(kafka.bounds(stream, p)[1] for p in range(2))
    kafka.produce(stream, plain[sent:])
    with worker(setup, "pod-0", tmp_path) as successor:
        await_committed(setup, RECORDS, successor)
        assert successor.stop() == 0
    assert_same(setup, run_reference(kafka, redis_url, tmp_path, stream))


def test_sigterm_mid_stream_leaves_nothing_to_replay(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream)
    setup.train()
    plain = encoded(events(RECORDS, every=60))
    with worker(setup, "pod-0", tmp_path) as first:
        first.wait_for("first_start", 2)
        kafka.produce(stream, plain[:1_000])
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
    kafka.produce(stream, plain[1_000:])
    with worker(setup, "pod-1", tmp_path) as second:
        for restored in second.wait_for("restored", 2):
            assert restored["behind"] == 0
        await_committed(setup, RECORDS, second)
        assert second.stop() == 0
    assert_same(setup, run_reference(kafka, redis_url, tmp_path, stream))


@pytest.mark.parametrize(("planted", "behind"), [(None, 0), (("handler_raises", 1), 1_000)])
def test_a_signal_handler_that_raises_would_skip_the_drain(
    planted: tuple[str, int] | None, behind: int, kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    """Only a drain takes a snapshot here. An exception out of the loop skips it, although the process exits with 0."""
    setup = make(kafka, redis_url, tmp_path, stream, state={"snapshot_every": 3_600})
    setup.train()
    with worker(setup, "pod-0", tmp_path, planted) as first:
        first.wait_for("first_start", 2)
        kafka.produce(stream, encoded(events(1_000, every=60)))
        await_committed(setup, 1_000, first)
        assert first.stop() == 0
    with worker(setup, "pod-1", tmp_path) as second:
        assert sum(restored["behind"] for restored in second.wait_for("restored", 2)) == behind
        assert second.stop() == 0


def test_a_swap_mid_stream_and_a_kill_after_it(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    """Catch-up scores with the versions that scored before, so that the state is as if nobody had died."""
    # No snapshot is taken after the first commit, so that catch-up replays the switch.
    setup = make(kafka, redis_url, tmp_path, stream, state={"snapshot_every": 3_600})
    setup.train()
    first_version = setup.registry.champion(setup.settings.spec.spec_hash)
    plain = encoded(events(RECORDS, every=60))
    kafka.produce(stream, plain[:1_000])
    with worker(setup, "pod-0", tmp_path) as first:
        await_committed(setup, 1_000, first)
        setup.train(version=2, seed=7)
        first.await_version(2)
        kafka.produce(stream, plain[1_000:2_000])
        switches = {event["partition"]: event["offset"] for event in first.wait_for("switched", 2)}
        await_committed(setup, 2_000, first)
        before = setup.comparable()
        first.kill9()
    assert switches == {0: 500, 1: 500}
    assert {alert["model"]["version"] for alert in before.values()} == {1, 2}
    second_version = setup.registry.champion(setup.settings.spec.spec_hash)
    assert first_version is not None and second_version is not None
    setup.train(version=3, seed=9)  # today's champion is another one
    with worker(setup, "pod-1", tmp_path) as second:
        for restored in second.wait_for("restored", 2):
            assert restored["snapshot_offset"] <= 500
            assert restored["committed"] == 1_000
        second.wait_for("live", 2)
        assert second.stop() == 0
    assert setup.comparable() == before
    for offset, chunk in setup.state_bytes().values():
        # The histogram counts each record as scored by the version in force at it, and none as scored by the third.
        state = PartitionState.decode(chunk, setup.settings.spec, 0)
        assert offset == 1_000
        assert state.versions.bundle == second_version.bundle
        sample, expected = state.recent, np.zeros(BUCKETS, np.int64)
        assert len(sample) == 1_000
        for champion, part in ((first_version, slice(0, 500)), (second_version, slice(500, 1_000))):
            detector = setup.registry.bundle(champion.bundle).detector()
            errors = detector.errors(detector.encoder.transform(sample.columns.take(part)))
            buckets = setup.registry.threshold(champion.threshold).p_buckets(errors)
            expected += np.bincount(buckets, minlength=BUCKETS)
        assert (state.ring.total() == expected).all()


def test_redis_unreachable_at_start_is_waited_for(
    kafka: KafkaCluster, own_redis: RedisServer, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, own_redis.url, tmp_path, stream)
    own_redis.stop()
    kafka.produce(stream, encoded(events(300, every=60)))
    with worker(setup, "pod-0", tmp_path) as process:
        process.wait_for("waiting_for_redis")
        own_redis.start()
        setup.train()
        await_committed(setup, 300, process)
        assert process.stop() == 0
    assert len(setup.alerts()) >= 5
