"""Runs the worker until it dies by SIGKILL at a named point.

Usage: python -m tests.scenarios.dying CONFIG POINT N. The worker dies when it reaches POINT for the N-th time. With
@FILE instead of POINT, it takes the point from FILE as soon as that file exists. `POINT SIGSTOP` freezes it instead,
once. The points, in the order in which a batch reaches them:

`produced`, `offsets_sent`: inside a transaction that has outputs. `committed`: just after it.
`snapshot_stored`: Redis has a snapshot that no commit names yet. `named`: just after the commit that names it.
`drained`: after a signal to stop, the last snapshot is in Redis, and no commit names it yet.

`handler_raises` is not a point but a planted bug: the handler of SIGTERM raises an exception.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka

import worker.adapters.kafka_transactional_producer as producer
import worker.compose as compose
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.config.load import load
from worker.core.state.commit_metadata import CommitMetadata
from worker.partitions.snapshots import Snapshots

POINTS = ("produced", "offsets_sent", "committed", "snapshot_stored", "named", "drained")


class Death:
    """The point at which this process dies, and how often it may reach it before."""

    def __init__(self, named: str, occasion: int) -> None:
        self._named = named
        self._left = occasion

    def at(self, point: str) -> bool:
        return self._order()[0] == point

    def reached(self, point: str) -> None:
        named, by = self._order()
        if named == point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.Signals[by])

    def _order(self) -> tuple[str, str]:
        """The point and the signal. While the file that names them does not exist, the point is empty."""
        try:
            text = Path(self._named[1:]).read_text() if self._named.startswith("@") else self._named
        except FileNotFoundError:
            text = ""
        point, _, by = text.partition(" ")
        return point, by or "SIGKILL"


def dying_producer(death: Death) -> type[confluent_kafka.Producer]:
    """A producer that reports each step of a transaction with outputs, and each commit that names a snapshot."""

    class Dying(confluent_kafka.Producer):
        outputs = 0
        named: frozenset[str] = frozenset()
        naming: frozenset[str] = frozenset()

        def produce(self, *args: Any, **kwargs: Any) -> None:
            super().produce(*args, **kwargs)
            self.outputs += 1

        def poll(self, timeout: float | None = None) -> int:
            polled: int = super().poll(timeout or 0)
            if self.outputs and death.at("produced"):
                super().flush(5)  # the outputs must be in the log, in an open transaction
                death.reached("produced")
            return polled

        def send_offsets_to_transaction(self, offsets: list[confluent_kafka.TopicPartition], *rest: Any) -> None:
            super().send_offsets_to_transaction(offsets, *rest)
            self.naming = _snapshots(offsets)
            if self.outputs:
                death.reached("offsets_sent")

        def commit_transaction(self, *args: Any) -> None:
            super().commit_transaction(*args)
            if self.outputs:
                death.reached("committed")
            if not self.naming <= self.named:
                death.reached("named")
            self.outputs, self.named = 0, self.named | self.naming

        def abort_transaction(self, *args: Any) -> None:
            super().abort_transaction(*args)
            self.outputs = 0

    return Dying


def _snapshots(offsets: list[confluent_kafka.TopicPartition]) -> frozenset[str]:
    """The newest snapshot that the commit of each partition names."""
    written = [CommitMetadata.decode(part.metadata) for part in offsets if part.metadata]
    return frozenset(metadata.bases[-1].snapshot for metadata in written if metadata.bases)


def die_after(call: Callable[..., Any], death: Death, point: str) -> Callable[..., Any]:
    def dying(*args: Any, **kwargs: Any) -> Any:
        answer = call(*args, **kwargs)
        death.reached(point)
        return answer

    return dying


def main(config: str, point: str, occasion: str) -> None:
    death = Death(point, int(occasion))
    vars(producer)["Producer"] = dying_producer(death)
    for owner, name, reached in ((RedisSnapshots, "put", "snapshot_stored"), (Snapshots, "drain", "drained")):
        setattr(owner, name, die_after(getattr(owner, name), death, reached))
    if point == "handler_raises":
        vars(compose)["stop_on_signals"] = lambda stop: signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    compose.run_worker(load(Path(config)), None, "debug")


if __name__ == "__main__":
    main(*sys.argv[1:])
