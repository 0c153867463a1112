"""The composition root of the worker: it knows which adapters stand behind the ports. `models_cli` is the other one."""

from __future__ import annotations

import os
import platform
import time
import uuid

import structlog
import torch

from worker import logs
from worker.adapters.http import Probe, StatusServer
from worker.adapters.kafka_admin import Topics, matching
from worker.adapters.kafka_producer import RecordLimits
from worker.adapters.kafka_sink import PlainSink, TransactionalSink
from worker.adapters.kafka_source import ConsumerFactory, KafkaSource
from worker.adapters.kafka_transactional_producer import ProducerFactory
from worker.adapters.redis_client import connect, refuse_eviction
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_samples import RedisSamples
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.collaborators import Collaborators
from worker.config.load import signing_key
from worker.config.settings import Settings
from worker.config.without_effect import keys_without_effect
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
from worker.outputs.scores import ScoreOutputs
from worker.partitions.assigned import Assignment
from worker.partitions.cold_start import ColdSampler
from worker.partitions.model_feed import ModelFeed
from worker.partitions.recovery import Recovery
from worker.partitions.snapshot_audit import SnapshotAudit
from worker.partitions.snapshot_writer import SnapshotWriter
from worker.partitions.snapshots import Snapshots
from worker.ports.log import Sink
from worker.telemetry import Telemetry
from worker.trainer_process import TrainerProcess

START_S = 60.0
"""Kafka must answer within this time, or the start fails."""

log = structlog.get_logger()


def instance_name() -> str:
    """`OFFBEAT_INSTANCE`, which should be the pod's name, or else a new name.

    A restarted container with the same name ends its own dead transaction at once.
    """
    return os.environ.get("OFFBEAT_INSTANCE") or f"{platform.node()}-{uuid.uuid4().hex[:12]}"


def run_worker(settings: Settings, trainer_command: list[str] | None, level: str) -> None:
    """Run until a signal asks for a drain; raises the errors of `worker.errors`."""
    stop = StopToken()
    stop_on_signals(stop)
    instance = instance_name()
    logs.configure(level, stream=settings.stream, instance=instance)
    torch.set_num_threads(1)  # tiles are small; threads would cost more than they give, and Kafka's client has its own
    for key, text in keys_without_effect(settings):
        log.warning("not_in_this_version", key=key, text=text)
    log.info("starting", settings=settings.public())
    collaborators = build(settings, stop, instance)
    feed, telemetry = collaborators.feed, collaborators.telemetry
    worker = Worker(collaborators, stop)
    status = Status(settings, worker.assignment, lambda: worker.last_turn, feed, telemetry)
    server = StatusServer(
        settings.http.port,
        live=lambda: Probe(*status.live()),
        ready=lambda: Probe(*status.ready()),
        status=status.status,
        metrics=lambda: metrics(telemetry),
    )
    log.info("listening", port=server.port)
    feed.start()
    trainer = TrainerProcess(trainer_command, stop) if trainer_command is not None else None
    try:
        worker.run()
    finally:
        feed.stop()
        server.stop()
        if trainer is not None:
            trainer.stop()
    log.info("stopped", reason=stop.reason)


def build(
    settings: Settings,
    stop: StopToken,
    instance: str,
    consumer_factory: ConsumerFactory | None = None,
    producer_factory: ProducerFactory | None = None,
) -> Collaborators:
    """What the loop works with; returns when Kafka and Redis have answered. Tests pass factories of their own."""
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
    source = KafkaSource(kafka.bootstrap_servers, kafka.group, kafka.events, kafka.properties, consumer_factory)
    outputs = [topic for topic in (kafka.alerts, kafka.dead_letters, kafka.scores) if topic is not None]
    _warn_of_topics(settings, outputs)
    sink = _sink(settings, source, instance, outputs, producer_factory)
    writer = SnapshotWriter(store, telemetry)
    writer.start()
    assignment = Assignment(source)
    audit = SnapshotAudit(store, assignment)
    feed.add_check(audit.check)
    return Collaborators(
        source=source,
        assignment=assignment,
        sink=sink,
        decoder=DecodeAhead(decoder),
        feed=feed,
        recovery=Recovery(settings, source, store, feed, telemetry, sink, _wall_ms),
        snapshots=Snapshots(writer, settings.state.snapshot_every),
        sampler=ColdSampler(RedisSamples(client, settings.stream), settings.spec),
        alerts=AlertOutputs(settings.stream, kafka.alerts, settings.alerts.event, sink.limit, _wall_ms),
        scores=ScoreOutputs(kafka.scores) if kafka.scores is not None else None,
        dead_letters=DeadLetters(kafka.dead_letters, sink.limit, kafka.dead_letter_limit),
        housekeeping=Housekeeping(
            source,
            assignment,
            HealthSampler(source, assignment, feed, telemetry, settings, _wall_ms),
            Watchdog(source, assignment, telemetry),
            audit,
            telemetry,
        ),
        telemetry=telemetry,
    )


def _sink(
    settings: Settings, source: KafkaSource, instance: str, topics: list[str], producer_factory: ProducerFactory | None
) -> Sink:
    kafka = settings.kafka
    limits = RecordLimits(kafka.bootstrap_servers, kafka.properties, topics)
    if kafka.delivery == "at_least_once":
        return PlainSink(kafka.bootstrap_servers, kafka.properties, limits, source.commit)
    return TransactionalSink(
        kafka.bootstrap_servers, kafka.properties, f"{kafka.group}.{instance}", limits, producer_factory
    )


def _warn_of_topics(settings: Settings, outputs: list[str]) -> None:
    """Warn of input topics that are compacted, and of output topics that do not exist."""
    kafka = settings.kafka
    admin = Topics(kafka.bootstrap_servers, kafka.properties)
    known = admin.all_topics()
    for topic in matching(kafka.events, known):
        policy = admin.setting(topic, "cleanup.policy") or ""
        if "compact" in policy:
            effect = (
                "a replay skips what was compacted away since: recovered state may differ, and records that were "
                "overwritten before they were read are never scored"
            )
            log.warning("compacted_topic", topic=topic, cleanup_policy=policy, effect=effect)
    for topic in outputs:
        if topic not in known:
            log.warning("output_topic_missing", topic=topic, effect="nothing is committed until it exists")


def _await_redis(feed: ModelFeed, settings: Settings, stop: StopToken) -> None:
    """Wait for a Redis that is down at start, and log it: nothing is scored before the champion is known."""
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
