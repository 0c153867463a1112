"""The entity of each record: what its event names, else its key."""

from __future__ import annotations

from worker.core.alerts.alert import MAX_ENTITY, entity_of
from worker.core.events.decode import Decoded
from worker.core.events.entity_names import Spans, spans
from worker.ports.log import Records


def entities_of(records: Records, decoded: Decoded) -> Spans:
    """One name per decoded row; none where there is neither."""
    named = decoded.named
    if isinstance(named, Spans) and named.within(MAX_ENTITY):
        return named
    index = decoded.index.tolist()
    names = zip(named.every(), index, strict=True)
    return spans([entity_of(name, records.key(i) if name is None else None) for name, i in names])
