"""Decoding ahead: the batches of a poll in a thread of their own, while the loop judges those before.

The scanner and torch both work without Python's lock, so that two cores are of use to one worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from worker.core.events.decode import Decoded, Decoder

Values = Sequence[bytes | None]


class DecodeAhead:
    """A decoder that may be told what is coming. It decodes in one thread, since decoders remember what they met."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._thread = ThreadPoolExecutor(1, "decoder")
        self._coming: list[tuple[Values, Future[Decoded]]] = []

    def expect(self, batches: Iterable[Values]) -> None:
        """Begin with these, in order, behind those that are expected already."""
        self._coming += [(values, self._begin(values)) for values in batches]

    def decode(self, values: Values) -> Decoded:
        """Of a batch that was expected, the very object, or of any other. What was expected before it is forgotten."""
        for place, (expected, future) in enumerate(self._coming):
            if expected is values:
                for _, missed in self._coming[:place]:
                    missed.cancel()
                del self._coming[: place + 1]
                return future.result()
        return self._begin(values).result()

    def _begin(self, values: Values) -> Future[Decoded]:
        return self._thread.submit(self._decoder.decode, values)

    def stop(self) -> None:
        self._thread.shutdown(cancel_futures=True)
