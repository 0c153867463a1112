"""Entities are found by the bytes of their names, whatever the names are and whoever was evicted before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.events.columns import Columns
from worker.core.events.entity_names import PackedNames, pack_names
from worker.core.events.hash_kernel import hash_bytes
from worker.core.events.spec import FeatureSpec
from worker.core.state.bounds import Bounds
from worker.core.state.entities import Entities
from worker.core.state.entity_table_kernel import LAST_OFFSET

SPEC = FeatureSpec.model_validate({"features": [{"field": "a", "kind": "rate", "half_life": "60s"}], "entity": "host"})
MOST = 6
NAMES = ["", None, "a", "aa", "a\0", "ä", "日本", "a" * 256, *(f"host-{i}" for i in range(8))]


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python hashes bytes in another way")
def test_a_hash_is_the_one_that_python_takes() -> None:
    texts = [bytes(range(i, i + n)) for n in range(1, 40) for i in (0, 100)]
    program = f"for text in {texts!r}: print(hash(text) % 2**64)"
    told = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": "0"}, check=True,
                          capture_output=True, text=True)  # fmt: skip
    key = np.zeros(2, np.uint64)
    found = [int(hash_bytes(np.frombuffer(bytearray(b"xx" + text), np.uint8), 2, 2 + len(text), key)) for text in texts]
    assert found == [int(line) for line in told.stdout.split()]


def observed(entities: Entities, names: PackedNames, first: int) -> None:
    n = len(names)
    same = np.full(n, 1_000, np.int64)
    entities.observe(Columns((np.arange(float(n)),)), names, same, same, np.arange(first, first + n))


@given(
    batches=st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=12), max_size=12),
    hashes=st.sampled_from([None, 1, 3]),
)
@settings(deadline=None, max_examples=150)
def test_who_is_known_is_who_was_seen_last(batches: list[list[str | None]], hashes: int | None) -> None:
    """As an ordered dictionary has it; also where all hashes are equal, or one of three neighbours."""
    entities, known = Entities(SPEC, Bounds(entities=MOST)), OrderedDict[str | None, int]()
    offset = 0
    for batch in batches:
        names = pack_names(batch).with_hashes()
        if hashes is not None:
            few = [NAMES.index(name) % hashes for name in batch]
            names = replace(names, hashes=np.array(few, np.uint64) << np.uint64(33))
        observed(entities, names, offset)
        for name in batch:
            known.pop(name, None)
            known[name] = offset
            offset += 1
        while len(known) > MOST:
            known.popitem(last=False)
        table = entities._table
        rows = np.flatnonzero(table.rows[:, LAST_OFFSET] >= 0)
        rows = rows[np.argsort(table.rows[rows, LAST_OFFSET])]
        assert table.names(rows).all() == list(known)
        assert table.rows[rows, LAST_OFFSET].tolist() == list(known.values())
        assert table.find(names)[1].tolist() == [
            dict(zip(known, rows.tolist(), strict=True)).get(name, -1) for name in batch
        ]
        assert table.state["arena"] <= len(table.arena)


def test_names_of_who_is_gone_take_no_room_forever() -> None:
    entities = Entities(SPEC, Bounds(entities=100))
    for batch in range(200):
        observed(entities, pack_names([f"{'x' * 200}{batch}-{i}" for i in range(50)]), 50 * batch)
    assert len(entities) == 100
    assert len(entities._table.arena) < 10 * 100 * 210


@given(st.lists(st.one_of(st.none(), st.text(max_size=8)), max_size=20))
def test_names_survive_their_spans(names: list[str | None]) -> None:
    made = pack_names(names)
    for found in (made, made.with_hashes(), made.with_hashes().take(np.arange(len(names)))):
        assert found.all() == names
        assert [found.at(row) for row in range(len(names))] == names


def test_windows_alone_look_back_without_rates() -> None:
    spec = FeatureSpec.model_validate({"features": [{"field": "a", "kind": "numeric"}], "entity": "host", "window": 3})
    entities, hosts = Entities(spec, Bounds()), [f"h{i % 4}" for i in range(40)]
    seen = []
    for first in range(0, 40, 10):
        same = np.full(10, 1_000, np.int64)
        offsets = np.arange(first, first + 10)
        found = entities.observe(
            Columns((offsets.astype(float),)), pack_names(hosts[first : first + 10]), same, same, offsets
        )
        assert found.columns.lags is not None
        seen += found.columns.values[0][found.columns.lags].tolist()
    assert seen == [[float(max(i - 4 * lag, i % 4)) for lag in range(3)] for i in range(40)]
