"""Dead letters: the original record with its origin and reasons, small enough; and the limit on rejects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest

from worker.core.events.decode import Reject
from worker.errors import DeadLetterLimit
from worker.outputs.dead_letters import WINDOW_RECORDS, DeadLetters
from worker.ports.log import Output, Records, TopicPartition

SOURCE = TopicPartition("flows", 3)
VALUES = (b'{"a": 1}', b"{", None, b"x" * 5_000)
REASONS = ("not JSON: unexpected end", "a: missing")


def dead_letter(
    index: int, *, limit: int = 1_000_000, reasons: Sequence[str] = REASONS, key: bytes | None = b"key"
) -> Output:
    n = len(VALUES)
    records = Records(SOURCE, np.arange(n) + 40, np.arange(n) + 1_000, VALUES, lambda _: key)
    letters = DeadLetters("dead", lambda topic: limit if topic == "dead" else 0, 0.5)
    [output] = letters.outputs(records, [Reject(index, "field", tuple(reasons))])
    return output


def size_of(output: Output) -> int:
    headers = sum(len(name) + len(value) for name, value in output.headers)
    return len(output.key or b"") + len(output.value) + headers


def test_a_dead_letter_is_the_original_record_with_its_origin_and_reasons() -> None:
    letter = dead_letter(1)
    assert (letter.source, letter.topic, letter.key, letter.value) == (SOURCE, "dead", b"key", b"{")
    assert (letter.kind, letter.status, letter.severity) == ("dead_letter", "", "")
    assert letter.headers == [
        ("offbeat-topic", b"flows"),
        ("offbeat-partition", b"3"),
        ("offbeat-offset", b"41"),
        ("offbeat-timestamp", b"1001"),
        ("offbeat-reason", b"not JSON: unexpected end; a: missing"),
    ]


def test_every_reject_is_one_dead_letter_in_order() -> None:
    records = Records(SOURCE, np.arange(4), np.arange(4), VALUES, lambda _: None)
    letters = DeadLetters("dead", lambda _: 1_000_000, 0.5)
    outputs = letters.outputs(records, [Reject(i, "field", ("bad",)) for i in (0, 1, 3)])
    assert [dict(output.headers)["offbeat-offset"] for output in outputs] == [b"0", b"1", b"3"]
    assert [output.value for output in outputs] == [VALUES[0], VALUES[1], VALUES[3]]
    assert letters.outputs(records, []) == []


def test_a_value_that_is_too_large_is_cut_and_named_by_its_digest() -> None:
    letter = dead_letter(3, limit=2_000)
    headers = dict(letter.headers)
    assert 1_000 < size_of(letter) < 2_000
    assert (VALUES[3] or b"").startswith(letter.value) and len(letter.value) < 5_000
    assert headers["offbeat-truncated"] == b"true"
    assert headers["offbeat-size"] == b"5000"
    assert headers["offbeat-sha256"] == hashlib.sha256(VALUES[3] or b"").hexdigest().encode()


def test_a_value_that_just_fits_is_whole() -> None:
    whole = dead_letter(3)
    assert whole.value == VALUES[3]
    room = size_of(whole) + 10 * len(whole.headers) + 256
    fitting = dead_letter(3, limit=room)
    assert (fitting.value, len(fitting.headers)) == (VALUES[3], len(whole.headers))
    assert len(dead_letter(3, limit=room - 1).value) == len(VALUES[3] or b"") - 1


def test_a_key_that_is_too_large_is_cut_too() -> None:
    key = b"k" * 4_000
    letter = dead_letter(1, limit=2_000, key=key)
    headers = dict(letter.headers)
    assert letter.key is not None and key.startswith(letter.key) and 0 < len(letter.key) < 1_000
    assert headers["offbeat-key-sha256"] == hashlib.sha256(key).hexdigest().encode()
    assert letter.value == b"{"
    assert size_of(letter) < 2_000


def test_long_reasons_are_cut() -> None:
    letter = dead_letter(1, reasons=["a: missing"] * 2_000)
    assert len(dict(letter.headers)["offbeat-reason"]) == 4_096


# The limit.


@pytest.fixture
def letters() -> DeadLetters:
    return DeadLetters("dead", lambda _: 1_000_000, 0.5)


def test_rejects_past_the_limit_stop_the_worker(letters: DeadLetters) -> None:
    letters.check(WINDOW_RECORDS // 2, WINDOW_RECORDS // 2)
    with pytest.raises(DeadLetterLimit, match=r"25001 of the last 50000 records.*kafka\.dead_letter_limit: 0\.5.*dead"):
        letters.check(WINDOW_RECORDS // 2, 1)


def test_exactly_the_limit_is_allowed(letters: DeadLetters) -> None:
    letters.check(WINDOW_RECORDS, WINDOW_RECORDS // 2)


def test_too_few_records_never_stop_the_worker(letters: DeadLetters) -> None:
    letters.check(WINDOW_RECORDS - 1, WINDOW_RECORDS - 1)


def test_only_the_last_records_count(letters: DeadLetters) -> None:
    letters.check(WINDOW_RECORDS // 5, WINDOW_RECORDS // 5)
    for _ in range(5):
        letters.check(WINDOW_RECORDS // 5, 0)  # the bad ones have left the window
    letters.check(WINDOW_RECORDS // 5, WINDOW_RECORDS // 5)
    letters.check(WINDOW_RECORDS // 5, WINDOW_RECORDS // 5)
    with pytest.raises(DeadLetterLimit):
        letters.check(WINDOW_RECORDS // 5, WINDOW_RECORDS // 5)
