"""Faults of Kafka, its clients and Redis that the worker survives, and lost offsets at its start."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer

from tests.scenarios.anomalies import PLAIN, RECORDS, assert_each_alerted_once
from tests.scenarios.inprocess import InProcessWorker, in_process
from tests.scenarios.stream import Stream, encoded, make
from tests.services.kafka import KafkaCluster
from tests.services.redis import RedisServer
from worker.errors import StateLost
from worker.partitions.assigned import Phase


@pytest.fixture
def setup(kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path) -> Stream:
    """A stream with a model."""
    setup = make(kafka, redis_url, tmp_path, stream)
    setup.train()
    return setup


class LosingConsumer(Consumer):
    """Takes one batch from the log and loses it in an exception, once it has been armed."""

    armed = False
    lost = 0

    def consume(self, *args: Any) -> list[Message]:
        messages: list[Message] = super().consume(*args)
        if self.armed and len(messages) > 50:
            self.armed, self.lost = False, len(messages)
            raise RuntimeError("a signal handler raised")
        return messages


def test_an_exception_inside_consume_loses_nothing(setup: Stream) -> None:
    with in_process(setup, consumer_type=LosingConsumer) as member:
        consumer = member.consumer
        assert isinstance(consumer, LosingConsumer)
        member.turn_until_live()
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
        consumer.armed = True
        member.turn_until_committed(RECORDS)
        assert consumer.lost > 50
        assert member.telemetry.recoveries == 1
    assert_each_alerted_once(setup)


def test_a_fenced_producer_is_replaced_in_process(setup: Stream) -> None:
    with in_process(setup, "twin") as member:
        member.turn_until_live()
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN[:300]))
        member.turn_until_committed(300)
        thief = Producer(
            {
                "bootstrap.servers": setup.kafka.bootstrap,
                "transactional.id": f"{setup.settings.kafka.group}.twin",
            }
        )
        thief.init_transactions(30)
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN[300:]))
        member.turn_until_committed(RECORDS)
        assert member.telemetry.producers_replaced >= 1
    assert_each_alerted_once(setup)


def test_a_transaction_that_times_out_is_recovered(setup: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.adapters.kafka_config.TRANSACTION_TIMEOUT_S", 1.0)
    frozen: list[float] = []

    class SlowProducer(Producer):
        """Freezes once between produce and commit, for longer than a transaction may last."""

        outputs = 0

        def produce(self, *args: Any, **kwargs: Any) -> None:
            super().produce(*args, **kwargs)
            self.outputs += 1

        def send_offsets_to_transaction(self, *args: Any) -> None:
            if self.outputs and not frozen:
                self.flush(5)
                frozen.append(4.0)
                time.sleep(frozen[0])
            super().send_offsets_to_transaction(*args)

    with in_process(setup, producer_type=SlowProducer) as member:
        member.turn_until_live()
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
        member.turn_until_committed(RECORDS)
        assert frozen
        assert member.telemetry.producers_replaced + member.telemetry.transactions_aborted >= 1
    assert_each_alerted_once(setup)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_two_workers_and_a_rebalance_mid_stream(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, protocol: str
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, kafka={"properties": {"group.protocol": protocol}})
    setup.train()
    with in_process(setup, "first") as first:
        first.turn_until_live()
        setup.kafka.produce(stream, encoded(PLAIN[:200]))
        first.turn_until(lambda: first.telemetry.scored > 0)
        second = InProcessWorker(setup, "second")
        setup.kafka.produce(stream, encoded(PLAIN[200:400]))

        def shared() -> bool:
            second.worker.turn()
            return all(member.phases() == [Phase.LIVE] for member in (first, second))

        first.turn_until(shared)
        setup.kafka.produce(stream, encoded(PLAIN[400:]))

        def all_committed() -> bool:
            second.worker.turn()
            return first.committed_records() + second.committed_records() >= RECORDS

        first.turn_until(all_committed)
        second.close()
        first.turn_until_live()
    assert_each_alerted_once(setup)
    assert kafka.group_protocol(setup.settings.kafka.group) == protocol


def test_redis_down_later_does_not_stop_scoring(
    kafka: KafkaCluster, own_redis: RedisServer, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, own_redis.url, tmp_path, stream)
    setup.train()
    with in_process(setup) as member:
        member.turn_until_live()
        own_redis.stop()
        kafka.produce(stream, encoded(PLAIN))
        member.turn_until_committed(RECORDS)
        member.feed.refresh()
        assert not member.feed.reachable
        own_redis.start()  # it is empty; the trainer or an operator brings the model back
        setup.train()
        member.feed.refresh()
        assert member.feed.reachable
        member.turn_until(lambda: member.telemetry.snapshots_written > 0)
    assert_each_alerted_once(setup)


def test_without_an_offset_a_group_begins_where_it_is_configured_to(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, kafka={"start": "latest"})
    setup.train()
    kafka.produce(stream, encoded(PLAIN[:300]))
    with in_process(setup) as member:
        member.turn_until_live()
        kafka.produce(stream, encoded(PLAIN[300:]))
        member.turn_until_committed(RECORDS)
        assert member.telemetry.records == 300
    assert min(setup.flagged_ids()) >= 300


@pytest.mark.parametrize("policy", ["stop", "earliest"])
def test_an_offset_that_expired_though_state_is_kept(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, policy: str
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, partitions=1, kafka={"offset_lost": policy, "start": "latest"})
    setup.train()
    with in_process(setup) as member:
        member.turn_until_live(1)
        kafka.produce(stream, encoded(PLAIN[:100]))
        member.turn_until_committed(100)
    kafka.delete_group(setup.settings.kafka.group)
    kafka.produce(stream, encoded(PLAIN[100:]))
    if policy == "stop":
        member = InProcessWorker(setup, "in-process")
        with pytest.raises(StateLost, match=r"the group's offset is gone, though state up to offset 100 is kept"):
            member.turn_until_live(1)
        member.abandon()
    else:
        with in_process(setup) as member:  # it must not go on at the end, where kafka.start points
            member.turn_until_live(1)
            member.turn_until_committed(RECORDS)
            assert member.telemetry.offsets_lost == 1
            assert member.telemetry.records == RECORDS


@pytest.mark.parametrize("policy", ["stop", "earliest"])
def test_a_committed_offset_that_fell_off_the_log(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, policy: str
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, partitions=1, kafka={"offset_lost": policy})
    setup.train()
    kafka.produce(stream, encoded(PLAIN[:100]))
    with in_process(setup) as member:
        member.turn_until_live(1)
        member.turn_until_committed(100)
    kafka.produce(stream, encoded(PLAIN[100:]))
    kafka.delete_records(stream, 0, before=300)
    if policy == "stop":
        member = InProcessWorker(setup, "in-process")
        with pytest.raises(StateLost, match=r"the committed offset 100 is outside the log \(300 to 600\)"):
            member.turn_until_live(1)
        member.abandon()
    else:
        with in_process(setup) as member:
            member.turn_until_live(1)
            member.turn_until_committed(RECORDS)
            assert member.telemetry.offsets_lost == 1
            assert member.telemetry.records == 300


def test_a_recreated_topic_starts_anew(kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, partitions=1)
    setup.train()
    kafka.produce(stream, encoded(PLAIN[:100]))
    with in_process(setup) as member:
        member.turn_until_live(1)
        member.turn_until_committed(100)
    kafka.delete_topic(stream)
    kafka.await_deleted(stream)
    kafka.create_topic(stream, 1)
    kafka.produce(stream, encoded(PLAIN[:50]))
    with in_process(setup) as member:
        member.turn_until_live(1)
        member.turn_until_committed(50)
        assert member.telemetry.records == 50
