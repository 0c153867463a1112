"""A consumer group with cooperative rebalancing: what moves is given up first, and taken in a later generation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from worker.ports.log import TopicPartition


class Membership(NamedTuple):
    """What a consumer's group metadata says."""

    member: str
    generation: int


class Group:
    """`members` by id, each with the partitions that it is known to hold."""

    def __init__(self, partitions: Iterable[TopicPartition]) -> None:
        self._partitions = sorted(partitions)
        self._joined = 0
        self.members: dict[str, set[TopicPartition]] = {}
        self.generation = 0

    def join(self) -> str:
        self._joined += 1
        member = f"member-{self._joined}"
        self.members[member] = set()
        self.generation += 1
        return member

    def leave(self, member: str) -> None:
        """By itself, or evicted since it was not heard of: what it held is free."""
        if self.members.pop(member, None) is not None:
            self.generation += 1

    def surplus(self, member: str) -> set[TopicPartition]:
        """What this member has to give up."""
        return set(sorted(self.members[member])[self._quota(member) :])

    def sync(self, member: str) -> tuple[set[TopicPartition], set[TopicPartition]]:
        """What this member gives up and what it takes now; either moves the generation."""
        held = self.members[member]
        lost = self.surplus(member)
        held -= lost
        free = [one for one in self._partitions if not any(one in theirs for theirs in self.members.values())]
        gained = set() if lost else set(free[: self._quota(member) - len(held)])
        held |= gained
        self.generation += bool(lost or gained)
        return lost, gained

    def _quota(self, member: str) -> int:
        """Sticky: who holds more may keep the odd one."""
        order = sorted(self.members, key=lambda one: (-len(self.members[one]), one))
        base, odd = divmod(len(self._partitions), len(order))
        return base + (order.index(member) < odd)
