"""A real Kafka for the tests: one node in KRaft mode, from the Maven artifacts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from tests.services.broker import Broker, cluster_id
from tests.services.process import free_port

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


class KafkaCluster:
    """A cluster and its administration, whether the tests started it or the environment names it."""

    replication = 1

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "message.max.bytes": 10_000_000})

    def create_topic(self, name: str, partitions: int = 4, config: dict[str, str] | None = None) -> None:
        self._admin.create_topics([NewTopic(name, partitions, self.replication, config=config or {})])[name].result(30)
        deadline = time.monotonic() + 30
        while not self._has(name, partitions):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _has(self, name: str, partitions: int) -> bool:
        topic = self._admin.list_topics(timeout=10).topics.get(name)
        return topic is not None and len(topic.partitions) == partitions

    def add_partitions(self, name: str, total: int) -> None:
        self._admin.create_partitions([NewPartitions(name, total)])[name].result(30)
        deadline = time.monotonic() + 30
        while not self._has(name, total):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self._producer.list_topics(name, timeout=10)  # otherwise the producer learns of the new ones later

    def delete_topic(self, name: str) -> None:
        self._admin.delete_topics([name])[name].result(30)

    def await_deleted(self, name: str) -> None:
        """Wait until the cluster does not list the topic any more."""
        deadline = time.monotonic() + 30
        while name in self._admin.list_topics(timeout=10).topics:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Move the start of the log, as retention does."""
        self._admin.delete_records([TopicPartition(topic, partition, before)])
        while self.bounds(topic, partition)[0] < before:
            time.sleep(0.05)

    def configure_topic(self, name: str, setting: str, value: str) -> None:
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(30)

    def delete_group(self, name: str) -> None:
        """Delete a group with its offsets, as if they had expired."""
        self._admin.delete_consumer_groups([name])[name].result(30)

    def group_protocol(self, group: str) -> str:
        described = self._admin.describe_consumer_groups([group])[group].result(30)
        return str(described.type.name).lower()

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        """Produce round robin, or to one partition. All records are acknowledged on return."""
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
        consumer = self.reader("read_uncommitted")
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        consumer.close()
        return low, high

    def read_committed(self, topic: str, seconds: float = 30.0) -> list[Message]:
        """Every record up to the present ends that a `read_committed` reader sees; waits for open transactions."""
        partitions = sorted(self._admin.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer = self.reader("read_committed")
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

    def reader(self, isolation: str) -> Consumer:
        """A consumer without a group's offsets, at the given isolation level."""
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
    """A cluster of one node, started here."""

    def __init__(self, folder: Path) -> None:
        port, controller = free_port(), free_port()
        properties = _PROPERTIES.format(port=port, controller=controller)
        self._broker = Broker(folder, properties, cluster_id(), f"127.0.0.1:{port}")
        self.start()
        super().__init__(self._broker.bootstrap)

    def start(self) -> None:
        self._broker.start()

    def stop(self) -> None:
        self._broker.stop()

    def kill9(self) -> None:
        self._broker.kill9()
