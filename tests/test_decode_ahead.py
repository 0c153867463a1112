"""Decoding ahead: the same as decoding at once, whatever was expected."""

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


class Watched:
    """Counts who decodes at once, and in which threads."""

    def __init__(self) -> None:
        self._decoder = decoder_for("json", SPEC, Limits())
        self._inside = threading.Lock()
        self.threads: set[str] = set()
        self.decoded: list[Sequence[bytes | None]] = []

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        assert self._inside.acquire(blocking=False), "two at once"
        self.threads.add(threading.current_thread().name)
        self.decoded.append(values)
        found = self._decoder.decode(values)
        self._inside.release()
        return found


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def ahead(watched: Watched) -> Iterator[DecodeAhead]:
    made = DecodeAhead(watched)
    yield made
    made.stop()


def batch(first: int) -> list[bytes | None]:
    return [b'{"a": %d}' % number for number in range(first, first + 2_000)]


def numbers(found: Decoded) -> list[float]:
    values: list[float] = found.columns.values[0].tolist()
    return values


def test_what_was_expected_is_decoded_once_and_in_one_thread(ahead: DecodeAhead, watched: Watched) -> None:
    batches = [batch(10_000 * i) for i in range(5)]
    ahead.expect(batches)
    for i, values in enumerate(batches):
        assert numbers(ahead.decode(values)) == [10_000.0 * i + row for row in range(2_000)]
    assert watched.decoded == batches
    assert len(watched.threads) == 1


def test_a_batch_that_nobody_expected_waits_for_those_before(ahead: DecodeAhead, watched: Watched) -> None:
    coming = [batch(0), batch(5_000)]
    ahead.expect(coming)
    assert numbers(ahead.decode(batch(90_000)))[0] == 90_000.0
    assert numbers(ahead.decode(coming[1]))[0] == 5_000.0
    assert len(watched.threads) == 1


class Batch(list[bytes | None]):
    """One that can be watched going."""


def test_what_did_not_come_is_forgotten() -> None:
    ahead = DecodeAhead(decoder_for("json", SPEC, Limits()))
    missed = [Batch(batch(i)) for i in range(5)]
    alive = [weakref.ref(values) for values in missed]
    again = batch(7)
    ahead.expect([*missed, again])
    del missed
    assert numbers(ahead.decode(again))[0] == 7.0
    assert [values() for values in alive[:-1]] == [None] * 4  # the thread itself may hold on to the last
    ahead.stop()


def test_equal_batches_are_told_apart(ahead: DecodeAhead) -> None:
    one, other = batch(0), batch(0)
    ahead.expect([one, other])
    assert ahead.decode(one) is not ahead.decode(other)


def test_what_a_decoder_raises_is_raised(ahead: DecodeAhead) -> None:
    values: Any = [3]
    ahead.expect([values])
    with pytest.raises(TypeError):
        ahead.decode(values)
