"""What the real parts run on in a schedule: the model's producers, one thread, and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import worker.adapters.kafka_producer as producing
import worker.adapters.kafka_transactional_producer as transactional_producer
import worker.health.housekeeping as housekeeping
import worker.loop as loop
from tests.model.broker import Broker
from tests.model.mishaps import PodNet
from tests.model.pod import AllLimits
from tests.model.producer import ModelProducer
from tests.model.source import ModelSource
from tests.model.stream import START_MS
from worker.adapters.kafka_sink import TransactionalSink
from worker.ports.log import Sink

POLL_ROWS = 6


class Clock:
    """Replaces the `time` module where calls to Kafka are timed."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wall_ms(self) -> int:
        return START_MS + int(self.now * 1_000)


def transactional(broker: Broker, net: PodNet, _: ModelSource) -> Sink:
    """The real sink on the model's producers."""

    def make_producer(_: dict[str, Any]) -> Any:
        return ModelProducer(broker, net.name, net)

    return TransactionalSink("", {}, net.name, AllLimits(), make_producer)  # type: ignore[arg-type]


class Inline:
    """Replaces CallThread: a schedule has one thread, so calls are made in the caller's own."""

    def __init__(self, name: str) -> None: ...

    def submit(self, call: Callable[[], object]) -> Future[object]:
        future: Future[object] = Future()
        future.set_result(call())
        return future

    def close(self) -> None: ...


@contextmanager
def on_the_model(clock: Clock) -> Iterator[None]:
    """Replace the clock, and the threads of calls to Kafka, while a schedule runs."""
    time = SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
    with (
        patch.object(transactional_producer, "CallThread", Inline),
        patch.object(producing, "time", time),
        patch.object(transactional_producer, "time", time),
        patch.object(loop, "POLL_ROWS", POLL_ROWS),
        patch.object(housekeeping, "gc", SimpleNamespace(collect=lambda: 0)),
    ):
        yield
