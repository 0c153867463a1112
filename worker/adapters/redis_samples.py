"""Cold-start samples in Redis: blocks of rows by topic id, partition and first offset."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import redis

from worker.adapters.redis_client import translate_errors
from worker.adapters.redis_keys import SAMPLES_TTL_S, Keys
from worker.ports.stores import SampleBlock


class RedisSamples:
    """The `SampleStore` port on one Redis hash that expires."""

    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._client = client
        self._key = Keys(stream).samples()

    @translate_errors
    def add(self, topic_id: str, topic: str, partition: int, first_offset: int, columns: bytes, rows: int) -> None:
        block = msgspec.msgpack.encode([topic_id, topic, partition, first_offset, rows, columns])
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(self._key, f"{topic_id}/{partition}/{first_offset}/{rows}", cast(Any, block))
            pipe.expire(self._key, SAMPLES_TTL_S)
            pipe.execute()

    @translate_errors
    def rows(self) -> int:
        """The sum of the rows that the fields' names state. Blocks that `read` leaves out as overlapping count too."""
        names = cast(list[bytes], self._client.hkeys(self._key))
        return sum(int(name.rsplit(b"/", 1)[1]) for name in names)

    @translate_errors
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
            if (
                before is None
                or (before.topic_id, before.partition) != (block.topic_id, block.partition)
                or block.first_offset >= before.first_offset + before.rows
            ):
                kept.append(block)
        return kept

    @translate_errors
    def clear(self) -> None:
        self._client.delete(self._key)
