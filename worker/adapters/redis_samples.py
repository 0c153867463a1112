"""Cold-start samples in Redis: blocks of rows by topic id, partition and first offset."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import redis

from worker.adapters.redis_client import translated
from worker.adapters.redis_keys import SAMPLES_TTL_S, Keys
from worker.ports.stores import SampleBlock


class RedisSamples:
    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._client = client
        self._key = Keys(stream).samples()

    @translated
    def add(self, topic_id: str, topic: str, partition: int, first_offset: int, columns: bytes, rows: int) -> None:
        block = msgspec.msgpack.encode([topic_id, topic, partition, first_offset, rows, columns])
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(self._key, f"{topic_id}/{partition}/{first_offset}/{rows}", cast(Any, block))
            pipe.expire(self._key, SAMPLES_TTL_S)
            pipe.execute()

    @translated
    def rows(self) -> int:
        """Rows as the fields name them; what `read` leaves out as overlapping is counted twice."""
        names = cast(list[bytes], self._client.hkeys(self._key))
        return sum(int(name.rsplit(b"/", 1)[1]) for name in names)

    @translated
    def read(self) -> list[SampleBlock]:
        found = cast(dict[bytes, bytes], self._client.hgetall(self._key))
        blocks = []
        for raw in found.values():
            topic_id, topic, partition, first_offset, rows, columns = msgspec.msgpack.decode(raw)
            blocks.append(SampleBlock(topic_id, topic, partition, first_offset, rows, columns))
        blocks.sort(key=lambda block: (block.topic_id, block.partition, block.first_offset, -block.rows))
        kept: list[SampleBlock] = []
        for block in blocks:
            before = kept[-1] if kept else None
            same = before is not None and (before.topic_id, before.partition) == (
                block.topic_id,
                block.partition,
            )
            if not same or before is None or block.first_offset >= before.first_offset + before.rows:
                kept.append(block)
        return kept

    @translated
    def clear(self) -> None:
        self._client.delete(self._key)
