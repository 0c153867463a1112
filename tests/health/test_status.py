"""Probes, status and metrics for partitions in every phase, and the reasons for being degraded."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.config.settings import Settings
from worker.core.model.bundle import Change as StreamChange
from worker.core.model.threshold import Provenance, Threshold
from worker.core.state.commit_metadata import CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import Snapshot
from worker.health.degradation import RATE_GRACE_S, STALE_AFTER_S, HealthSampler
from worker.health.metrics import metrics
from worker.health.status import TURN_S, Status
from worker.partitions.assigned import AssignedPartition, Assignment, Phase, Placed
from worker.partitions.model_feed import ModelFeed
from worker.ports.log import Change, Commit, Source, TopicPartition
from worker.telemetry import Telemetry

SOURCES = [TopicPartition("flows", i) for i in range(3)]
WALL_MS = 1_767_225_600_000
EVERY_S = 5.0


class Bench:
    """Three partitions, live at offset 50 of 60 and committed up to 40, with a snapshot at 50."""

    def __init__(self) -> None:
        self.changes = [Change(source, gained=True) for source in SOURCES]
        source = cast(Source, SimpleNamespace(changes=self._take_changes, end=lambda _: 60))
        self.now = 1_000.0
        self.assignment = Assignment(source)
        self.assignment.apply_changes(self.now)
        self.telemetry = Telemetry("flows", monotonic=lambda: self.now)
        self.feed = SimpleNamespace(latest=None, reachable=True, refused=None)
        self.stream_changes: tuple[StreamChange, ...] = ()
        self.last_turn = self.now
        plain = {"stream": "flows", "features": [{"field": "a", "kind": "numeric"}], "threshold": {"alert_rate": 0.01}}
        settings = Settings.model_validate({**plain, "state": {"snapshot_every": EVERY_S}})
        feed = cast(ModelFeed, self.feed)
        self.sampler = HealthSampler(source, self.assignment, feed, self.telemetry, settings, lambda: WALL_MS)
        self.status = Status(settings, self.assignment, lambda: self.last_turn, feed, self.telemetry, lambda: self.now)
        for assigned in self.assignment:
            self.place(assigned, Phase.LIVE)

    def _take_changes(self) -> list[Change]:
        changes, self.changes = self.changes, []
        return changes

    def place(self, assigned: AssignedPartition, phase: Phase, *, age_s: float = 1.0, at: int | None = 50) -> None:
        assigned.recovering_since = self.now
        if phase is Phase.RECOVERING:
            assigned.placed = None
            return
        state = cast(PartitionState, SimpleNamespace(next_offset=50))
        created_ms = WALL_MS - int(age_s * 1000)
        stored = cast(Snapshot, SimpleNamespace(offset=at, created_ms=created_ms)) if at is not None else None
        metadata = CommitMetadata("id", "spec", 3)
        assigned.placed = Placed(phase, "id", 0, state, metadata, target=70, committed=Commit(40, ""), stored=stored)

    def assigned(self, i: int) -> AssignedPartition:
        assigned = self.assignment.get(SOURCES[i])
        assert assigned is not None
        return assigned

    def sample(self, seconds: float = 0.0) -> Bench:
        self.now += seconds
        self.last_turn = self.now
        self.sampler.sample(self.now)
        return self

    def with_model(self, alert_rate: float = 0.01, *, at_bound: bool = False) -> Bench:
        provenance = Provenance(kind="merged", created_at="x", reason="the errors drift", at_bound=at_bound)
        threshold = Threshold(
            bundle="b", alert_rate=alert_rate, cut=1.0, n=9, histogram=((640, 9),), tail=None, provenance=provenance
        )
        versions = SimpleNamespace(bundle="b", threshold="t")
        bundle = SimpleNamespace(manifest=SimpleNamespace(changes=self.stream_changes))
        self.feed.latest = SimpleNamespace(
            version=3, kind="denoising", versions=versions, threshold=threshold, bundle=bundle
        )
        return self

    def metric(self, name: str) -> dict[tuple[str, ...], Any]:
        [metric] = [metric for metric in metrics(self.telemetry) if metric.name == f"offbeat_{name}"]
        return {labels[1:]: value for labels, value in metric.samples}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_ready_once_every_partition_is_live_with_a_model_and_kafka_answers(bench: Bench) -> None:
    assert bench.status.ready() == (False, "no model yet: collecting samples for the trainer")
    bench.with_model()
    assert bench.status.ready() == (True, "3 partitions live")
    bench.telemetry.set_stalled({}, "the bounds of a partition: timed out")
    assert bench.status.ready() == (False, "Kafka does not answer: the bounds of a partition: timed out")


def test_unready_names_the_partitions_that_are_behind_by_how_far_and_for_how_long(bench: Bench) -> None:
    bench.with_model()
    bench.place(bench.assigned(0), Phase.CATCHING_UP)
    bench.place(bench.assigned(1), Phase.RECOVERING)
    bench.assigned(1).waiting_for = "StoreUnavailable: no answer"
    bench.place(bench.assigned(2), Phase.COLD)
    bench.now += 4.0
    bench.place(bench.assigned(2), Phase.COLD)
    assert bench.status.ready() == (
        False,
        "flows/0 catching up, 20 records to go, blind for 4.0 s; "
        "flows/1 recovering: StoreUnavailable: no answer, blind for 4.0 s; flows/2 cold",
    )


def test_recovery_is_measured(bench: Bench) -> None:
    assert bench.sample().metric("blind_now_seconds") == {(): 0.0}
    bench.place(bench.assigned(0), Phase.RECOVERING)
    bench.now += 2.0
    bench.place(bench.assigned(1), Phase.CATCHING_UP)
    bench.place(bench.assigned(2), Phase.COLD)
    bench.telemetry.count_catch_up(600)
    bench.sample(1.0)
    assert bench.metric("blind_now_seconds") == {(): 3.0}
    assert bench.metric("recovering_partitions") == {(): 2}
    assert bench.metric("catch_up_to_go_records") == {(): 20}
    assert bench.metric("catch_up_rate") == {(): 200.0}
    assert bench.status.status()["recovery"] == {
        "blind_seconds_now": 3.0,
        "records_to_go": 20,
        "records_per_second": 200.0,
    }
    for assigned in bench.assignment:
        bench.place(assigned, Phase.LIVE)
    bench.sample(1.0)
    assert bench.metric("blind_now_seconds") == bench.metric("catch_up_to_go_records") == {(): 0}


def test_liveness_depends_on_the_loop_and_on_stalled_partitions_alone(bench: Bench) -> None:
    bench.feed.reachable, bench.feed.refused = False, "bundle b is not in Redis"
    bench.telemetry.set_stalled({}, "timed out")
    for assigned in bench.assignment:
        bench.place(assigned, Phase.RECOVERING)
    bench.sample()
    assert bench.status.live() == (True, "last turn 0.0 s ago")
    bench.telemetry.set_stalled({SOURCES[1]: 47}, "timed out")
    assert bench.status.live() == (False, "stalled, though there is more to read: flows/1 at offset 47")
    bench.telemetry.set_stalled({}, "")
    bench.now += TURN_S
    assert bench.status.live() == (False, f"last turn {TURN_S:.1f} s ago")


def test_a_stalled_partition_has_its_label_only_as_long_as_it_is_stalled(bench: Bench) -> None:
    bench.with_model().telemetry.set_stalled({SOURCES[1]: 47}, "")
    assert bench.metric("partition_stalled") == {("flows", "1"): 1}
    assert [partition["stalled"] for partition in bench.status.status()["partitions"]] == [False, True, False]
    assert bench.sample().telemetry.health.degraded == {"stalled": "flows/1"}
    bench.telemetry.set_stalled({}, "")
    assert bench.metric("partition_stalled") == {}


def test_lag_goes_with_the_partition(bench: Bench) -> None:
    assert bench.sample().metric("lag_records") == {("flows", str(i)): 20 for i in range(3)}
    bench.changes.append(Change(SOURCES[1], gained=False))
    bench.assignment.apply_changes(bench.now)
    assert bench.sample().metric("lag_records") == {("flows", "0"): 20, ("flows", "2"): 20}


def test_the_age_is_that_of_the_oldest_snapshot_that_lacks_records(bench: Bench) -> None:
    assert bench.sample().metric("snapshot_age_seconds") == {(): 0.0}  # they lack no records, however old
    bench.place(bench.assigned(0), Phase.LIVE, age_s=7.5, at=49)
    bench.place(bench.assigned(1), Phase.LIVE, age_s=3.0, at=49)
    bench.place(bench.assigned(2), Phase.CATCHING_UP, age_s=900.0, at=49)
    assert bench.sample().metric("snapshot_age_seconds") == {(): 7.5}
    bench.place(bench.assigned(0), Phase.LIVE, at=None)  # no snapshot since it went live
    assert bench.sample(30.0).metric("snapshot_age_seconds") == {(): 30.0}


def test_every_reason_for_being_degraded_is_named(bench: Bench) -> None:
    assert bench.sample().telemetry.health.degraded == {}
    bench.place(bench.assigned(0), Phase.LIVE, age_s=EVERY_S + STALE_AFTER_S, at=49)
    assert bench.sample().telemetry.health.degraded == {}
    bench.place(bench.assigned(0), Phase.LIVE, age_s=EVERY_S + STALE_AFTER_S + 1, at=49)
    bench.feed.reachable, bench.feed.refused = False, "bundle b: its content has another digest"
    bench.telemetry.set_stalled({}, "the bounds of a partition: timed out")
    assert bench.sample().telemetry.health.degraded == {
        "redis": "unreachable: scoring goes on with what is in memory",
        "champion": "bundle b: its content has another digest",
        "snapshots": "none stored for 66 s: a restart replays what came since",
        "kafka": "no answer: the bounds of a partition: timed out",
    }
    assert set(bench.metric("degraded")) == {("redis",), ("champion",), ("snapshots",), ("kafka",)}
    assert json.loads(json.dumps(bench.status.status()))["degraded"] == bench.telemetry.health.degraded


def test_a_threshold_at_its_bound_is_said() -> None:
    bench = Bench().with_model(at_bound=True)
    bench.telemetry.set_model(SimpleNamespace(version=3, created_ms=0, threshold=bench.feed.latest.threshold))  # type: ignore[arg-type]
    assert bench.status.status()["model"]["drift"] == "the errors drift"
    assert bench.metric("threshold_at_bound") == {(): 1}
    assert Bench().with_model().status.status()["model"]["drift"] is None


def test_another_alert_rate_that_stays_is_degraded_and_names_both() -> None:
    bench = Bench().with_model(alert_rate=0.02).sample()
    assert "alert_rate" not in bench.telemetry.health.degraded
    bench.sample(RATE_GRACE_S)
    assert "is for 0.02, threshold.alert_rate is 0.01" in bench.telemetry.health.degraded["alert_rate"]
    model = bench.status.status()["model"]
    assert (model["alert_rate"], model["alert_rate_configured"]) == (0.02, 0.01)
    bench.with_model().sample(1.0)
    assert "alert_rate" not in bench.telemetry.health.degraded


def test_what_has_changed_for_good_in_the_stream_is_told_with_its_begin(bench: Bench) -> None:
    bench.stream_changes = (
        StreamChange(field="unit", before="ms", after="s in 100 %", since=WALL_MS, hint="perhaps another unit"),
        StreamChange(field="proto", before="TCP", after="tcp in 60 %", since=None, hint=""),
    )
    first, second = json.loads(json.dumps(bench.with_model().status.status()))["changes"]
    assert first["since"] == "2026-01-01T00:00:00.000Z" and first["hint"] == "perhaps another unit"
    assert second == {"field": "proto", "before": "TCP", "after": "tcp in 60 %", "since": None, "hint": ""}
