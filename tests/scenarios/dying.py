"""Runs the worker and dies by SIGKILL at a named point of the n-th transaction that has outputs.

Usage: python -m tests.scenarios.dying CONFIG POINT N. Points: `produced` and `offsets_sent`, inside the transaction,
and `committed`, just after it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import confluent_kafka

import worker.adapters.kafka_sink as sink
from worker.compose import run_worker
from worker.configuration import load

CALLS = {
    "produced": "poll",
    "offsets_sent": "send_offsets_to_transaction",
    "committed": "commit_transaction",
}


def dying_producer(point: str, transaction: int) -> type[confluent_kafka.Producer]:
    """A producer that kills its process right after the call that `point` names, in a transaction that has outputs."""

    class Dying(confluent_kafka.Producer):
        published = 0
        produced_now = 0

        def produce(self, *args: Any, **kwargs: Any) -> None:
            super().produce(*args, **kwargs)
            if not self.produced_now:
                Dying.published += 1
            self.produced_now += 1

        def commit_transaction(self, *args: Any) -> None:
            super().commit_transaction(*args)
            self._die("commit_transaction")
            self.produced_now = 0

        def send_offsets_to_transaction(self, *args: Any) -> None:
            super().send_offsets_to_transaction(*args)
            self._die("send_offsets_to_transaction")

        def poll(self, timeout: float | None = None) -> int:
            polled: int = super().poll(timeout or 0)
            super().flush(5)  # so that the outputs really are in the log, under an open transaction
            self._die("poll")
            return polled

        def _die(self, call: str) -> None:
            if call == CALLS[point] and self.produced_now and Dying.published >= transaction:
                os.kill(os.getpid(), signal.SIGKILL)

    return Dying


def main(config: str, point: str, transaction: str) -> None:
    vars(sink)["Producer"] = dying_producer(point, int(transaction))
    run_worker(load(Path(config)), None, "debug")


if __name__ == "__main__":
    main(*sys.argv[1:])
