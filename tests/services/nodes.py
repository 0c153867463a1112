"""Three Kafka nodes, each broker and controller, so that any one of them may die: replication 3, two in sync at least.

A client may also come in by a second listener, which is advertised at ports of a proxy's (`doors`): what goes through
there can be cut without the brokers noticing each other gone.
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
    """`behind` is where each node listens for the proxy, `doors` where it sends clients that came in that way."""

    replication = COUNT

    def __init__(self, folder: Path) -> None:
        ports = [free_port() for _ in range(COUNT)]
        controllers = [free_port() for _ in range(COUNT)]
        self.behind = [free_port() for _ in range(COUNT)]
        self.doors = [free_port() for _ in range(COUNT)]
        voters = ",".join(f"{i + 1}@127.0.0.1:{controllers[i]}" for i in range(COUNT))
        cluster = cluster_id()
        self.nodes = [
            Broker(
                folder / f"node-{i + 1}",
                _PROPERTIES.format(node=i + 1, voters=voters, port=ports[i], behind=self.behind[i],
                                   door=self.doors[i], controller=controllers[i]),
                cluster,
                f"127.0.0.1:{ports[i]}",
                _JVM,
            )
            for i in range(COUNT)
        ]  # fmt: skip
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.await_answer()
        super().__init__(",".join(node.bootstrap for node in self.nodes))
        self._await_all()

    def _await_all(self) -> None:
        """Until every broker has registered: a topic of three replicas needs all of them."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        deadline = time.monotonic() + 60
        while len(admin.list_topics(timeout=10).brokers) < COUNT:
            assert time.monotonic() < deadline, "not all brokers registered"
            time.sleep(0.1)

    def leader(self, topic: str, partition: int = 0) -> Broker:
        """The node that leads this partition: with `__consumer_offsets` the coordinator of every group, with
        `__transaction_state` that of every transaction, since both have one partition here.
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
                node.kill9()  # nothing is kept, and a controlled shutdown of the last node waits for the others
