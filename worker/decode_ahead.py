"""Decodes the next batches in a thread of its own while the loop scores the current one.

The scanner and torch both release Python's lock, so one worker makes use of two cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from worker.core.events.decode import Decoded, Decoder

Values = Sequence[bytes | None]


class DecodeAhead:
    """A decoder that takes batches in advance. It has a single thread, because decoders keep state between batches."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._thread = ThreadPoolExecutor(1, "decoder")
        self._expected: list[tuple[Values, Future[Decoded]]] = []

    def expect(self, batches: Iterable[Values]) -> None:
        """Start to decode these batches, in order, after those that are expected already."""
        self._expected += [(values, self._begin(values)) for values in batches]

    def decode(self, values: Values) -> Decoded:
        """Decode a batch. An expected one (the same object) has begun already; those expected before it are dropped."""
        for place, (batch, future) in enumerate(self._expected):
            if batch is values:
                for _, skipped in self._expected[:place]:
                    skipped.cancel()
                del self._expected[: place + 1]
                return future.result()
        return self._begin(values).result()

    def _begin(self, values: Values) -> Future[Decoded]:
        return self._thread.submit(self._decoder.decode, values)

    def stop(self) -> None:
        self._thread.shutdown(cancel_futures=True)
