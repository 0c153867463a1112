"""Between a client and the broker: what becomes of each call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from tests.model.broker import Refused
from tests.model.group import Membership
from worker.ports.log import TopicPartition

if TYPE_CHECKING:
    from tests.model.producer import ModelProducer


class Net:
    """One that never fails, for the contract tests. `step` is where a process may die or stand still for a while."""

    def step(self, name: str) -> None: ...
    def chance(self, name: str) -> bool:
        """Whether something of this name happens now; a client with nothing to give up rejoins without being polled."""
        return name == "rejoined behind"

    def share(self, most: int) -> int:
        """How many of `most` records one fetch brings."""
        return most

    def wait(self, seconds: float) -> None:
        """A call took so long."""

    def read(self, source: TopicPartition, generation: int) -> None:
        """Records of this partition were delivered, under this generation."""

    def offered(self, offsets: Iterable[TopicPartition], membership: Membership | None) -> None:
        """Offsets are about to be sent."""

    def accepted(self, *, was: bool) -> None:
        """What became of those offsets."""

    def late(self, producer: ModelProducer) -> None:
        """Its commit is still on its way."""


class Answers:
    """The broker's refusals as librdkafka tells them."""

    def __enter__(self) -> None: ...
    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Refused):
            raise KafkaException(KafkaError(error.code, str(error), error.fatal, False, error.abortable)) from None
