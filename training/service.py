"""The composition root of the trainer service."""

from __future__ import annotations

import structlog
import torch

from training.trainer import Stores, Trainer
from worker import logs
from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_commits import GroupCommits
from worker.adapters.redis_client import connect
from worker.adapters.redis_lease import RedisLease
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_samples import RedisSamples
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.compose import START_S, instance_name
from worker.config.load import signing_key
from worker.config.settings import Settings
from worker.config.without_effect import keys_without_effect
from worker.lifecycle import StopToken, stop_on_signals

log = structlog.get_logger()


def run_trainer(settings: Settings, level: str) -> None:
    """Run the trainer until SIGTERM or SIGINT arrives.

    Raises DependencyUnreachable if Kafka does not answer, and RefusedByKafka.
    """
    stop = StopToken()
    stop_on_signals(stop)
    logs.configure(level, stream=settings.stream, instance=f"{instance_name()}-trainer")
    torch.set_num_threads(1)
    kafka = settings.kafka
    Topics(kafka.bootstrap_servers, kafka.properties).await_broker(START_S)
    client = connect(settings.redis.url.get_secret_value())
    stores = Stores(
        registry=RedisRegistry(client, settings.stream, signing_key()),
        samples=RedisSamples(client, settings.stream),
        snapshots=RedisSnapshots(client, settings.stream),
        lease=RedisLease(client, settings.stream),
        commits=GroupCommits(kafka.bootstrap_servers, kafka.group, kafka.events, kafka.properties).read,
    )
    for key, text in keys_without_effect(settings):
        log.warning("not_in_this_version", key=key, text=text)
    log.info("trainer_started")
    Trainer(settings, stores, stop).run()
