"""Commit metadata: it is read back as written, stays small, and has the switches that a replay needs."""

from __future__ import annotations

import pytest

from worker.core.state.commit_metadata import BUDGET, EMPTY, Base, CommitMetadata, Switch

TOPIC_ID, DIGEST = "iZ+xAmztSymKtl8xGHZvWQ", "A" * 22


def test_cold_and_full_metadata_round_trip() -> None:
    cold = CommitMetadata(TOPIC_ID, "0" * 16, 4)
    assert CommitMetadata.decode(cold.encode()) == cold
    assert cold.cold
    metadata = cold.with_base(Base(EMPTY, 10)).with_switch(Switch(10, DIGEST, "B" * 22)).with_base(Base(DIGEST, 500))
    assert CommitMetadata.decode(metadata.encode() + "\0") == metadata
    assert not metadata.cold


def test_the_newest_two_snapshots_and_the_switches_since_the_older_are_kept() -> None:
    metadata = CommitMetadata(TOPIC_ID, "0" * 16, 1).with_base(Base(EMPTY, 0))
    for offset in (0, 100, 200, 300):
        metadata = metadata.with_switch(Switch(offset, DIGEST, f"{offset:022}"))
    metadata = metadata.with_base(Base("snap-100", 100)).with_base(Base("snap-250", 250))
    assert [base.snapshot for base in metadata.bases] == ["snap-100", "snap-250"]
    assert [switch.offset for switch in metadata.switches] == [100, 200, 300]


def test_full_metadata_takes_no_more_switches_and_stays_within_its_budget() -> None:
    metadata = CommitMetadata(TOPIC_ID, "0" * 16, 1).with_base(Base(DIGEST, 10**15)).with_base(Base(DIGEST, 10**15 + 1))
    switches = 0
    while not metadata.full:
        metadata = metadata.with_switch(Switch(10**15 + switches, DIGEST, DIGEST))
        switches += 1
    assert switches > 10
    assert len(metadata.encode()) <= BUDGET
    assert metadata.encode().isascii()


def test_a_switch_at_the_same_offset_replaces_the_earlier() -> None:
    metadata = CommitMetadata(TOPIC_ID, "0" * 16, 1).with_base(Base(EMPTY, 0))
    metadata = metadata.with_switch(Switch(5, "old", "t")).with_switch(Switch(5, "new", "t"))
    assert [switch.bundle for switch in metadata.switches] == ["new"]


@pytest.mark.parametrize("text", ["", "2;x;y;1;cold", "1;x", "1;a;b;c;d", "1;a;b;1;x;y", "hello", "1;a;b;1;s@x;t@1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        CommitMetadata.decode(text)
