"""The composition root: the only module of the worker that knows which adapters stand behind the ports."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
import uuid

import structlog
import torch

from worker import logs
from worker.adapters.http import Probe, StatusServer
from worker.adapters.kafka_admin import Topics, matching
from worker.adapters.kafka_producer import RecordLimits
from worker.adapters.kafka_sink import PlainSink, TransactionalSink
from worker.adapters.kafka_source import KafkaSource
from worker.adapters.redis_client import connect, refuse_eviction
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_samples import RedisSamples
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.config.load import signing_key
from worker.config.settings import Settings
from worker.core.events.decode import Limits, decoder_for
from worker.decode_ahead import DecodeAhead
from worker.errors import ConfigError
from worker.health.degradation import HealthSampler
from worker.health.housekeeping import Housekeeping
from worker.health.metrics import metrics
from worker.health.status import Status
from worker.health.watchdog import Watchdog
from worker.lifecycle import StopToken, stop_on_signals
from worker.loop import Worker
from worker.outputs.alerts import AlertOutputs
from worker.outputs.dead_letters import DeadLetters
from worker.partitions.assigned import Assignment
from worker.partitions.cold_start import ColdSampler
from worker.partitions.recovery import Recovery
from worker.partitions.serving import ModelFeed
from worker.partitions.snapshot_audit import SnapshotAudit
from worker.partitions.snapshot_writer import SnapshotWriter
from worker.partitions.snapshots import Snapshots
from worker.parts import Parts
from worker.ports.log import Sink
from worker.telemetry import Telemetry

START_S = 60.0
"""How long Kafka and Redis may take to answer before a start counts as failed."""
_CHILD_PAUSE_S = 5.0

log = structlog.get_logger()


def instance_name() -> str:
    """The pod's name where there is one, so that a restarted container ends its own dead transaction; else a new
    one.
    """
    return os.environ.get("OFFBEAT_INSTANCE") or f"{platform.node()}-{uuid.uuid4().hex[:12]}"


def run_worker(settings: Settings, trainer_command: list[str] | None, level: str) -> None:
    """Run until a signal asks for a drain; raises the errors of `worker.errors`."""
    stop = StopToken()
    stop_on_signals(stop)
    instance = instance_name()
    logs.configure(level, stream=settings.stream, instance=instance)
    torch.set_num_threads(1)  # tiles are small; threads would cost more than they give, and Kafka's client has its own
    log.info("starting", settings=settings.public())
    worker, feed, telemetry = build(settings, stop, instance)
    status = Status(settings, worker, feed, telemetry)
    server = StatusServer(
        settings.http.port,
        live=lambda: Probe(*status.live()),
        ready=lambda: Probe(*status.ready()),
        status=status.status,
        metrics=lambda: metrics(telemetry),
    )
    log.info("listening", port=server.port)
    feed.start()
    child = _Child(trainer_command, stop) if trainer_command is not None else None
    try:
        worker.run()
    finally:
        feed.stop()
        server.stop()
        if child is not None:
            child.stop()
    log.info("stopped", reason=stop.reason)


def build(settings: Settings, stop: StopToken, instance: str) -> tuple[Worker, ModelFeed, Telemetry]:
    """The worker with its parts; Kafka has answered and Redis too."""
    kafka = settings.kafka
    Topics(kafka.bootstrap_servers, kafka.properties).await_broker(START_S)
    telemetry = Telemetry(settings.stream)
    client = connect(settings.redis.url.get_secret_value())
    registry = RedisRegistry(client, settings.stream, signing_key())
    store = RedisSnapshots(client, settings.stream)
    feed = ModelFeed(registry, settings.spec.spec_hash)
    _await_redis(feed, settings, stop)
    if not settings.redis.allow_eviction:
        refuse_eviction(client)
    try:
        decoder = decoder_for(settings.event.format, settings.spec, Limits())
    except ValueError as error:
        raise ConfigError(f"features: {error}") from None
    source = KafkaSource(kafka.bootstrap_servers, kafka.group, kafka.events, kafka.properties)
    sink = _sink(settings, source, instance)
    writer = SnapshotWriter(store, telemetry)
    writer.start()
    assignment = Assignment(source)
    audit = SnapshotAudit(store, assignment)
    feed.also(audit.check)
    parts = Parts(
        source=source,
        assignment=assignment,
        sink=sink,
        decoder=DecodeAhead(decoder),
        feed=feed,
        recovery=Recovery(settings, source, store, feed, telemetry, sink, _wall_ms),
        snapshots=Snapshots(writer, settings.state.snapshot_every),
        sampler=ColdSampler(RedisSamples(client, settings.stream), settings.spec),
        publisher=AlertOutputs(
            settings.stream,
            kafka.alerts,
            kafka.scores,
            settings.alerts.event,
            sink.limit,
            _wall_ms,
            telemetry,
        ),
        dead_letters=DeadLetters(kafka.dead_letters, sink.limit, kafka.dead_letter_limit),
        housekeeping=Housekeeping(
            source,
            assignment,
            HealthSampler(source, assignment, feed, telemetry, settings.state.snapshot_every, _wall_ms),
            Watchdog(source, assignment, telemetry),
            audit,
            telemetry,
        ),
        telemetry=telemetry,
    )
    return Worker(parts, stop), feed, telemetry


def _sink(settings: Settings, source: KafkaSource, instance: str) -> Sink:
    kafka = settings.kafka
    topics = [topic for topic in (kafka.alerts, kafka.dead_letters, kafka.scores) if topic is not None]
    admin = Topics(kafka.bootstrap_servers, kafka.properties)
    known = admin.all_topics()
    for topic in matching(kafka.events, known):
        policy = admin.setting(topic, "cleanup.policy") or ""
        if "compact" in policy:
            log.warning("compacted_topic", topic=topic, cleanup_policy=policy,
                        effect="a replay skips what was compacted away since: recovered state may differ, and records "
                        "that were overwritten before they were read are never scored")  # fmt: skip
    for topic in topics:
        if topic not in known:
            log.warning("output_topic_missing", topic=topic, effect="nothing is committed until it exists")
    limits = RecordLimits(kafka.bootstrap_servers, kafka.properties, topics)
    if kafka.delivery == "at_least_once":
        return PlainSink(kafka.bootstrap_servers, kafka.properties, limits, source.commit)
    return TransactionalSink(kafka.bootstrap_servers, kafka.properties, f"{kafka.group}.{instance}", limits)


def _await_redis(feed: ModelFeed, settings: Settings, stop: StopToken) -> None:
    """Redis down at start is waited for, and said; nothing is scored without knowing whether there is a champion."""
    waiting = False
    while not stop.is_set():
        feed.refresh()
        if feed.reachable:
            return
        if not waiting:
            log.warning("waiting_for_redis", url=settings.public()["redis"]["url"])
            waiting = True
        stop.wait(1.0)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class _Child:
    """The trainer as a child process with a lower priority; started again, with a pause, when it dies."""

    def __init__(self, command: list[str], stop: StopToken) -> None:
        self._command = command
        self._stop = stop
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name="trainer", daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "worker.cli", *self._command], preexec_fn=lambda: os.nice(5) and None
        )

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            code = self._process.poll()
            if code is not None:
                log.error("trainer_ended", code=code, again_in_seconds=_CHILD_PAUSE_S)
                if self._stop.wait(_CHILD_PAUSE_S):
                    return
                self._process = self._start()

    def stop(self) -> None:
        self._stop.set("worker stopped")
        self._thread.join(5.0)
        self._process.terminate()
        try:
            self._process.wait(15.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
