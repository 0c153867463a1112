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

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from worker.errors import DependencyUnreachable

PARTITIONS = 4


@contextmanager
def broker(bootstrap_servers: str | None, topics: list[str]) -> Iterator[str]:
    """The bootstrap address of a cluster that has the topics; on a real cluster they are created, and deleted at the
    end.
    """
    if bootstrap_servers is None:
        # librdkafka's own mock cluster, for as long as this client lives; its topics appear on first use.
        host = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 3})
        brokers = host.list_topics(timeout=10.0).brokers.values()
        for topic in topics:
            host.list_topics(topic, timeout=10.0)
        yield ",".join(f"{b.host}:{b.port}" for b in brokers)
        return
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS) for topic in topics]).values():
        future.result(30.0)
    try:
        yield bootstrap_servers
    finally:
        for future in admin.delete_topics(topics).values():
            future.exception(30.0)


@contextmanager
def redis(url: str | None) -> Iterator[tuple[str, str]]:
    """A Redis URL and what serves it: the named one, redis-server where it is installed, else an in-process
    stand-in.
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
            [
                program,
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                folder,
            ],
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
