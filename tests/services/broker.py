"""One Kafka process in KRaft mode, from the Maven artifacts."""

from __future__ import annotations

import base64
import fcntl
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.process import await_answer, require, spawn

_HERE = Path(__file__).parent
_LIBS = _HERE.parents[1] / ".cache" / "kafka-4.3.1"


def _libraries() -> Path:
    """The broker's jars, which are fetched once. Test runs side by side wait for each other."""
    _LIBS.parent.mkdir(exist_ok=True)
    with (_LIBS.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_LIBS / ".complete").exists():
            mvn = require("mvn", "maven")
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={_LIBS}"]
            command = [mvn, "-q", "-B", "-f", str(_HERE / "pom.xml"), *goal]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"mvn could not fetch Kafka:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
            (_LIBS / ".complete").touch()
    return _LIBS


def cluster_id() -> str:
    return base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


class Broker:
    """Its storage is formatted on construction. It may be started and stopped; its records stay in `folder`."""

    def __init__(
        self, folder: Path, properties: str, cluster: str, bootstrap: str, jvm: Sequence[str] = ("-Xmx512m",)
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.bootstrap = bootstrap
        self._log = folder / "kafka.log"
        self._config = folder / "server.properties"
        self._config.write_text(f"{properties}\nlog.dirs={folder}/logs\n")
        self._java = [require("java", "default-jdk-headless"), *jvm, "-cp", f"{_libraries()}/*"]
        self._format = spawn(
            [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._config)], self._log
        )

    def launch(self) -> None:
        """Start it without waiting for an answer: a node of a cluster may need the others to answer."""
        if self._format.wait(60):
            pytest.fail("Kafka's storage was not formatted:\n" + self._log.read_text("utf-8", "replace")[-3_000:])
        self._process = spawn([*self._java, "kafka.Kafka", str(self._config)], self._log)

    def await_answer(self) -> None:
        await_answer(self._answers, self._process, "Kafka", self._log)

    def start(self) -> None:
        self.launch()
        self.await_answer()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait(60)

    def _answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False
