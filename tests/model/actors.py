"""Pods, a broker, Redis and an operator. Each does what the seed says, even while a pod is in the middle of a call."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.model import stage
from tests.model.broker import Broker, Refused
from tests.model.mishaps import PodNet
from tests.model.pod import Died, Pod
from tests.model.producer import ModelProducer
from tests.model.reference import Reference
from tests.model.stores import MemoryRegistry, MemorySnapshots
from tests.model.stream import SETTINGS, Events, versions
from worker.core.state.commit_metadata import EMPTY, CommitMetadata
from worker.core.state.snapshot import Snapshot
from worker.partitions.model_feed import ModelFeed
from worker.ports.log import Commit, TopicPartition
from worker.ports.stores import StoreUnavailable

PARTITIONS, PODS = 2, 3
MEANWHILE = 0.06
"""The chance that something else happens during a call of a pod."""
DEPTH = 2
"""How deeply such happenings may be nested."""


class Actors:
    """Everyone who acts in a schedule, and everything that may happen; one random generator decides."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = stage.Clock()
        self.calm = False
        self.done: Counter[str] = Counter()
        self.broker = Broker(self.clock.monotonic, PARTITIONS)
        self.store, self.registry = MemorySnapshots(self._check_redis), MemoryRegistry(self._check_redis)
        self.redis_up = True
        self.delayed: list[ModelProducer] = []
        self._events = {source: Events(seed * 31 + source.partition) for source in self.broker.logs}
        self._pods: dict[str, Pod] = {}
        self.nets: dict[str, PodNet] = {}
        self._depth = 0
        self._wiped: list[str] = []
        self.wrong: list[str] = []
        always = MemoryRegistry()
        for version in versions():
            for registry in (always, self.registry):
                registry.put_version(version)
        self.reference = Reference(self.broker, ModelFeed(always, SETTINGS.spec.spec_hash))
        self.broker.on_commit = self._check_commit
        self._watch_store()
        self._promote()

    # Checks at every commit and every snapshot.

    def _check_commit(self, source: TopicPartition, commit: Commit) -> None:
        self.reference.follow_commit(source, commit)
        for base in CommitMetadata.decode(commit.metadata).bases if commit.metadata else ():
            missing = base.snapshot not in self.store.manifests.get(source, {})
            if base.snapshot != EMPTY and missing and base.snapshot not in self._wiped:
                self.wrong.append(f"the commit of {source} at {commit.offset} names a snapshot that is not stored")

    def _watch_store(self) -> None:
        put = self.store.put

        def put_and_check(snapshot: Snapshot) -> None:
            put(snapshot)
            whole = self.store.get(snapshot.topic, snapshot.partition, snapshot.id)
            assert whole is not None
            self.reference.check_snapshot(whole)

        self.store.put = put_and_check  # type: ignore[method-assign]

    # Time, and what happens as it passes.

    def meanwhile(self) -> None:
        """While a pod is in a call, others act: it may be evicted, replaced and overtaken."""
        self.clock.sleep(0.001)
        if self.calm or self._depth >= DEPTH or self.rng.random() >= MEANWHILE:
            return
        self._depth += 1
        for _ in range(self.rng.randint(1, 6)):
            self.act()
        self._depth -= 1

    def wait_for(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def act(self) -> None:
        weights = [weight for weight, _ in ACTS.values()]
        name = self.rng.choices(list(ACTS), weights)[0]
        if ACTS[name][1](self):
            self.done[name] += 1

    def idle_pod(self) -> Pod | None:
        """A pod that is not in the middle of a call, if there is one."""
        idle = [pod for _, pod in sorted(self._pods.items()) if not pod.busy]
        return self.rng.choice(idle) if idle else None

    @contextmanager
    def _acting(self, pod: Pod) -> Iterator[None]:
        """A pod acts, and may die of it."""
        pod.busy = True
        self.nets[pod.name].reads.clear()
        try:
            yield
        except Died:
            self._remove(pod)
        finally:
            pod.busy = False

    def _remove(self, pod: Pod) -> None:
        self._pods.pop(pod.name, None)

    # Each of these may happen. They return whether it did.

    def turn(self) -> bool:
        pod = self.idle_pod()
        if pod is not None:
            with self._acting(pod):
                pod.worker.turn()
        return pod is not None

    def feed(self) -> bool:
        for _ in range(self.rng.randint(1, 12)):
            source = self.rng.choice(list(self.broker.logs))
            self.broker.logs[source].append(self._events[source].next(self.clock.wall_ms()))
        return True

    def write(self) -> bool:
        pod = self.idle_pod()
        if pod is not None:
            with self._acting(pod):
                pod.writer.step()
        return pod is not None

    def refresh(self) -> bool:
        pod = self.idle_pod()
        if pod is not None:
            pod.feed.refresh()
            pod.audit.check()
        return pod is not None

    def promote(self) -> bool:
        if self.redis_up:
            self._promote()
        return self.redis_up

    def _promote(self) -> None:
        self.registry.promote_version(SETTINGS.spec.spec_hash, self.rng.choice(versions()))

    def wait(self) -> bool:
        self.clock.sleep(self.rng.choice((0.05, 0.3, 1.0, 1.0, 6.0, 12.0)))
        self.broker.expire()
        return True

    def start(self) -> bool:
        names = [f"pod-{i}" for i in range(PODS) if f"pod-{i}" not in self._pods]
        if names:
            self._start(self.rng.choice(names))
        return bool(names)

    def _start(self, name: str) -> None:
        net = self.nets[name] = PodNet(self, name)
        depth, self._depth = self._depth, DEPTH  # nothing else happens while it is composed
        pod = Pod(name, self.broker, net, self.store, self.registry, stage.transactional, self.clock.wall_ms)
        self._depth = depth
        self._pods[name] = pod

    def kill(self) -> bool:
        pod = self.idle_pod()
        if pod is not None:
            self._remove(pod)
        return pod is not None

    def doom(self) -> bool:
        """A pod will die in one of its next calls."""
        pod = self.idle_pod()
        if pod is not None:
            self.nets[pod.name].dies_in = self.rng.randint(1, 25)
        return pod is not None

    def evict(self) -> bool:
        """A member's session times out, whether its process is alive or not."""
        members = sorted(self.broker.group.members)
        if members:
            self.broker.group.leave(self.rng.choice(members))
        return bool(members)

    def drain(self) -> bool:
        pod = self.idle_pod()
        if pod is not None:
            with self._acting(pod):
                pod.stop()
            self._remove(pod)
        return pod is not None

    def redis(self) -> bool:
        self.redis_up = not self.redis_up
        return True

    def _check_redis(self) -> None:
        if not self.redis_up:
            raise StoreUnavailable("planted")

    def wipe(self) -> bool:
        self._wiped += [name for manifests in self.store.manifests.values() for name in manifests]
        self.store.wipe()
        self.registry.wipe()
        return True

    def finish(self) -> bool:
        """Delayed commits reach the coordinator, and delayed transaction markers are written."""
        for producer in self.delayed:
            with suppress(Refused):
                producer.deliver_commit()
        self.delayed.clear()
        for transaction in self.broker.decided():
            self.broker.finish(transaction)
        return True

    def rewind(self) -> bool:
        """An operator stops every worker, sets one partition's offset back, and starts them again."""
        if any(pod.busy for pod in self._pods.values()):
            return False
        while self._pods:
            self.drain()
        self.clock.sleep(20.0)
        self.finish()
        self.broker.expire()
        self.broker.group.members.clear()
        source = self.rng.choice(list(self.broker.logs))
        commit = self.broker.offsets.get(source)
        if commit is None or not commit.metadata:
            return False
        back = max(commit.offset - self.rng.randint(1, 40), 0)
        self.reference.note_move(source, back)
        self.broker.commit(source, Commit(back, ""))
        return True


ACTS: dict[str, tuple[float, Callable[[Actors], bool]]] = {
    "turn": (40, Actors.turn),
    "records": (12, Actors.feed),
    "snapshot written or collected": (14, Actors.write),
    "versions read": (5, Actors.refresh),
    "version promoted": (1.5, Actors.promote),
    "time": (6, Actors.wait),
    "pod started": (5, Actors.start),
    "pod killed between turns": (1, Actors.kill),
    "pod killed in a call": (4, Actors.doom),
    "member evicted": (2.5, Actors.evict),
    "pod drained": (1, Actors.drain),
    "Redis away or back": (1, Actors.redis),
    "Redis wiped": (0.15, Actors.wipe),
    "delayed commits arrive": (2, Actors.finish),
    "offsets rewound": (0.4, Actors.rewind),
}
