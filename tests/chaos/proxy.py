"""A TCP proxy that can be cut like a cable.

While it is cut, no data passes and no connection ends, so that neither side notices. Data that was sent meanwhile
arrives once the proxy is healed. Unlike with a real cut, a connection that is opened meanwhile is accepted, and then
silent.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress

_CHUNK = 65_536


class Proxy:
    """Forwards each local port in `routes` to the local port that it maps to, in a thread of its own."""

    def __init__(self, routes: Mapping[int, int]) -> None:
        self._routes = routes
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _listen(self) -> None:
        for port, target in self._routes.items():
            await asyncio.start_server(self._serving(target), "127.0.0.1", port)

    def _serving(self, target: int):  # type: ignore[no-untyped-def]  # asyncio's own callback type
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._open.wait()
            try:
                beyond, onward = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                writer.close()  # the target refused it, so it ends here too
                return
            await asyncio.gather(self._pass(reader, onward), self._pass(beyond, writer))

        return serve

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
        await self._open.wait()
        writer.close()
