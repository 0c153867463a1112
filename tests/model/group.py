"""A consumer group with cooperative rebalancing: a partition that moves is revoked before it is assigned again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from worker.ports.log import TopicPartition


class Membership(NamedTuple):
    """A consumer's group metadata."""

    member: str
    generation: int


class Group:
    """`members` maps the id of a member to the partitions that it owns."""

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
        """A member leaves, or its session timed out: its partitions are free."""
        if self.members.pop(member, None) is not None:
            self.generation += 1

    def surplus(self, member: str) -> set[TopicPartition]:
        """The partitions that this member has to give up."""
        return set(sorted(self.members[member])[self._quota(member) :])

    def sync(self, member: str) -> tuple[set[TopicPartition], set[TopicPartition]]:
        """The partitions that this member loses and gains now. Either begins a new generation."""
        owned = self.members[member]
        lost = self.surplus(member)
        owned -= lost
        taken = set().union(*self.members.values())
        free = [source for source in self._partitions if source not in taken]
        gained = set() if lost else set(free[: self._quota(member) - len(owned)])
        owned |= gained
        self.generation += bool(lost or gained)
        return lost, gained

    def _quota(self, member: str) -> int:
        """How many partitions the member may own. Assignment is sticky: whoever owns more may keep the odd one."""
        order = sorted(self.members, key=lambda name: (-len(self.members[name]), name))
        base, odd = divmod(len(self._partitions), len(order))
        return base + (order.index(member) < odd)
