"""The network between a client and the broker: it decides what becomes of each call."""

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
    """A network that never fails, for the contract tests. In `step` a process may die, or pause for a while."""

    def step(self, name: str) -> None: ...
    def chance(self, name: str) -> bool:
        """Whether the mishap of this name happens now. Always: a client with nothing to give up rejoins unpolled."""
        return name == "rejoined behind"

    def share(self, most: int) -> int:
        """How many of `most` records one fetch returns."""
        return most

    def wait(self, seconds: float) -> None:
        """A call took this long."""

    def read(self, source: TopicPartition, generation: int) -> None:
        """Records of this partition were delivered, under this generation."""

    def offered(self, offsets: Iterable[TopicPartition], membership: Membership | None) -> None:
        """Offsets are about to be sent."""

    def answered(self, *, accepted: bool) -> None:
        """The broker has answered: it accepted those offsets, or refused them."""

    def delay(self, producer: ModelProducer) -> None:
        """The commit of this producer has not reached the coordinator yet."""


class Answers:
    """Raises the broker's refusals in the form that librdkafka gives them."""

    def __enter__(self) -> None: ...
    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Refused):
            raise KafkaException(KafkaError(error.code, str(error), error.fatal, False, error.abortable)) from None
