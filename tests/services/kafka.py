"""A real Kafka of one node for the tests, in KRaft mode, from its Maven artifacts."""

from __future__ import annotations

import base64
import fcntl
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.services.process import await_answer, free_port, needed, spawn

_HERE = Path(__file__).parent
_LIBS = _HERE.parents[1] / ".cache" / "kafka-4.3.1"
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


def _libraries() -> Path:
    """The broker's jars, fetched once; two test runs at a time wait for each other."""
    _LIBS.parent.mkdir(exist_ok=True)
    with (_LIBS.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_LIBS / ".complete").exists():
            mvn = needed("mvn", "maven")
            command = [mvn, "-q", "-B", "-f", str(_HERE / "pom.xml"), "dependency:copy-dependencies",
                       f"-DoutputDirectory={_LIBS}"]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"mvn could not fetch Kafka:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
            (_LIBS / ".complete").touch()
    return _LIBS


class KafkaCluster:
    """What tests do with a cluster, started by them or named by the environment."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "message.max.bytes": 10_000_000})

    def create_topic(self, name: str, partitions: int = 4, config: dict[str, str] | None = None) -> None:
        self._admin.create_topics([NewTopic(name, partitions, 1, config=config or {})])[name].result(30)
        deadline = time.monotonic() + 30
        while not self._has(name, partitions):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _has(self, name: str, partitions: int) -> bool:
        topic = self._admin.list_topics(timeout=10).topics.get(name)
        return topic is not None and len(topic.partitions) == partitions

    def delete_topic(self, name: str) -> None:
        self._admin.delete_topics([name])[name].result(30)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Move the log's start, as retention does."""
        self._admin.delete_records([TopicPartition(topic, partition, before)])
        while self.bounds(topic, partition)[0] < before:
            time.sleep(0.05)

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        """Without a partition, records go round robin; all are acknowledged on return."""
        count = len(self._admin.list_topics(topic, timeout=10).topics[topic].partitions)
        for i, value in enumerate(values):
            target = partition if partition is not None else i % count
            while True:
                try:
                    self._producer.produce(topic, value, key, target, timestamp=timestamp_ms)
                    break
                except BufferError:
                    self._producer.poll(0.05)
        assert self._producer.flush(60) == 0

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        consumer = self._reader("read_uncommitted")
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        consumer.close()
        return low, high

    def read_committed(self, topic: str, seconds: float = 30.0) -> list[Message]:
        """Every record that a `read_committed` reader sees up to the present ends; waits for open transactions."""
        partitions = sorted(self._admin.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer = self._reader("read_committed")
        ends = {p: self.bounds(topic, p)[1] for p in partitions}
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions if ends[p]])
        open_ends = {p for p in partitions if ends[p]}
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        while open_ends:
            assert time.monotonic() < deadline, f"{topic}: partitions {open_ends} did not end in {seconds} s"
            found += [message for message in consumer.consume(1_000, 0.1) if message.error() is None]
            for p in list(open_ends):
                position = consumer.position([TopicPartition(topic, p)])[0].offset
                if position >= ends[p]:
                    open_ends.discard(p)
        consumer.close()
        return found

    def _reader(self, isolation: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"reader-{uuid.uuid4().hex}",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 10,
            }
        )


class KafkaServer(KafkaCluster):
    """One node, started here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "kafka.log"
        port, controller = free_port(), free_port()
        self._config = folder / "server.properties"
        self._config.write_text(_PROPERTIES.format(port=port, controller=controller, folder=folder))
        self._java = [needed("java", "default-jdk-headless"), "-Xmx512m", "-cp", f"{_libraries()}/*"]
        cluster_id = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._config)],
            check=True,
            capture_output=True,
        )
        self._bootstrap = f"127.0.0.1:{port}"
        self.start()
        super().__init__(self._bootstrap)

    def start(self) -> None:
        self._process = spawn([*self._java, "kafka.Kafka", str(self._config)], self._log)
        await_answer(self._answers, self._process, "Kafka", self._log)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait(60)

    def _answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False
