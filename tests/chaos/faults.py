"""The faults by name. Each is injected once into a running group, and healed before its function returns.

A fault returns the moment from which its blind time is counted.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.chaos.inflow import Inflow
from tests.chaos.pool import Pool
from tests.chaos.proxy import Proxy
from tests.chaos.watch import Watch
from tests.scenarios.dying import POINTS
from tests.scenarios.stream import Stream
from tests.services.broker import Broker
from tests.services.nodes import KafkaNodes
from tests.services.redis import RedisServer

FROZEN_S = 22.0
"""Longer than the session timeout of 15 s, so that the member is evicted meanwhile."""
CUT_S = 20.0
AWAY_S = 4.0
WRITTEN_S = 6.0


@dataclass(slots=True)
class Scene:
    """Everything that a fault may touch. `proxy` stands between replica 0 and the brokers and Redis."""

    kafka: KafkaNodes
    redis: RedisServer
    proxy: Proxy
    stream: Stream
    pool: Pool
    inflow: Inflow
    watch: Watch
    rng: random.Random
    rewound: list[tuple[int, int, int]] = field(default_factory=list)
    """Ranges that were read again: partition, first offset, and the offset after the last."""

    def final_offsets(self) -> list[int]:
        """The group's offsets once no member commits any more."""
        self.watch.await_answer()
        return self.watch.committed.copy()


Fault = Callable[[Scene], float]


def _kill_at(point: str) -> Fault:
    def fault(scene: Scene) -> float:
        replica = scene.pool.pick(scene.rng)
        scene.pool.order(replica, point)
        at = scene.pool.await_death(replica, 120)
        scene.pool.fill()
        return at

    return fault


def _drain_and_kill(scene: Scene) -> float:
    replica = scene.pool.pick(scene.rng)
    scene.pool.order(replica, "drained")
    scene.pool[replica].wait_for("starting")
    scene.pool[replica].signal(signal.SIGTERM)
    at = scene.pool.await_death(replica, 120)
    scene.pool.fill()
    return at


def _roll(scene: Scene) -> float:
    at = time.monotonic()
    scene.pool.stop(scene.pool.pick(scene.rng))
    scene.pool.fill()
    return at


def _freeze(scene: Scene) -> float:
    replica, at = scene.pool.pick(scene.rng), time.monotonic()
    scene.pool[replica].signal(signal.SIGSTOP)
    time.sleep(FROZEN_S)
    scene.pool[replica].signal(signal.SIGCONT)
    return at


def _scale(scene: Scene) -> float:
    at = time.monotonic()
    scene.pool.size = scene.pool.most if scene.pool.size < scene.pool.most else 1
    extra = [replica for replica in scene.pool.running if replica >= scene.pool.size]
    scene.pool.stop(*extra)
    scene.pool.fill()
    return at


def _kill_and_start(which: Callable[[Scene], Broker | RedisServer]) -> Fault:
    def fault(scene: Scene) -> float:
        service, at = which(scene), time.monotonic()
        service.kill9()
        time.sleep(AWAY_S)
        service.start()
        return at

    return fault


def _wipe(scene: Scene) -> float:
    """Empty Redis, and leave every partition time to write some whole snapshots again."""
    at = time.monotonic()
    scene.stream.client.flushall()
    time.sleep(WRITTEN_S)
    return at


def _cut(scene: Scene) -> float:
    at = time.monotonic()
    scene.proxy.cut()
    time.sleep(CUT_S)
    scene.proxy.heal()
    return at


def _rewind(scene: Scene) -> float:
    """An operator stops the group, resets its offsets without metadata, and starts it again."""
    pool, settings = scene.pool, scene.stream.settings
    at = time.monotonic()
    pool.stop(*pool.running)
    done = scene.final_offsets()
    back = [TopicPartition(settings.stream, p, max(offset - 200, 0)) for p, offset in enumerate(done)]
    admin = AdminClient({"bootstrap.servers": scene.kafka.bootstrap})
    group = settings.kafka.group
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, back)])[group].result(30)
    scene.rewound += [(part.partition, part.offset, end) for part, end in zip(back, done, strict=True)]
    pool.fill()
    return at


FAULTS: dict[str, Fault] = {
    **{f"kill -9: {point}": _kill_at(point) for point in POINTS if point != "drained"},
    "kill -9: drained": _drain_and_kill,
    "SIGTERM": _roll,
    "SIGSTOP past the session, SIGCONT": _freeze,
    "scaled up or down": _scale,
    "Redis killed and started": _kill_and_start(lambda scene: scene.redis),
    "Redis wiped": _wipe,
    "broker killed: any": _kill_and_start(lambda scene: scene.rng.choice(scene.kafka.nodes)),
    "broker killed: group coordinator": _kill_and_start(lambda scene: scene.kafka.leader("__consumer_offsets")),
    "broker killed: transaction coordinator": _kill_and_start(lambda scene: scene.kafka.leader("__transaction_state")),
    "network cut": _cut,
    "offsets rewound": _rewind,
}
