"""Every Redis key, its format and its time to live.

All keys begin with `offbeat:{<stream>}:`. The braces keep a stream in one slot of a Redis cluster.

| key | type | holds |
|---|---|---|
| bundle:<digest> | hash | manifest (JSON), weights (safetensors), signature |
| bundles | sorted set | digests by version |
| threshold:<digest> | hash | value (JSON), signature |
| thresholds:<bundle digest> | sorted set | digests of the bundle's thresholds by creation, ms since 1970 |
| champion | hash | spec hash to the bundle and threshold that serve (JSON) |
| history:<spec hash> | list | champions, newest first, the last 100 |
| version, fence | integer | last version number, last fencing token |
| lease | string | the active trainer, expires |
| snapshots:<topic>:<partition> | sorted set | snapshot ids by offset |
| snapshot:<topic>:<partition>:<id> | string | manifest (JSON) |
| chunk:<topic>:<partition>:<sha256> | string | state bytes (msgpack) |
| samples | hash | "topic id/partition/offset" to a block (msgpack); expires a week after the last |
"""

from __future__ import annotations

LEASE_MS = 15_000
SAMPLES_TTL_S = 7 * 86_400
HISTORY_LENGTH = 100


class Keys:
    """The keys of one stream."""

    def __init__(self, stream: str) -> None:
        self._prefix = f"offbeat:{{{stream}}}:"

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def bundle(self, digest: str) -> str:
        return self._key("bundle", digest)

    def bundles(self) -> str:
        return self._key("bundles")

    def threshold(self, digest: str) -> str:
        return self._key("threshold", digest)

    def thresholds(self, bundle: str) -> str:
        return self._key("thresholds", bundle)

    def champion(self) -> str:
        return self._key("champion")

    def history(self, spec_hash: str) -> str:
        return self._key("history", spec_hash)

    def version(self) -> str:
        return self._key("version")

    def fence(self) -> str:
        return self._key("fence")

    def lease(self) -> str:
        return self._key("lease")

    def snapshots(self, topic: str, partition: int) -> str:
        return self._key("snapshots", topic, str(partition))

    def snapshot(self, topic: str, partition: int, snapshot_id: str) -> str:
        return self._key("snapshot", topic, str(partition), snapshot_id)

    def chunk(self, topic: str, partition: int, sha256: str) -> str:
        return self._key("chunk", topic, str(partition), sha256)

    def samples(self) -> str:
        return self._key("samples")
