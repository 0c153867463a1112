"""The assumptions of tests/model about Kafka, on the real one too: without this its schedules would prove nothing."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from tests.contract.sides import (
    TIMEOUT_S,
    KafkaSide,
    Member,
    ModelSide,
    Side,
    await_committed,
    await_visible,
    begin,
    join,
    partitions,
    poll_until,
    produce,
    refusal,
    send_offsets,
)
from worker.ports.log import Committed, Fault, TopicPartition


@pytest.fixture(params=["model", "kafka"])
def side(request: pytest.FixtureRequest, stream: str) -> Side:
    return ModelSide() if request.param == "model" else KafkaSide(request.getfixturevalue("kafka"), stream)


def test_offsets_and_outputs_count_together_and_are_pending_until_then(side: Side) -> None:
    member, (zero, one, *_) = join(side), partitions(side)
    producer = begin(side)
    produce(producer, side, b"out")
    send_offsets(producer, side, {0: 5}, member.source.membership())
    assert member.source.committed([zero, one]) == {zero: None, one: Committed(None)}
    assert side.visible() == []
    producer.commit_transaction(30)
    await_committed(member, {zero: Committed(5, "m5"), one: Committed(None)})
    await_visible(side, [b"out"])
    member.source.close()


def test_an_aborted_transaction_leaves_nothing(side: Side) -> None:
    member, (zero, *_) = join(side), partitions(side)
    producer = begin(side)
    produce(producer, side, b"out")
    send_offsets(producer, side, {0: 5}, member.source.membership())
    producer.abort_transaction(30)
    await_committed(member, {zero: Committed(None)})
    assert side.visible() == []
    member.source.close()


def test_the_same_id_again_ends_the_open_transaction_and_fences_the_earlier_producer(side: Side) -> None:
    member, (zero, *_) = join(side), partitions(side)
    first = begin(side)
    produce(first, side, b"first")
    send_offsets(first, side, {0: 5}, member.source.membership())
    second = begin(side)
    await_committed(member, {zero: Committed(None)})
    error = refusal(lambda: first.commit_transaction(30))
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)
    produce(second, side, b"second")
    send_offsets(second, side, {0: 6}, member.source.membership())
    second.commit_transaction(30)
    await_committed(member, {zero: Committed(6, "m6")})
    await_visible(side, [b"second"])
    member.source.close()


@pytest.mark.parametrize("late", ["commits", "sends more offsets"])
def test_a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_fenced(side: Side, late: str) -> None:
    member, (zero, *_) = join(side), partitions(side)
    producer = begin(side, seconds=TIMEOUT_S)
    produce(producer, side, b"out")
    send_offsets(producer, side, {0: 5}, member.source.membership())
    side.time_out()
    await_committed(member, {zero: Committed(None)})
    calls = {
        "commits": lambda: producer.commit_transaction(30),
        "sends more offsets": lambda: send_offsets(producer, side, {1: 5}, member.source.membership()),
    }
    assert refusal(calls[late]).fatal()
    assert side.visible() == []
    member.source.close()


def test_readers_wait_at_the_first_open_transaction(side: Side) -> None:
    slow, quick = begin(side, "slow"), begin(side, "quick")
    produce(slow, side, b"slow")
    produce(quick, side, b"quick")
    quick.commit_transaction(30)
    assert side.visible() == []
    slow.commit_transaction(30)
    await_visible(side, [b"slow", b"quick"])


def test_only_partitions_that_move_are_released_and_an_earlier_membership_is_refused(side: Side) -> None:
    first = join(side)
    before = first.source.membership()
    second = Member(side)
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, first, second)
    assert len(first.released) == 2
    assert set(first.released) == second.owned
    producer = begin(side)
    error = refusal(lambda: send_offsets(producer, side, {next(iter(first.owned)).partition: 5}, before))
    assert (error.code(), error.txn_requires_abort(), error.fatal()) == (KafkaError.ILLEGAL_GENERATION, True, False)
    producer.abort_transaction(30)
    kept = min(first.owned)
    producer.begin_transaction()
    send_offsets(producer, side, {kept.partition: 6}, first.source.membership())
    producer.commit_transaction(30)
    await_committed(second, {kept: Committed(6, "m6")})
    first.source.close()
    second.source.close()


def test_a_member_may_commit_a_partition_that_it_does_not_own(side: Side) -> None:
    """Kafka checks only the generation: the worker itself must drop the batches of partitions that it has lost."""
    first, second = join(side), Member(side)
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, first, second)
    foreign = min(second.owned)
    producer = begin(side)
    send_offsets(producer, side, {foreign.partition: 7}, first.source.membership())
    producer.commit_transaction(30)
    await_committed(second, {foreign: Committed(7, "m7")})
    first.source.close()
    second.source.close()


def test_a_member_that_has_left_is_unknown(side: Side) -> None:
    member, stays = join(side), Member(side)
    membership = member.source.membership()
    member.source.close()
    poll_until(lambda: len(stays.owned) == 4, stays)
    producer = begin(side)
    error = refusal(lambda: send_offsets(producer, side, {0: 5}, membership))
    assert (error.code(), error.txn_requires_abort(), error.fatal()) == (KafkaError.UNKNOWN_MEMBER_ID, True, False)
    stays.source.close()


def test_the_end_of_a_partition_and_an_offset_past_it_are_reported_once(side: Side) -> None:
    side.feed(10)
    member, (zero, one, *_) = join(side), partitions(side)
    member.source.start(zero, 4)
    poll_until(lambda: any(polled.ends.get(zero) == 10 for polled in member.polled), member)
    assert member.offsets() == [4, 5, 6, 7, 8, 9]
    for _ in range(5):
        member.poll()
    assert [polled.ends[zero] for polled in member.polled if zero in polled.ends] == [10]
    member.source.start(one, 99)

    def faults() -> list[tuple[TopicPartition, Fault]]:
        return [(source, fault) for polled in member.polled for source, fault, _ in polled.faults]

    poll_until(lambda: bool(faults()), member)
    for _ in range(5):
        member.poll()
    assert faults() == [(one, Fault.OFFSET_GONE)]
    member.source.start(one, 0)
    poll_until(lambda: any(polled.ends.get(one) == 0 for polled in member.polled), member)
    member.source.close()
