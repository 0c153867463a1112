"""Kafka and Redis for the demo: embedded ones, unless the user names real ones."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_embedded import embedded_broker
from worker.errors import DependencyUnreachable

PARTITIONS = 4


@contextmanager
def broker(bootstrap_servers: str | None, topics: list[str]) -> Iterator[str]:
    """Yield the bootstrap address of a cluster that has the topics.

    On a real cluster the topics are created first and deleted at the end.
    """
    if bootstrap_servers is None:
        with embedded_broker(topics) as bootstrap:
            yield bootstrap
        return
    admin = Topics(bootstrap_servers, {})
    admin.create(topics, PARTITIONS)
    try:
        yield bootstrap_servers
    finally:
        admin.delete(topics)


@contextmanager
def redis(url: str | None) -> Iterator[tuple[str, str]]:
    """Yield the URL of a Redis and a description of it.

    This is the server at `url`, or redis-server if it is installed, or else an in-process stand-in.
    """
    if url is not None:
        yield url, url.rsplit("@", 1)[-1]
    elif (program := shutil.which("redis-server")) is not None:
        with _redis_server(program) as port:
            yield f"redis://127.0.0.1:{port}/0", "redis-server"
    else:
        from fakeredis import TcpFakeServer

        port = _free_port()
        server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{port}/0", "in-process Redis stand-in"
        finally:
            server.shutdown()


@contextmanager
def _redis_server(program: str) -> Iterator[int]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="offbeat-demo-") as folder:
        process = subprocess.Popen(  # noqa: S603 - the program found on the PATH, fixed arguments
            [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )
        try:
            _await_port(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(10.0)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise DependencyUnreachable("the demo's redis-server did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unique_stream() -> str:
    return f"demo-{uuid.uuid4().hex[:8]}"
