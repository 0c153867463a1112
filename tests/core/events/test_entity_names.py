"""Names of entities, packed, and cut to a bounded length."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import pytest

from worker.core.events.columns import Columns
from worker.core.events.decode import Decoded
from worker.core.events.entity_names import (
    MAX_ENTITY,
    AttributeNames,
    EntityNames,
    MergedNames,
    entity_of,
    pack_names,
)

NAMES = ["a", None, "", "日本", "a", "b" * 300]


def test_packed_names_are_read_back() -> None:
    packed = pack_names(NAMES)
    assert len(packed) == len(NAMES)
    assert packed.all() == NAMES
    assert [packed.at(row) for row in range(len(NAMES))] == NAMES
    assert packed.hashes is None


def test_taken_rows_keep_their_names_and_hashes() -> None:
    packed, index = pack_names(NAMES).with_hashes(), np.array([3, 1, 5])
    assert packed.hashes is not None
    taken = packed.take(index)
    assert taken.all() == ["日本", None, "b" * 300]
    assert taken.hashes is not None
    assert taken.hashes.tolist() == packed.hashes[index].tolist()


def test_hashes_depend_on_the_name_alone() -> None:
    hashes = pack_names(NAMES).with_hashes().hashes
    again = pack_names([None, "日本", "a"]).with_hashes().hashes
    assert hashes is not None
    assert again is not None
    assert hashes[0] == hashes[4] == again[2]
    assert hashes[1] == again[0] == 0
    assert hashes[3] == again[1]
    assert len(set(hashes.tolist())) == 5


def test_with_hashes_packs_without_gaps() -> None:
    packed = pack_names(NAMES).take(np.array([5, 3])).with_hashes()
    assert bytes(packed.raw) == ("b" * 300 + "日本").encode()
    assert packed.starts.tolist() == [0, 300]
    assert packed.stops.tolist() == [300, 306]


@pytest.mark.parametrize(
    ("names", "within"),
    [
        ([], True),
        (["a", "abc"], True),
        (["a", "abcd"], False),
        (["日本"], False),
        (["a", ""], False),
        (["a", None], False),
    ],
)
def test_all_within_counts_bytes_and_wants_every_name(names: list[str | None], within: bool) -> None:
    assert pack_names(names).all_within(3) == within


def test_attributes_are_named_as_categories() -> None:
    events = [{"host": "a"}, {"host": 7.0}, {"host": None}, {"host": True}]
    names = AttributeNames(itemgetter("host"), events)
    assert names.all() == [names.at(row) for row in range(4)] == ["a", "7", None, "true"]
    assert AttributeNames(None, events).all() == [None] * 4
    assert AttributeNames(None, events).at(0) is None


def test_merged_names_follow_the_order() -> None:
    merged = MergedNames(pack_names(["a", "b"]), pack_names(["c", None]), 2, np.array([2, 0, 3, 1]))
    assert merged.all() == [merged.at(row) for row in range(4)] == ["c", "a", None, "b"]


@pytest.mark.parametrize(
    ("name", "key", "entity"),
    [
        ("a", b"k", "a"),
        ("", b"k", ""),
        (None, b"k", "k"),
        (None, b"\xff", "\\xff"),
        (None, None, None),
        ("x" * MAX_ENTITY, None, "x" * MAX_ENTITY),
    ],
)
def test_the_entity_is_the_name_else_the_key(name: str | None, key: bytes | None, entity: str | None) -> None:
    assert entity_of(name, key) == entity


def test_long_names_are_cut_and_stay_apart() -> None:
    cut = [entity_of("x" * MAX_ENTITY + end, None) for end in ("a", "b", "a")]
    assert all(entity is not None and entity.startswith("x" * MAX_ENTITY + "~") for entity in cut)
    assert [len(entity or "") for entity in cut] == [MAX_ENTITY + 17] * 3
    assert cut[0] == cut[2] != cut[1]


@pytest.mark.parametrize(
    ("names", "asked"),
    [(["a", "b"], []), (["a", None], [4]), (["a", "x" * 300], []), ([None, None], [2, 4])],
)
def test_a_batch_asks_only_for_the_keys_of_rows_without_a_name(names: list[str | None], asked: list[int]) -> None:
    keys: list[int] = []

    def key(i: int) -> bytes | None:
        keys.append(i)
        return f"key-{i}".encode()

    packed: EntityNames = pack_names(names)
    decoded = Decoded(np.array([2, 4]), Columns(()), np.zeros(2), [], 0, packed)
    wanted = [entity_of(name, f"key-{i}".encode()) for name, i in zip(names, (2, 4), strict=True)]
    assert decoded.entities(key).all() == wanted
    assert keys == asked
