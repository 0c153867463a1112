"""The trainer on a real Redis, with commits made by hand: first model, fine-tunes, lease."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import redis
import yaml

from tests.core.examples import SPEC, rows
from training.learn.corpus import corpus_of
from training.trainer import Stores, Trainer
from worker.adapters.redis_lease import RedisLease
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_samples import RedisSamples
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.config.load import load
from worker.core.events.columns import to_bytes
from worker.core.events.event_time import EventTimes
from worker.core.model.serving_model import Versions
from worker.core.state.capture import capture_state
from worker.core.state.commit_metadata import Base, CommitMetadata
from worker.core.state.partition_state import PartitionState, ScoredRows
from worker.core.state.reservoir import held_out
from worker.lifecycle import StopToken
from worker.ports.log import Committed, TopicPartition

SOURCE = TopicPartition("t", 0)


class Bench:
    """A trainer with a clock that the test sets, and the stores that it reads and writes."""

    def __init__(self, redis_url: str, stream: str, folder: Path) -> None:
        path = self.path = folder / "c.yaml"
        plain = {
            "stream": stream,
            "features": [feature.model_dump() for feature in SPEC.features],
            "threshold": {"alert_rate": 0.02},
            "fine_tune": {"every": 100, "events": 3_000, "at_most_every": 10},
        }
        path.write_text(yaml.safe_dump(plain))
        self.settings = load(path, {})
        self.client = redis.Redis.from_url(redis_url)
        self.stream = stream
        self.registry = RedisRegistry(self.client, stream)
        self.samples = RedisSamples(self.client, stream)
        self.snapshots = RedisSnapshots(self.client, stream)
        self.commits: dict[TopicPartition, Committed] = {}
        self.now = 0.0
        self.trainer = self.new_trainer()

    def new_trainer(self) -> Trainer:
        stores = Stores(
            self.registry, self.samples, self.snapshots, RedisLease(self.client, self.stream), lambda: self.commits
        )
        return Trainer(self.settings, stores, StopToken(), monotonic=lambda: self.now)

    def add_samples(self, count: int) -> None:
        for start in range(0, count, 256):
            self.samples.add("id", "t", 0, start, to_bytes(rows(256, seed=start), SPEC), 256)

    def champion(self) -> int | None:
        champion = self.registry.champion(SPEC.spec_hash)
        return champion.version if champion is not None else None

    def advance_stream(self, count: int, offset: int) -> None:
        """Do as a worker that scores `count` more rows with the champion, writes a snapshot and commits its name."""
        champion = self.registry.champion(SPEC.spec_hash)
        assert champion is not None
        model = Versions(champion.bundle, champion.threshold)
        detector, threshold = self.registry.bundle(model.bundle).detector(), self.registry.threshold(model.threshold)
        state = PartitionState(SPEC, "id", 0, 0, 60_000)
        state.adopt(model)
        for start in range(0, count, 1_000):
            columns = rows(1_000, seed=offset + start)
            offsets = np.arange(offset + start, offset + start + 1_000)
            errors = detector.errors(detector.encoder.transform(columns))
            times = EventTimes(offsets * 10, offsets * 10, 0)
            flagged = threshold.flag(errors)
            scored = ScoredRows(offsets, times, columns, errors, threshold.p_buckets(errors), flagged, errors < np.inf)
            state.fold(scored, ())
        state.next_offset = offset + count
        snapshot = capture_state(state, SOURCE.topic, None, (), 1).encode()
        self.snapshots.put(snapshot)
        metadata = CommitMetadata("id", SPEC.spec_hash.removeprefix("sha256:")[:16], 1).with_base(
            Base(snapshot.id, snapshot.offset)
        )
        self.commits = {SOURCE: Committed(snapshot.offset, metadata.encode())}


@pytest.fixture
def bench(redis_url: str, stream: str, tmp_path: Path) -> Bench:
    return Bench(redis_url, stream, tmp_path)


def test_the_first_model_comes_with_enough_rows_and_only_one_trainer_makes_it(bench: Bench) -> None:
    idle = bench.new_trainer()
    bench.add_samples(1_024)
    bench.trainer.tick()
    idle.tick()
    assert bench.champion() is None
    bench.add_samples(2_048)
    idle.tick()  # the other trainer holds the lease
    assert bench.champion() is None
    bench.trainer.tick()
    assert bench.champion() == 1
    assert bench.samples.rows() == 0


def test_a_first_model_comes_from_few_rows_if_the_stream_pauses(bench: Bench) -> None:
    bench.add_samples(256)
    bench.trainer.tick()
    bench.now = 9.0
    bench.trainer.tick()
    assert bench.champion() is None
    bench.now = 11.0
    bench.trainer.tick()
    assert bench.champion() == 1


def test_fine_tunes_come_by_events_or_time_and_never_too_often(bench: Bench) -> None:
    bench.add_samples(2_048)
    bench.trainer.tick()
    bench.advance_stream(5_000, offset=0)
    bench.trainer.tick()  # the first tick with a champion: it counts from here
    bench.advance_stream(5_000, offset=5_000)
    bench.now = 9.0
    bench.trainer.tick()
    assert bench.champion() == 1
    bench.now = 11.0
    bench.trainer.tick()
    assert bench.champion() == 2
    info = bench.registry.bundles()[0]
    assert info.parent == bench.registry.history(SPEC.spec_hash)[1].bundle
    bench.now = 100.0
    bench.trainer.tick()
    assert bench.champion() == 2
    bench.now = 112.0
    bench.trainer.tick()
    assert bench.champion() == 3


def test_a_snapshot_that_no_commit_names_is_not_trained_on(bench: Bench) -> None:
    bench.add_samples(2_048)
    bench.trainer.tick()
    bench.advance_stream(5_000, offset=0)
    bench.commits = {SOURCE: Committed(5_000, "")}
    bench.trainer.tick()
    bench.now = 200.0
    bench.trainer.tick()
    assert bench.champion() == 1


def test_an_operators_rollback_fences_the_trainer_that_was_training(bench: Bench) -> None:
    bench.add_samples(2_048)
    bench.trainer.tick()
    champion = bench.registry.champion(SPEC.spec_hash)
    assert champion is not None
    newer = type(champion)(champion.bundle, champion.threshold, champion.version, bench.registry.next_token())
    assert bench.registry.promote(SPEC.spec_hash, newer)
    bench.advance_stream(5_000, offset=0)
    bench.trainer.tick()
    bench.now = 4.0
    bench.trainer.tick()
    bench.now = 101.0
    bench.trainer.tick()
    assert bench.champion() == 1


def test_no_calibration_row_was_ever_trained_on(bench: Bench) -> None:
    bench.add_samples(2_048)
    bench.trainer.tick()
    bench.advance_stream(6_000, offset=0)
    (_, state) = bench.trainer._states(bench.commits)[0]
    state.recent.half_life = 3_000.0
    corpus = corpus_of(SPEC, [("t", state)], {})
    aside = held_out(state.seed, state.recent.offsets)
    assert set(corpus.calibrate.values[0]) == set(state.recent.columns.values[0][aside])
    assert set(corpus.fit.values[0]).isdisjoint(corpus.calibrate.values[0])
    recent = set(state.recent.columns.values[0][state.recent.best(4_000)])
    lasting = set(corpus.fit.values[0]) - recent
    assert 0 < len(lasting) <= 600
    assert corpus.ranges == {"t/0": [0, 5_999]}
    assert corpus.fresh.all()


def test_the_rows_that_came_after_the_champions_are_fresh(bench: Bench) -> None:
    bench.add_samples(2_048)
    bench.trainer.tick()
    bench.advance_stream(6_000, offset=0)
    (_, state) = bench.trainer._states(bench.commits)[0]
    state.recent.half_life = 3_000.0
    corpus = corpus_of(SPEC, [("t", state)], {"t/0": (0, 4_499), "t/1": (0, 9_999)})
    old = {*state.recent.columns.values[0][state.recent.offsets <= 4_499]}
    old |= {*state.lasting.columns.values[0][state.lasting.offsets <= 4_499]}
    assert 0.0 < corpus.fresh.mean() < 1.0
    assert [value in old for value in corpus.fit.values[0]] == (~corpus.fresh).tolist()


def test_a_changed_alert_rate_takes_effect_at_the_start_and_after_a_rollback(bench: Bench) -> None:
    bench.add_samples(2_048)
    bench.trainer.tick()
    first = bench.registry.champion(SPEC.spec_hash)
    assert first is not None
    before = bench.registry.threshold(first.threshold)
    plain = yaml.safe_load(bench.path.read_text())
    plain["threshold"]["alert_rate"] = 0.005
    bench.path.write_text(yaml.safe_dump(plain))
    bench.settings = load(bench.path, {})
    bench.trainer._stores.lease.release()  # the old trainer stops
    bench.trainer = bench.new_trainer()
    bench.trainer.tick()
    champion = bench.registry.champion(SPEC.spec_hash)
    assert champion is not None and champion.bundle == first.bundle
    after = bench.registry.threshold(champion.threshold)
    assert after.provenance.kind == "operator"
    assert after.provenance.reason == "alert_rate changed from 0.02 to 0.005"
    assert after.parent == first.threshold
    assert after.alert_rate == 0.005 and after.cut > before.cut
    operators = type(first)(first.bundle, first.threshold, first.version, bench.registry.next_token())
    assert bench.registry.promote(SPEC.spec_hash, operators)
    bench.trainer.tick()  # notices the operator's token, and gives the lease up
    bench.trainer.tick()
    again = bench.registry.champion(SPEC.spec_hash)
    assert again is not None and again.token > operators.token
    assert bench.registry.threshold(again.threshold).alert_rate == 0.005
