"""A schedule: pods, a broker, Redis and an operator, each doing what the seed says, also while a pod is in the middle
of a call; then calm, and what has come of it against the reference.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.model import stage
from tests.model.broker import Broker, Refused
from tests.model.mishaps import PodNet
from tests.model.pod import Died, Pod
from tests.model.producer import ModelProducer
from tests.model.reference import Reference, alert_of, letter_of
from tests.model.stores import MemoryRegistry, MemorySnapshots
from tests.model.stream import SETTINGS, Events, versions
from worker.core.state.commit_metadata import EMPTY, CommitMetadata
from worker.core.state.snapshot import Snapshot
from worker.partitions.assigned import Phase
from worker.partitions.serving import ModelFeed
from worker.ports.log import Commit, TopicPartition
from worker.ports.stores import StoreUnavailable

PARTITIONS, PODS = 2, 3
ACTIONS = 60
CALM_TURNS = 400
MEANWHILE = 0.06
DEPTH = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule did and what was wrong in the end."""

    seed: int
    done: Counter[str]
    alerts: int
    lost: int
    doubled: int
    wrong: list[str]

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


class World:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = stage.Clock()
        self.calm = False
        self.done: Counter[str] = Counter()
        self.broker = Broker(self.clock.monotonic, PARTITIONS)
        self.store, self.registry = MemorySnapshots(self._redis), MemoryRegistry(self._redis)
        self.redis_up = True
        self.on_their_way: list[ModelProducer] = []
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
        self.broker.committed = self._committed
        self._watch_store()
        self._promote()

    # What is checked all the while.

    def _committed(self, source: TopicPartition, commit: Commit) -> None:
        self.reference.committed(source, commit)
        for base in CommitMetadata.decode(commit.metadata).bases if commit.metadata else ():
            gone = base.snapshot not in self.store.manifests.get(source, {})
            if base.snapshot != EMPTY and gone and base.snapshot not in self._wiped:
                self.wrong.append(f"the commit of {source} at {commit.offset} names what is not stored")

    def _watch_store(self) -> None:
        put = self.store.put

        def noted(snapshot: Snapshot) -> None:
            put(snapshot)
            whole = self.store.get(snapshot.topic, snapshot.partition, snapshot.id)
            assert whole is not None
            self.reference.written(whole)

        self.store.put = noted  # type: ignore[method-assign]

    # Time, and what happens in it.

    def meanwhile(self) -> None:
        """While a pod is in a call, others go on: it may be evicted, replaced and overtaken."""
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

    def idle(self) -> Pod | None:
        there = [pod for _, pod in sorted(self._pods.items()) if not pod.busy]
        return self.rng.choice(there) if there else None

    @contextmanager
    def _in(self, pod: Pod) -> Iterator[None]:
        """Whatever a pod does, it may die of."""
        pod.busy = True
        self.nets[pod.name].reads.clear()
        try:
            yield
        except Died:
            self._gone(pod)
        finally:
            pod.busy = False

    def _gone(self, pod: Pod) -> None:
        self._pods.pop(pod.name, None)

    # What may happen.

    def turn(self) -> bool:
        pod = self.idle()
        if pod is not None:
            with self._in(pod):
                pod.worker.turn()
        return pod is not None

    def feed(self) -> bool:
        for _ in range(self.rng.randint(1, 12)):
            source = self.rng.choice(list(self.broker.logs))
            self.broker.logs[source].append(self._events[source].next(self.clock.wall_ms()))
        return True

    def write(self) -> bool:
        pod = self.idle()
        if pod is not None:
            with self._in(pod):
                pod.writer.step()
        return pod is not None

    def refresh(self) -> bool:
        pod = self.idle()
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
        depth, self._depth = self._depth, DEPTH  # nothing happens while it is put together
        pod = Pod(name, self.broker, net, self.store, self.registry, stage.transactional, self.clock.wall_ms)
        self._depth = depth
        self._pods[name] = pod

    def kill(self) -> bool:
        pod = self.idle()
        if pod is not None:
            self._gone(pod)
        return pod is not None

    def doom(self) -> bool:
        """It is to die in one of its next calls."""
        pod = self.idle()
        if pod is not None:
            self.nets[pod.name].dies_in = self.rng.randint(1, 25)
        return pod is not None

    def evict(self) -> bool:
        """The group has not heard of a member for too long, dead or alive."""
        members = sorted(self.broker.group.members)
        if members:
            self.broker.group.leave(self.rng.choice(members))
        return bool(members)

    def drain(self) -> bool:
        pod = self.idle()
        if pod is not None:
            with self._in(pod):
                pod.stop()
            self._gone(pod)
        return pod is not None

    def redis(self) -> bool:
        self.redis_up = not self.redis_up
        return True

    def _redis(self) -> None:
        if not self.redis_up:
            raise StoreUnavailable("planted")

    def wipe(self) -> bool:
        self._wiped += [name for manifests in self.store.manifests.values() for name in manifests]
        self.store.wipe()
        self.registry.wipe()
        return True

    def finish(self) -> bool:
        """Markers that were delayed, and commits that were."""
        for producer in self.on_their_way:
            with suppress(Refused):
                producer.arrive()
        self.on_their_way.clear()
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
        self.reference.moved(source, back)
        self.broker.commit(source, Commit(back, ""))
        return True

    # The schedule.

    def run(self) -> Outcome:
        with stage.on_the_model(self.broker, self.nets, self.clock):
            self.start()
            self.feed()
            for _ in range(ACTIONS):
                self.act()
            self._calm_down()
        return self._outcome()

    def _calm_down(self) -> None:
        """Redis and the network are there, an operator has given back what Redis lost, and the pods go on."""
        self.calm = self.redis_up = True
        for net in self.nets.values():
            net.dies_in = -1
        self.finish()
        for version in versions():
            self.registry.put_version(version)
        if self.registry.champion(SETTINGS.spec.spec_hash) is None and not self._pods:
            self._promote()
        known = {pod.source._member for pod in self._pods.values()}
        for member in set(self.broker.group.members) - known:
            self.broker.group.leave(str(member))
        if not self._pods:
            self._start("pod-0")
        for _ in range(CALM_TURNS):
            if self._all_committed() and self._all_live():
                break
            self.clock.sleep(0.3)
            self.finish()
            self.broker.expire()
            for pod in list(self._pods.values()):
                pod.feed.refresh()
                if pod.feed.latest is None:
                    self._promote()
                with self._in(pod):
                    pod.worker.turn()
                    pod.writer.step()
        while self._pods:
            self.drain()
        self.clock.sleep(20.0)  # what the dead left open ends by its time-out, and readers go on
        self.broker.expire()

    def _all_live(self) -> bool:
        assignment = [assigned for pod in self._pods.values() for assigned in pod.assignment]
        group = self.broker.group
        known = all(pod.source._member in group.members for pod in self._pods.values())
        settled = known and not any(group.surplus(member) for member in group.members)
        return (
            settled
            and len(assignment) == len(self.broker.logs)
            and all(assigned.phase is Phase.LIVE for assigned in assignment)
        )

    def _all_committed(self) -> bool:
        ends = {source: _end(log) for source, log in self.broker.logs.items()}
        return all(
            (found := self.broker.stable(source)) is not None and (found.offset or 0) >= end and found.metadata != ""
            for source, end in ends.items()
        )

    def _outcome(self) -> Outcome:
        visible = self.broker.visible()
        kafka, wrong = SETTINGS.kafka, [*self.wrong, *self.reference.wrong]
        alerts = Counter(alert_of(one) for one in visible if one.topic == kafka.alerts)
        letters = Counter(letter_of(one) for one in visible if one.topic == kafka.dead_letters)
        if not self._all_committed():
            wrong.append(f"not committed to the end: {self.broker.offsets}")
        if letters != self.reference.letters:
            wrong.append(f"dead letters differ: {letters - self.reference.letters} {self.reference.letters - letters}")
        wrong += self._last_states()
        lost, doubled = self.reference.alerts - alerts, alerts - self.reference.alerts
        return Outcome(self.seed, self.done, alerts.total(), lost.total(), doubled.total(), wrong)

    def _last_states(self) -> list[str]:
        """After a drain the commit names a snapshot of where it is."""
        found = []
        for source, commit in self.broker.offsets.items():
            newest = CommitMetadata.decode(commit.metadata).bases[-1] if commit.metadata else None
            if newest is None or newest.offset != commit.offset:
                found.append(f"{source}: after a drain the commit at {commit.offset} names {newest}")
        return found


def _end(log: Sequence[object]) -> int:
    """The offset after the last record; markers after it are not waited for."""
    return max((offset + 1 for offset, one in enumerate(log) if one is not None), default=0)


ACTS: dict[str, tuple[float, Callable[[World], bool]]] = {
    "turn": (40, World.turn),
    "records": (12, World.feed),
    "snapshot written or collected": (14, World.write),
    "versions read": (5, World.refresh),
    "version promoted": (1.5, World.promote),
    "time": (6, World.wait),
    "pod started": (5, World.start),
    "pod killed between turns": (1, World.kill),
    "pod killed in a call": (4, World.doom),
    "member evicted": (2.5, World.evict),
    "pod drained": (1, World.drain),
    "Redis away or back": (1, World.redis),
    "Redis wiped": (0.15, World.wipe),
    "delayed commits arrive": (2, World.finish),
    "offsets rewound": (0.4, World.rewind),
}
