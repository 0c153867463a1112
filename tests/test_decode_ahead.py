"""Decoding ahead gives the same as decoding at once, whatever batches were expected."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from worker.core.events.decode import Decoded, Limits, decoder_for
from worker.core.events.spec import FeatureSpec
from worker.decode_ahead import DecodeAhead

SPEC = FeatureSpec.model_validate({"features": [{"field": "a", "kind": "numeric"}]})


class WatchedDecoder:
    """Records the batches and their threads, and fails if two threads decode at once."""

    def __init__(self) -> None:
        self._decoder = decoder_for("json", SPEC, Limits())
        self._inside = threading.Lock()
        self.threads: set[str] = set()
        self.decoded: list[Sequence[bytes | None]] = []

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        assert self._inside.acquire(blocking=False), "two at once"
        self.threads.add(threading.current_thread().name)
        self.decoded.append(values)
        decoded = self._decoder.decode(values)
        self._inside.release()
        return decoded


@pytest.fixture
def watched() -> WatchedDecoder:
    return WatchedDecoder()


@pytest.fixture
def ahead(watched: WatchedDecoder) -> Iterator[DecodeAhead]:
    ahead = DecodeAhead(watched)
    yield ahead
    ahead.stop()


def batch(first: int) -> list[bytes | None]:
    return [b'{"a": %d}' % number for number in range(first, first + 2_000)]


def numbers(decoded: Decoded) -> list[float]:
    values: list[float] = decoded.columns.values[0].tolist()
    return values


def test_expected_batches_are_decoded_once_and_in_one_thread(ahead: DecodeAhead, watched: WatchedDecoder) -> None:
    batches = [batch(10_000 * i) for i in range(5)]
    ahead.expect(batches)
    for i, values in enumerate(batches):
        assert numbers(ahead.decode(values)) == [10_000.0 * i + row for row in range(2_000)]
    assert watched.decoded == batches
    assert len(watched.threads) == 1


def test_an_unexpected_batch_waits_for_those_before_it(ahead: DecodeAhead, watched: WatchedDecoder) -> None:
    coming = [batch(0), batch(5_000)]
    ahead.expect(coming)
    assert numbers(ahead.decode(batch(90_000)))[0] == 90_000.0
    assert numbers(ahead.decode(coming[1]))[0] == 5_000.0
    assert len(watched.threads) == 1


class Batch(list[bytes | None]):
    """A batch that can be referred to weakly."""


def test_expected_batches_that_did_not_come_are_forgotten() -> None:
    ahead = DecodeAhead(decoder_for("json", SPEC, Limits()))
    missed = [Batch(batch(i)) for i in range(5)]
    alive = [weakref.ref(values) for values in missed]
    again = batch(7)
    ahead.expect([*missed, again])
    del missed
    assert numbers(ahead.decode(again))[0] == 7.0
    assert [values() for values in alive[:-1]] == [None] * 4  # the thread itself may keep a reference to the last one
    ahead.stop()


def test_equal_batches_are_told_apart(ahead: DecodeAhead) -> None:
    one, other = batch(0), batch(0)
    ahead.expect([one, other])
    assert ahead.decode(one) is not ahead.decode(other)


def test_an_exception_of_the_decoder_is_raised(ahead: DecodeAhead) -> None:
    values: Any = [3]
    ahead.expect([values])
    with pytest.raises(TypeError):
        ahead.decode(values)
