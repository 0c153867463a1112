"""Three Kafka nodes, each of them broker and controller, with three replicas of which two must be in sync.

Any one of the nodes may die. A second listener is advertised at the ports of a proxy (`doors`), so that the
connections of some clients can be cut while the brokers still reach each other.
"""

from __future__ import annotations

import time
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.services.broker import Broker, cluster_id
from tests.services.kafka import KafkaCluster
from tests.services.process import free_port

COUNT = 3
_JVM = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},DOOR://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DOOR://127.0.0.1:{door}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DOOR:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
num.partitions=1
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.consumer.session.timeout.ms=15000
group.consumer.min.session.timeout.ms=15000
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
"""


class KafkaNodes(KafkaCluster):
    """`behind` are the ports on which the nodes listen for the proxy, `doors` those that they advertise for it."""

    replication = COUNT

    def __init__(self, folder: Path) -> None:
        ports = [free_port() for _ in range(COUNT)]
        controllers = [free_port() for _ in range(COUNT)]
        self.behind = [free_port() for _ in range(COUNT)]
        self.doors = [free_port() for _ in range(COUNT)]
        voters = ",".join(f"{i + 1}@127.0.0.1:{controllers[i]}" for i in range(COUNT))
        cluster = cluster_id()
        self.nodes = []
        for i, (port, behind, door, controller) in enumerate(
            zip(ports, self.behind, self.doors, controllers, strict=True), 1
        ):
            properties = _PROPERTIES.format(
                node=i, voters=voters, port=port, behind=behind, door=door, controller=controller
            )
            self.nodes.append(Broker(folder / f"node-{i}", properties, cluster, f"127.0.0.1:{port}", _JVM))
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.await_answer()
        super().__init__(",".join(node.bootstrap for node in self.nodes))
        self._await_all()

    def _await_all(self) -> None:
        """Wait until every broker has registered: a topic with three replicas needs all of them."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        deadline = time.monotonic() + 60
        while len(admin.list_topics(timeout=10).brokers) < COUNT:
            assert time.monotonic() < deadline, "not all brokers registered"
            time.sleep(0.1)

    def leader(self, topic: str, partition: int = 0) -> Broker:
        """The node that leads this partition.

        The leader of `__consumer_offsets` coordinates every group, and that of `__transaction_state` every
        transaction, since both topics have one partition here.
        """
        deadline = time.monotonic() + 60
        while True:
            topics = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(topic, timeout=10).topics
            leader = topics[topic].partitions[partition].leader if partition in topics[topic].partitions else -1
            if leader > 0:
                return self.nodes[leader - 1]
            assert time.monotonic() < deadline, f"{topic}/{partition} has no leader"
            time.sleep(0.2)

    def stop(self) -> None:
        for node in self.nodes:
            if node.running:
                node.kill9()  # a controlled shutdown of the last node would wait for the others
