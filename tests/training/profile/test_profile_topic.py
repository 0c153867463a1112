"""`offbeat profile --topic` on a real Kafka: what it reads, that it changes nothing, and how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.services.kafka import KafkaCluster
from tests.services.process import free_port
from training.profile.profile import Source
from training.profile.topic_sample import SampleRequest, read_sample
from worker.errors import ConfigError, DependencyUnreachable

MS_2026 = 1_767_225_600_000


def offbeat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "worker.cli", *arguments], capture_output=True, text=True, check=False)


def value(number: int) -> bytes:
    return json.dumps({"n": number, "x": number % 7 / 2, "kind": "ab"[number % 2]}).encode()


def read(kafka: KafkaCluster, topic: str, rows: int, *, newest: bool = True, label: str | None = None) -> Source:
    return read_sample(SampleRequest(topic, kafka.bootstrap, {}, rows, newest), label)


def numbers(source: Source, partition: int) -> list[Any]:
    assert source.partitions is not None
    return [n for n, number in zip(source.table.columns["n"], source.partitions, strict=True) if number == partition]


def test_newest_and_earliest_are_spread_over_the_partitions(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 3)
    kafka.produce(stream, [value(i) for i in range(500)], partition=0)
    kafka.produce(stream, [value(i) for i in range(20)], partition=1)
    newest = read(kafka, stream, 100)
    assert numbers(newest, 0) == list(range(420, 500)) and numbers(newest, 1) == list(range(20))
    earliest = read(kafka, stream, 30, newest=False)
    assert numbers(earliest, 0) == list(range(15)) and numbers(earliest, 1) == list(range(15))
    assert read(kafka, stream, 10_000).table.rows == 520


def test_records_come_in_the_order_of_their_timestamps_and_give_the_rate(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 2)
    for number in range(60):
        kafka.produce(stream, [value(number)], partition=number % 2, timestamp_ms=MS_2026 + number * 500)
    source = read(kafka, stream, 1_000)
    assert source.table.columns["n"] == list(range(60))
    assert source.timestamps is not None and source.timestamps[:2].tolist() == [MS_2026, MS_2026 + 500]
    done = offbeat("profile", "--topic", stream, "--bootstrap-servers", kafka.bootstrap, "--json")
    suggestions = json.loads(done.stdout)["suggestions"]
    assert suggestions["time"] is None
    assert suggestions["events_per_second"] == pytest.approx(2.0)  # one event per second in each of two partitions


def test_nothing_is_left_in_the_cluster(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 2)
    kafka.produce(stream, [value(i) for i in range(100)])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def state() -> tuple[set[str], set[str]]:
        groups = admin.list_consumer_groups(request_timeout=10).result().valid
        return {group.group_id for group in groups}, set(admin.list_topics(timeout=10).topics)

    before = state()
    assert offbeat("profile", "--topic", stream, "--bootstrap-servers", kafka.bootstrap).returncode == 0
    missing = offbeat("profile", "--topic", stream + "s", "--bootstrap-servers", kafka.bootstrap)
    assert missing.returncode == 2 and f"there is no '{stream}s'" in missing.stderr
    assert f"did you mean {stream}" in missing.stderr
    assert state() == before


def test_deleted_and_aborted_records_do_not_stop_it(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, [value(i) for i in range(50)])
    kafka.delete_records(stream, 0, 10)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"p-{stream}"})
    producer.init_transactions(30)
    for aborted in (True, False):
        producer.begin_transaction()
        producer.produce(stream, value(-1 if aborted else 99), partition=0)
        producer.flush(10)
        producer.abort_transaction(10) if aborted else producer.commit_transaction(10)
    assert numbers(read(kafka, stream, 1_000), 0) == [*range(10, 50), 99]


def test_records_that_are_no_json_objects_are_counted_and_one_is_named(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, [value(0), b"\x00\x00\x00\x00\x01avro", None, b"[1]", value(1), value(2)])
    source = read(kafka, stream, 100)
    assert source.table.columns["n"] == [0, 1, 2]
    assert source.table.notes == (
        "2 of 5 records are not JSON objects, for example partition 0, offset 1: not JSON: it begins with a "
        "Schema Registry's header of five bytes, schema 1, so it is probably Avro or Protobuf, which this version does "
        "not read",
    )
    assert source.values == [value(0), value(1), value(2)]


def test_records_that_the_worker_would_reject_are_reported(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, [b'{"o": {"k": "a"}, "x": 1.5}', b'{"o": 7, "x": 2.5}', b'{"o": {"k": "b"}, "x": 1.5}'])
    done = offbeat("profile", "--topic", stream, "--bootstrap-servers", kafka.bootstrap, "--json")
    warnings = {w["code"]: w["text"] for w in json.loads(done.stdout)["warnings"]}
    assert warnings["dead-letters"] == (
        "1 of 3 records would become dead letters, for example: o: a number where an object is expected"
    )


def test_keys_that_recur_are_the_entity(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    for i in range(40):
        kafka.produce(stream, [json.dumps({"host": f"h{i % 4}", "x": i % 5}).encode()], key=b"k%d" % (i % 4))
    assert read(kafka, stream, 100).keyed
    done = offbeat("profile", "--topic", stream, "--bootstrap-servers", kafka.bootstrap)
    assert "# entity: the record key is used." in done.stdout and "event: {}" in done.stdout


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "no records"), ([None], "no records"), ([b"x", b"y"], "none of 2 records is a JSON object")],
)
def test_a_topic_with_nothing_to_read_is_an_error(
    kafka: KafkaCluster, stream: str, values: list[bytes | None], text: str
) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, values)
    with pytest.raises(ConfigError, match=rf"--topic: {stream}: {text}"):
        read(kafka, stream, 10)


def test_the_label_is_left_out_of_a_topic_too(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, [b'{"x": 1, "y": {"bad": true}}', b'{"x": 2}'])
    table = read(kafka, stream, 10, label="y.bad").table
    assert list(table.columns) == ["x"]
    assert table.labels is not None and table.labels.tolist() == [True, False]
    with pytest.raises(ConfigError, match=rf"--label: {stream} has no column 'z'; it has: x, y.bad"):
        read(kafka, stream, 10, label="z")


def test_secrets_are_neither_printed_nor_written(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, [value(i) for i in range(10)])
    where = ["profile", "--topic", stream, "--bootstrap-servers", kafka.bootstrap]
    done = offbeat(*where, "-X", "sasl.password=hunter2", "-X", "client.id=me", "--stream", "other")
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "sasl.password is a secret and is not written here" in done.stdout
    assert "  properties:\n    client.id: me\n" in done.stdout and f"  events:\n  - {stream}\n" in done.stdout
    failed = offbeat(*where, "-X", "ssl.key.pem=hunter2", "-X", "security.protocol=SSL")
    assert failed.returncode == 2 and "hunter2" not in failed.stdout + failed.stderr


def test_a_broker_that_does_not_answer_is_exit_code_3() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(DependencyUnreachable, match=f"--bootstrap-servers: no answer from {address} within 1 s"):
        read_sample(SampleRequest("t", address, {}, 10), None, answer_s=1.0)
    assert DependencyUnreachable.exit_code == 3


def test_the_worker_runs_with_the_proposed_configuration(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    for topic in (stream, f"{stream}.alerts", f"{stream}.dead-letters"):
        kafka.create_topic(topic, 1)
    kafka.produce(stream, [value(i) for i in range(300)])
    path = tmp_path / "offbeat.yaml"
    done = offbeat("profile", "--topic", stream, "--bootstrap-servers", kafka.bootstrap, "-o", str(path))
    assert done.returncode == 0 and done.stdout == "", done.stderr
    environ = {**os.environ, "OFFBEAT_REDIS__URL": redis_url, "OFFBEAT_HTTP__PORT": "0"}
    log = tmp_path / "log"
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "run", "-c", str(path)], stderr=out, stdout=out, env=environ
        )
    deadline = time.monotonic() + 60
    while b'"first_start"' not in log.read_bytes():
        assert worker.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    worker.terminate()
    assert worker.wait(30) == 0
