"""A schedule: things happen as the seed says, then it becomes calm, and the results are compared with the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.model import stage
from tests.model.actors import Actors
from tests.model.reference import alert_of, letter_of
from tests.model.stream import SETTINGS, versions
from worker.core.state.commit_metadata import CommitMetadata
from worker.partitions.assigned import Phase

ACTIONS = 60
CALM_TURNS = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in a schedule, and what was wrong in the end: nothing, if the product is right."""

    seed: int
    done: Counter[str]
    alerts: int
    lost: int
    doubled: int
    wrong: list[str]

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


class World(Actors):
    """One schedule."""

    def run(self) -> Outcome:
        with stage.on_the_model(self.clock):
            self.start()
            self.feed()
            for _ in range(ACTIONS):
                self.act()
            self._calm_down()
        return self._outcome()

    def _calm_down(self) -> None:
        """Redis and the network work, an operator has restored what Redis lost, and the pods work on to the end."""
        self.calm = self.redis_up = True
        for net in self.nets.values():
            net.dies_in = -1
        self.finish()
        for version in versions():
            self.registry.put_version(version)
        if self.registry.champion(SETTINGS.spec.spec_hash) is None and not self._pods:
            self._promote()
        known = {pod.source.member for pod in self._pods.values()}
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
                with self._acting(pod):
                    pod.worker.turn()
                    pod.writer.step()
        while self._pods:
            self.drain()
        self.clock.sleep(20.0)  # transactions that dead pods left open time out, so that readers get past them
        self.broker.expire()

    def _all_live(self) -> bool:
        assignment = [assigned for pod in self._pods.values() for assigned in pod.assignment]
        group = self.broker.group
        known = all(pod.source.member in group.members for pod in self._pods.values())
        settled = known and not any(group.surplus(member) for member in group.members)
        return (
            settled
            and len(assignment) == len(self.broker.logs)
            and all(assigned.phase is Phase.LIVE for assigned in assignment)
        )

    def _all_committed(self) -> bool:
        ends = {source: _end(log) for source, log in self.broker.logs.items()}
        return all(
            (commit := self.broker.stable(source)) is not None and (commit.offset or 0) >= end and commit.metadata
            for source, end in ends.items()
        )

    def _outcome(self) -> Outcome:
        visible = self.broker.visible()
        kafka, wrong = SETTINGS.kafka, [*self.wrong, *self.reference.wrong]
        alerts = Counter(alert_of(output) for output in visible if output.topic == kafka.alerts)
        letters = Counter(letter_of(output) for output in visible if output.topic == kafka.dead_letters)
        if not self._all_committed():
            wrong.append(f"not committed to the end: {self.broker.offsets}")
        if letters != self.reference.letters:
            wrong.append(f"dead letters differ: {letters - self.reference.letters} {self.reference.letters - letters}")
        wrong += self._check_last_states()
        lost, doubled = self.reference.alerts - alerts, alerts - self.reference.alerts
        return Outcome(self.seed, self.done, alerts.total(), lost.total(), doubled.total(), wrong)

    def _check_last_states(self) -> list[str]:
        """After a drain, every commit must name a snapshot at its own offset."""
        wrong = []
        for source, commit in self.broker.offsets.items():
            newest = CommitMetadata.decode(commit.metadata).bases[-1] if commit.metadata else None
            if newest is None or newest.offset != commit.offset:
                wrong.append(f"{source}: after a drain the commit at {commit.offset} names {newest}")
        return wrong


def _end(log: Sequence[object]) -> int:
    """The offset after the last record. Markers after it need not be committed."""
    return max((offset + 1 for offset, record in enumerate(log) if record is not None), default=0)
