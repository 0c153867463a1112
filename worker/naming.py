"""The entity of each record: what its event names, else its key."""

from __future__ import annotations

from worker.core.alerts import MAX_ENTITY, entity_of
from worker.core.decode import Decoded
from worker.streams import Records


def entities_of(records: Records, decoded: Decoded) -> list[str | None]:
    """One name per decoded row; None where there is neither."""
    named = decoded.named.every()
    if decoded.named.within(MAX_ENTITY):
        return named
    index = decoded.index.tolist()
    return [entity_of(name, records.key(i) if name is None else None) for name, i in zip(named, index, strict=True)]
