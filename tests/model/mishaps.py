"""Mishaps of a pod in its calls to the broker: it dies, pauses, or loses answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from tests.model.group import Membership
from tests.model.net import Net
from tests.model.pod import Died
from tests.model.producer import ModelProducer
from worker.ports.log import TopicPartition

RATES = {
    "eviction known": 0.5,
    "rejoined behind": 0.5,
    "prefetched": 0.3,
    "raises": 0.01,
    "no answer": 0.02,
    "sent at once": 0.5,
    "commit delayed": 0.04,
    "markers delayed": 0.2,
    "lost": 0.02,
}


class Surroundings(Protocol):
    """The schedule, as far as it affects the calls of a pod."""

    rng: random.Random
    calm: bool
    done: Counter[str]
    wrong: list[str]
    delayed: list[ModelProducer]

    def meanwhile(self) -> None: ...
    def wait_for(self, seconds: float) -> None: ...


class PodNet(Net):
    """A network on which the schedule decides what becomes of each call.

    `reads` has by partition the first generation under which its uncommitted records were read. `dies_in` counts
    down to the call in which the pod dies.
    """

    def __init__(self, world: Surroundings, name: str) -> None:
        self._world = world
        self.name = name
        self.reads: dict[TopicPartition, int] = {}
        self._refused = False
        self.dies_in = -1

    def step(self, name: str) -> None:
        if self.dies_in > 0:
            self.dies_in -= 1
            if self.dies_in == 0:
                self._world.done[f"killed at: {name}"] += 1
                raise Died
        self._world.meanwhile()

    def chance(self, name: str) -> bool:
        world = self._world
        if world.calm:
            return name == "rejoined behind"
        return world.rng.random() < RATES[name]

    def share(self, most: int) -> int:
        world = self._world
        return most if world.calm or world.rng.random() < 0.5 else world.rng.randint(0, most)

    def wait(self, seconds: float) -> None:
        self._world.wait_for(seconds)

    def read(self, source: TopicPartition, generation: int) -> None:
        self.reads[source] = min(generation, self.reads.get(source, generation))
        self._refused = False

    def offered(self, offsets: Iterable[TopicPartition], membership: Membership | None) -> None:
        """A batch must first be offered under the generation that it was read under, so that Kafka can refuse it."""
        stale = [source for source in offsets if membership and membership.generation > self.reads.get(source, 2**31)]
        if stale and not self._refused:
            self._world.wrong.append(f"{stale} were read under an earlier generation than they were offered")

    def answered(self, *, accepted: bool) -> None:
        self.reads, self._refused = {}, not accepted

    def delay(self, producer: ModelProducer) -> None:
        self._world.delayed.append(producer)
