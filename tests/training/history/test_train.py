"""`offbeat train`: the first model from a file and from a topic's history, on a real Kafka and a real Redis."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
import redis
import yaml
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

import training.history.history
import training.history.train_command
from tests.scenarios.stream import FEATURES, encoded, events
from tests.services.kafka import KafkaCluster
from training.history.cli import train
from training.history.history import History, read_history
from training.history.train_command import Options, Summary, run_training
from training.learn.versioning import Trained, train_version
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_samples import RedisSamples
from worker.cli import cli
from worker.config.load import load
from worker.config.settings import Settings
from worker.core.events.columns import Columns, from_table
from worker.core.events.decode import Limits, decoder_for
from worker.core.model.serving_model import ServingModel
from worker.errors import BundleRefused, ConfigError, DependencyUnreachable, OffbeatError
from worker.partitions.serving import ModelFeed
from worker.ports.stores import Champion

OPTIONS = Options(file=None, rows=None, since_ms=None, label=None, seed=0, replace=False, promote=True)
START_MS = 1_767_225_600_000  # 2026-01-01


@contextmanager
def unseen(name: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


class Case:
    """A configuration for one stream, and what is in its registry."""

    def __init__(self, folder: Path, stream: str, redis_url: str, bootstrap: str = "127.0.0.1:1") -> None:
        self.folder, self.stream, self.path = folder, stream, folder / f"{stream}.yaml"
        self._plain: dict[str, Any] = {
            "stream": stream,
            "kafka": {"bootstrap_servers": bootstrap},
            "redis": {"url": redis_url},
            "event": {"entity": "host"},
            "features": FEATURES,
            "threshold": {"alert_rate": 0.01},
        }
        self.settings = self.configured()
        self.client = redis.Redis.from_url(redis_url)
        self.registry = RedisRegistry(self.client, stream)

    def configured(self, **sections: Any) -> Settings:
        self.path.write_text(yaml.safe_dump({**self._plain, **sections}))
        self.settings = load(self.path, {})
        return self.settings

    def train(self, **options: Any) -> Summary:
        return run_training(self.settings, replace(OPTIONS, **options), unseen)

    def refusal(self, **options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.train(**options)
        assert caught.value.exit_code == 2
        return str(caught.value)

    def serving(self) -> ServingModel | None:
        """As a worker loads it."""
        feed = ModelFeed(self.registry, self.settings.spec.spec_hash)
        feed.refresh()
        assert (feed.reachable, feed.refused) == (True, None)
        return feed.latest

    def weights(self, version: int) -> str:
        info = next(info for info in self.registry.bundles() if info.version == version)
        return self.registry.bundle(info.digest).manifest.weights_sha256

    def file(self, rows: Sequence[dict[str, Any]], name: str = "events.jsonl") -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "worker.cli", "train", "-c", str(self.path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def case(tmp_path: Path, stream: str, redis_url: str) -> Case:
    return Case(tmp_path, stream, redis_url)


@pytest.fixture
def topic(tmp_path: Path, stream: str, redis_url: str, kafka: KafkaCluster) -> Case:
    """With a topic of three partitions."""
    kafka.create_topic(stream, 3)
    return Case(tmp_path, stream, redis_url, kafka.bootstrap)


def dotted(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**{k: v for k, v in row.items() if k != "proto"}, "proto.name": row["proto"]["name"]} for row in rows]


def columns(rows: Sequence[dict[str, Any]], settings: Settings) -> Columns:
    flat = dotted(rows)
    return from_table({name: [row[name] for row in flat] for name in flat[0]}, settings.spec)


def few(count: int = 300) -> list[dict[str, Any]]:
    return events(count, every=count + 1)


# From a file.


def test_a_file_gives_a_champion_that_a_worker_loads_and_that_tells_anomalies(case: Case) -> None:
    summary = case.train(file=case.file(events(2_000, every=2_001)))
    model = case.serving()
    assert model is not None
    assert (model.version, model.versions.bundle, model.versions.threshold) == (1, summary.digest, summary.threshold)
    assert (summary.version, summary.serves, summary.served) == (1, 1, None)
    assert (summary.rows_read, summary.rejected, summary.anomalous) == (2_000, 0, 0)
    assert summary.rows_fitted + summary.rows_calibrated == 2_000
    assert (summary.alert_rate, summary.cut) == (0.01, model.threshold.cut)
    judged = events(1_000, every=10, seed=5)
    flagged = model.threshold.flagged(
        model.detector.errors(model.detector.encoder.transform(columns(judged, case.settings)))
    )
    anomalies = np.arange(1_000) % 10 == 9
    assert flagged[anomalies].all()
    assert flagged[~anomalies].mean() < 0.05


def test_csv_parquet_and_json_lines_of_the_same_rows_give_the_same_weights(case: Case, redis_url: str) -> None:
    rows = few()
    flat = dotted(rows)
    with (case.folder / "events.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)
    pa_parquet.write_table(pa.Table.from_pylist(rows), case.folder / "events.parquet")
    case.file(rows)
    found = set()
    for ending in ("jsonl", "csv", "parquet"):
        other = Case(case.folder, f"{case.stream}-{ending}", redis_url)
        other.train(file=case.folder / f"events.{ending}")
        found.add(other.weights(1))
    assert len(found) == 1


def test_rows_are_taken_in_the_order_of_their_event_times(case: Case, redis_url: str) -> None:
    rows = [{**row, "ts": f"2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z"} for i, row in enumerate(few())]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]

    def weights(name: str, given: list[dict[str, Any]], time: str) -> str:
        other = Case(case.folder, f"{case.stream}-{name}", redis_url)
        other.configured(event={"entity": "host", "time": time})
        other.train(file=case.file(given, f"{name}.jsonl"))
        return other.weights(1)

    assert weights("sorted", rows, "ts") == weights("shuffled", shuffled, "ts")
    assert weights("unsorted", shuffled, "not-in-the-file") != weights("again", rows, "not-in-the-file")


def test_a_label_is_no_feature_and_what_it_marks_is_left_out(case: Case, redis_url: str) -> None:
    rows = events(400, every=10)
    labelled = [{**row, "bad": "yes" if row["duration"] == 60.0 else "no"} for row in rows]
    summary = case.train(file=case.file(labelled), label="bad")
    assert (summary.rows_read, summary.anomalous) == (400, 40)
    assert summary.rows_fitted + summary.rows_calibrated == 360
    clean = Case(case.folder, f"{case.stream}-clean", redis_url)
    clean.train(file=clean.file([row for row in rows if row["duration"] != 60.0], "clean.jsonl"))
    assert case.weights(1) == clean.weights(1)


def test_rows_that_the_worker_would_reject_are_not_learnt_from(case: Case) -> None:
    strict = [{**feature, "missing": "reject"} if feature["field"] == "bytes" else feature for feature in FEATURES]
    case.configured(features=strict)
    rows = [{**row, "bytes": None} if i % 10 == 0 else row for i, row in enumerate(few())]
    summary = case.train(file=case.file(rows))
    assert (summary.rows_read, summary.rejected, summary.reasons) == (300, 30, {"bytes: missing": 30})
    assert summary.rows_fitted + summary.rows_calibrated == 270


def test_what_the_file_lacks_is_named_with_what_it_has(case: Case) -> None:
    rows = [{"id": row["id"], "duration": row["duration"], "proto": row["proto"]} for row in few()]
    said = case.refusal(file=case.file(rows))
    assert said == "features.0: events.jsonl has no column 'bytes'; it has: id, duration, proto.name"
    assert "--label: events.jsonl has no column 'bad'" in case.refusal(file=case.file(few()), label="bad")
    said = case.refusal(file=case.file(few()), label="duration")
    assert said == "features.1: 'duration' is the --label column, which is never a feature"
    assert "only 127 events" in case.refusal(file=case.file(few(127)))
    case.configured(features=[{"field": "proto.name", "kind": "numeric"}])
    assert "proto.name: not numeric" in case.refusal(file=case.file(few()))
    assert case.registry.next_version() == 1  # no refusal has cost a number


def test_a_window_is_attached_by_entity(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Columns] = []

    def kept(settings: Settings, rows: Columns, **named: Any) -> Trained:
        seen.append(rows)
        return train_version(settings, rows, **named)

    monkeypatch.setattr(training.history.train_command, "train_version", kept)
    case.configured(model={"window": 2})
    case.train(file=case.file(few()))
    lags = seen[0].lags
    assert lags is not None
    assert lags[100].tolist() == [100, 93]  # seven hosts take turns
    model = case.serving()
    assert model is not None
    assert model.detector.encoder.spec.window == 2
    nobody = [{k: v for k, v in row.items() if k != "host"} for row in few()]
    said = case.refusal(file=case.file(nobody), replace=True)
    assert said == "event.entity: events.jsonl has no column 'host'; it has: id, bytes, duration, proto.name"
    case.configured(model={"window": 2}, event={})
    assert "required for rates and model.window above 1" in case.refusal(file=case.file(few()))


# What serves.


def test_a_champion_is_replaced_only_when_asked(case: Case) -> None:
    file = case.file(few())
    case.train(file=file)
    first = case.serving()
    assert first is not None
    assert case.refusal(file=file).startswith(f"version 1 ({first.versions.bundle}) serves already; --replace")
    stored = case.train(file=file, promote=False)
    assert (stored.version, stored.serves, stored.served) == (2, 1, 1)
    still = case.serving()
    assert still is not None
    assert still.version == 1
    replaced = case.train(file=file, replace=True)
    assert (replaced.version, replaced.serves, replaced.served) == (3, 3, 1)
    assert [past.version for past in case.registry.history(case.settings.spec.spec_hash)] == [3, 1]
    assert [info.version for info in case.registry.bundles()] == [3, 2, 1]
    assert case.registry.bundle(replaced.digest).manifest.parent is None


def test_without_promotion_nothing_serves(case: Case) -> None:
    summary = case.train(file=case.file(few()), promote=False)
    assert (summary.version, summary.serves) == (1, None)
    assert case.serving() is None
    assert case.registry.thresholds(summary.digest) == [summary.threshold]


def test_with_a_key_the_version_is_signed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFBEAT_SIGNING_KEY", "a key")
    summary = case.train(file=case.file(few()))
    RedisRegistry(case.client, case.stream, b"a key").bundle(summary.digest)
    RedisRegistry(case.client, case.stream, b"a key").threshold(summary.threshold)
    with pytest.raises(BundleRefused, match="the signature is wrong"):
        RedisRegistry(case.client, case.stream, b"another").bundle(summary.digest)


def test_samples_of_a_cold_start_go_with_the_promotion(case: Case) -> None:
    samples = RedisSamples(case.client, case.stream)
    samples.add("id", case.stream, 0, 0, b"", 5)
    case.train(file=case.file(few()), promote=False)
    assert samples.rows() == 5
    case.train(file=case.file(few()))
    assert samples.rows() == 0


def test_a_model_that_came_to_serve_meanwhile_is_left_alone(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def raced(*arguments: Any, **named: Any) -> Trained:
        rival = train_version(*arguments, **{**named, "version": case.registry.next_version()})
        case.registry.put_bundle(rival.bundle)
        case.registry.put_threshold(rival.threshold)
        champion = Champion(rival.bundle.digest, rival.threshold.digest(), 2, case.registry.next_token())
        assert case.registry.promote(case.settings.spec.spec_hash, champion)
        return train_version(*arguments, **named)

    monkeypatch.setattr(training.history.train_command, "train_version", raced)
    with pytest.raises(OffbeatError, match="version 2 came to serve while this one was trained; version 1 is stored"):
        case.train(file=case.file(few()))
    model = case.serving()
    assert model is not None
    assert model.version == 2
    assert [info.version for info in case.registry.bundles()] == [2, 1]


@pytest.mark.parametrize("call", ["put_threshold", "promote"])
def test_a_crash_half_way_leaves_no_champion(case: Case, call: str) -> None:
    """Killed just before the write."""
    file = str(case.file(few()))
    code = (
        "import os, signal, sys; from worker.adapters.redis_registry import RedisRegistry; from worker.cli import main;"
        f"RedisRegistry.{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        f"sys.argv = ['offbeat', 'train', '-c', {str(case.path)!r}, '--from', {file!r}]; main()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == -signal.SIGKILL
    assert case.serving() is None
    assert case.train(file=Path(file)).serves == 2
    model = case.serving()
    assert model is not None
    assert model.version == 2


# From a topic.


def produce(
    cluster: KafkaCluster, topic: str, partition: int, rows: Sequence[dict[str, Any]], from_ms: int, step_ms: int = 1
) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for i, value in enumerate(encoded(rows)):
        producer.produce(topic, value, f"k{partition}".encode(), partition, timestamp=from_ms + i * step_ms)
    assert producer.flush(60) == 0


def history(case: Case, rows: int | None = None, since_ms: int | None = None) -> History:
    decoder = decoder_for("json", case.settings.spec, Limits())
    return read_history(case.settings, decoder, rows, since_ms, lambda done, total: None)


def test_a_topics_history_gives_a_champion_and_what_is_no_event_is_counted(topic: Case, kafka: KafkaCluster) -> None:
    for partition in range(3):
        produce(kafka, topic.stream, partition, events(400, every=500, seed=partition), START_MS)
    kafka.produce(topic.stream, [b"{", b'{"bytes": "many", "duration": true}', None, None, None], partition=1)
    summary = topic.train()
    assert (summary.rows_read, summary.rejected, summary.tombstones) == (1_205, 2, 3)
    assert summary.rows_fitted + summary.rows_calibrated == 1_200
    assert summary.reasons["bytes: text where a number is expected"] == 1
    assert summary.reasons["duration: true or false where a number is expected"] == 1
    model = topic.serving()
    assert model is not None
    assert model.version == summary.serves == 1
    ranges = topic.registry.bundle(model.versions.bundle).manifest.data
    assert ranges == {f"{topic.stream}/0": (0, 399), f"{topic.stream}/1": (0, 404), f"{topic.stream}/2": (0, 399)}


def test_no_group_is_joined_and_nothing_committed(topic: Case, kafka: KafkaCluster) -> None:
    kafka.produce(topic.stream, encoded(few()))
    topic.train()
    listed = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_consumer_groups().result()
    assert topic.settings.kafka.group not in {group.group_id for group in listed.valid}


def test_partitions_are_merged_in_event_time_order(topic: Case, kafka: KafkaCluster) -> None:
    features = [{"field": "n", "kind": "numeric"}, {"field": "ts", "kind": "cyclic", "period": "day"}]
    topic.configured(event={"time": "ts"}, features=features)
    # Event n happens at second n, and every third is in one partition. Two come in the wrong order, and one names no
    # time: its record's counts.
    for partition in range(3):
        numbers = list(range(partition, 300, 3))
        numbers[5], numbers[6] = numbers[6], numbers[5]
        rows = [{"n": n} if n == 151 else {"n": n, "ts": START_MS / 1000 + n} for n in numbers]
        produce(kafka, topic.stream, partition, rows, START_MS + 1_000 * partition, step_ms=3_000)
    found = history(topic)
    assert found.columns.values[0].tolist() == list(range(300))


def test_history_gives_events_the_past_that_the_worker_gives_them(topic: Case, kafka: KafkaCluster) -> None:
    """A rate's columns: per partition and entity, the record's key where the event names none."""
    topic.configured(event={"time": "ts"}, features=[{"field": "n", "kind": "rate", "half_life": "1h"}])
    for partition in range(3):
        rows = [{"n": 10 * partition + i % 2, "ts": START_MS / 1000 + i} for i in range(100)]
        produce(kafka, topic.stream, partition, rows, START_MS, step_ms=1_000)
    found, names = history(topic).columns, topic.settings.spec.names
    means = found.values[names.index("n:mean:3600s")]
    assert np.isnan(means[:3]).all()
    # The last of each partition, whose entity is its own key: half of its records were odd.
    assert sorted(np.round(means[-3:], 2)) == pytest.approx([0.5, 10.5, 20.5], abs=0.02)
    assert found.values[names.index("n:gap:3600s")][-1] == 1.0


def test_the_newest_rows_are_spread_over_the_partitions(topic: Case, kafka: KafkaCluster) -> None:
    for partition, count in enumerate((400, 10, 300)):
        produce(kafka, topic.stream, partition, few(count), START_MS)
    found = history(topic, rows=210)
    name = topic.stream
    assert found.ranges == {f"{name}/0": [300, 399], f"{name}/1": [0, 9], f"{name}/2": [200, 299]}
    assert (found.read, len(found.columns)) == (210, 210)
    assert history(topic, rows=1_000).read == 710
    assert history(topic).read == 710


def test_since_bounds_by_the_records_timestamp(topic: Case, kafka: KafkaCluster) -> None:
    for partition in (0, 1):
        produce(kafka, topic.stream, partition, few(400), START_MS + partition * 100)
    found = history(topic, since_ms=START_MS + 300)
    assert found.ranges == {f"{topic.stream}/0": [300, 399], f"{topic.stream}/1": [200, 399]}
    both = history(topic, rows=100, since_ms=START_MS + 300)
    assert both.ranges == {f"{topic.stream}/0": [350, 399], f"{topic.stream}/1": [350, 399]}
    with pytest.raises(ConfigError, match="has no records from the time on that --since says"):
        history(topic, since_ms=START_MS + 10_000)


@pytest.mark.parametrize("batch_s", [0.05, 1.5])
def test_only_committed_records_are_read_up_to_a_transactions_end(
    topic: Case, kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch, batch_s: float
) -> None:
    """The last offset is a marker, behind it an open transaction; the end is told after the records or with them."""
    monkeypatch.setattr(training.history.history, "_BATCH_S", batch_s)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic.stream})
    producer.init_transactions(30)
    for commits in (True, False, True, None):
        producer.begin_transaction()
        for value in encoded(few(50)):
            producer.produce(topic.stream, value, partition=0)
        producer.flush(30)
        if commits is not None:
            (producer.commit_transaction if commits else producer.abort_transaction)(30)
    began = time.monotonic()
    found = history(topic)
    assert time.monotonic() - began < 10
    assert (found.read, found.ranges) == (100, {f"{topic.stream}/0": [0, 151]})
    producer.abort_transaction(30)


def test_what_retention_takes_meanwhile_is_skipped_and_what_comes_is_not_read(
    topic: Case, kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.produce(topic.stream, encoded(few(400)), partition=0)
    spans = training.history.history._spans

    def late(*arguments: Any) -> Any:
        found = spans(*arguments)
        kafka.delete_records(topic.stream, 0, 150)
        kafka.produce(topic.stream, encoded(few(50)), partition=0)
        return found

    monkeypatch.setattr(training.history.history, "_spans", late)
    found = history(topic)
    assert (found.read, found.ranges) == (250, {f"{topic.stream}/0": [150, 399]})


def test_a_pattern_reads_every_topic_that_it_matches(topic: Case, kafka: KafkaCluster) -> None:
    kafka.create_topic(f"{topic.stream}-b", 1)
    kafka.produce(topic.stream, encoded(few(10)))
    kafka.produce(f"{topic.stream}-b", encoded(few(20)))
    kafka_section = {"bootstrap_servers": kafka.bootstrap, "alerts": "out"}
    topic.configured(kafka={**kafka_section, "events": f"^{topic.stream}(-b)?$"})
    assert history(topic).read == 30


def test_a_topic_that_is_missing_empty_or_holds_no_event_is_said(topic: Case, kafka: KafkaCluster) -> None:
    assert topic.refusal() == f"kafka.events: topic {topic.stream!r} has no records; --from trains from a file"
    kafka.produce(topic.stream, [None, None])
    assert topic.refusal() == "kafka.events: none of 2 records is an event: all are tombstones"
    kafka.produce(topic.stream, [b'{"bytes": "many"}'] * 5)
    said = topic.refusal()
    assert said == "kafka.events: none of 7 records is an event: bytes: text where a number is expected (5)"
    kafka.produce(topic.stream, encoded(few(20)))
    assert "only 20 events" in topic.refusal()
    section = {"bootstrap_servers": kafka.bootstrap}
    topic.configured(kafka={**section, "events": [topic.stream, "nowhere"]})
    assert topic.refusal() == "kafka.events: there is no topic 'nowhere'"
    kafka.create_topic(f"{topic.stream}-quiet", 1)
    topic.configured(kafka={**section, "events": [topic.stream, f"{topic.stream}-quiet"]})
    assert f"topic '{topic.stream}-quiet' has no records" in topic.refusal()


def test_a_kafka_or_redis_that_does_not_answer_is_exit_code_3(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.history.history, "ANSWER_S", 0.5)
    with pytest.raises(DependencyUnreachable, match=r"kafka\.bootstrap_servers: no broker answered at 127\.0\.0\.1:1"):
        case.train()
    case.configured(redis={"url": "redis://:secret-word@127.0.0.1:1/0"})
    with pytest.raises(DependencyUnreachable, match=r"redis\.url") as caught:
        case.train(file=case.file(few()))
    assert caught.value.exit_code == 3
    assert "secret-word" not in str(caught.value)


# The command.


def test_json_is_one_document_on_stdout_and_logs_are_on_stderr(case: Case) -> None:
    done = case.call("--from", str(case.file(few())), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["version"], document["serves"], document["rows_read"]) == (1, 1, 300)
    assert document["seconds"] > 0
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in logged] == ["history_read", "promoted"]
    model = case.serving()
    assert model is not None
    assert model.versions.bundle == document["digest"]


def test_a_terminal_sees_progress_and_a_summary(case: Case) -> None:
    file = case.file([{**row, "bad": row["duration"] == 60.0} for row in events(400, every=10)])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worker.cli", "train", "-c", str(case.path), "--from", str(file), "--label", "bad"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # its end, on Linux
                break
        assert process.stdout is not None
        told = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0, shown
    assert b"reading" in shown
    assert b"training" in shown
    lines = told.splitlines()
    assert lines[0] == f"rows read      400 of {file}"
    assert "anomalous      40 left out, as labelled" in lines
    assert "serves now     version 1" in lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "a.csv", "--rows", "5"], "a file (--from) is read whole"),
        (["--from", "a.csv", "--since", "2026-01-01T00:00:00Z"], "a file (--from) is read whole"),
        (["--label", "bad"], "it goes with --from"),
        (["--replace", "--no-promote"], "exclude each other"),
        (["--since", "yesterday"], "'yesterday' is not a time with its zone, such as 2026-01-01T00:00:00Z"),
        (["--since", "2026-01-01"], "is not a time with its zone"),
        (["--rows", "0"], "Invalid value for '--rows'"),
    ],
)
def test_a_wrong_command_line_is_refused(case: Case, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(train, ["-c", str(case.path), *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_missing_file_is_exit_code_2(case: Case) -> None:
    done = case.call("--from", "nowhere.csv")
    assert done.returncode == 2
    assert done.stderr == "offbeat: nowhere.csv: no such file\n"


def test_help_has_examples() -> None:
    done = CliRunner().invoke(cli, ["train", "--help"])
    assert done.exit_code == 0
    assert "Examples:" in done.output
    assert "offbeat train -c offbeat.yaml --from events.csv --label is_fraud" in done.output
