"""`offbeat train`: from a stream's history, or a file of it, to a version that serves. A composition root."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
import torch

from training.history.history import History, read_history
from training.history.lookback import featurize_rows
from training.learn.cold_start import LEAST_ROWS
from training.learn.versioning import Trained, train_version
from training.tables.table import read_table
from worker.adapters.redis_client import connect
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_samples import RedisSamples
from worker.config.load import signing_key
from worker.config.settings import Settings
from worker.core.events.columns import category, from_table
from worker.core.events.decode import Limits, decoder_for
from worker.core.events.event_time import LATEST_MS, milliseconds
from worker.core.model.bundle import BundleError
from worker.errors import BundleRefused, ConfigError, DependencyUnreachable, OffbeatError
from worker.ports.stores import Champion, MissingObject, StoreUnavailable

ROWS = 100_000
Stage = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Shows one stage of the work, by name, while it lasts; what it yields is told the steps done and those in all."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options. Without a `file`, `rows` and `since_ms` bound the topics' history."""

    file: Path | None
    rows: int | None
    since_ms: int | None
    label: str | None
    seed: int
    replace: bool
    promote: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of it. `serves` is the version that serves now and `served` the one before; None for none."""

    source: str
    rows_read: int
    rejected: int
    reasons: Mapping[str, int]
    tombstones: int
    anomalous: int
    rows_fitted: int
    rows_calibrated: int
    alert_rate: float
    cut: float
    version: int
    digest: str
    threshold: str
    serves: int | None
    served: int | None
    seconds: float


def run_training(settings: Settings, options: Options, stage: Stage) -> Summary:
    """Read, train, publish; raises the errors of `worker.errors`. Promotion is the last step: a crash before it leaves
    what served before.
    """
    began = time.monotonic()
    torch.set_num_threads(1)  # as in the trainer
    client = connect(settings.redis.url.get_secret_value())
    registry = RedisRegistry(client, settings.stream, signing_key())
    spec_hash = settings.spec.spec_hash
    try:
        before = registry.champion(spec_hash)
        if before is not None and options.promote and not options.replace:
            raise ConfigError(
                f"version {before.version} ({before.bundle}) serves already; --replace lets a new one take its place, "
                "--no-promote only stores it"
            )
        history = _history(settings, options, stage)
        log.info("history_read", records=history.read, events=len(history.columns), rejected=history.rejected)
        trained = _trained(settings, options, history, registry.next_version(), stage)
        _publish(registry, spec_hash, options, trained)
        if options.promote:
            RedisSamples(client, settings.stream).clear()  # nothing starts cold any more
        now = registry.champion(spec_hash)
    except StoreUnavailable as error:
        raise DependencyUnreachable(f"redis.url: {error}") from error
    except (MissingObject, BundleError) as error:
        raise BundleRefused(str(error)) from error
    return _summary(settings, options, history, trained, before, now, time.monotonic() - began)


def _history(settings: Settings, options: Options, stage: Stage) -> History:
    """The events to learn from, with their windows where the model wants them."""
    try:
        decoder = decoder_for(settings.event.format, settings.spec, Limits())
    except ValueError as error:
        raise ConfigError(f"features: {error}") from None
    with stage("reading") as progress:
        if options.file is not None:
            history = _from_file(settings, options.file, options.label)
        else:
            rows = options.rows or (ROWS if options.since_ms is None else None)
            history = read_history(settings, decoder, rows, options.since_ms, progress)
    if len(history.columns) < LEAST_ROWS:
        raise ConfigError(f"only {len(history.columns)} events to train on; a first model takes at least {LEAST_ROWS}")
    return history


def _trained(settings: Settings, options: Options, history: History, version: int, stage: Stage) -> Trained:
    with stage("training") as progress:
        return train_version(
            settings,
            history.columns,
            calibrate_on=None,
            version=version,
            parent=None,
            ranges=history.ranges,
            seed=options.seed,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            progress=progress,
        )


def _publish(registry: RedisRegistry, spec_hash: str, options: Options, trained: Trained) -> None:
    bundle, threshold, version = trained.bundle, trained.threshold, trained.bundle.manifest.version
    registry.put_bundle(bundle)
    registry.put_threshold(threshold)
    registry.bundle(bundle.digest).detector()  # signature, digest and shapes, as a worker will check them
    if not options.promote:
        return
    champion = Champion(bundle.digest, threshold.digest(), version, registry.next_token())
    stored = f"version {version} is stored; `offbeat models promote` lets it serve"
    # A trainer that runs beside this may have had its first model in the meantime.
    rival = registry.champion(spec_hash)
    if rival is not None and not options.replace:
        raise OffbeatError(f"version {rival.version} came to serve while this one was trained; {stored}")
    if not registry.promote(spec_hash, champion):
        raise OffbeatError(f"another promotion came first; {stored}")
    log.info("promoted", version=version, bundle=bundle.digest, cut=threshold.cut)


def _summary(
    settings: Settings,
    options: Options,
    history: History,
    trained: Trained,
    before: Champion | None,
    now: Champion | None,
    seconds: float,
) -> Summary:
    manifest, threshold = trained.bundle.manifest, trained.threshold
    return Summary(
        source=str(options.file) if options.file is not None else ", ".join(settings.kafka.events),
        rows_read=history.read,
        rejected=history.rejected,
        reasons=history.reasons,
        tombstones=history.tombstones,
        anomalous=history.anomalous,
        rows_fitted=int(manifest.metrics["rows"]),
        rows_calibrated=int(manifest.metrics["calibration_rows"]),
        alert_rate=threshold.alert_rate,
        cut=threshold.cut,
        version=manifest.version,
        digest=trained.bundle.digest,
        threshold=threshold.digest(),
        serves=now.version if now is not None else None,
        served=before.version if before is not None else None,
        seconds=round(seconds, 2),
    )


# Events from a file.


def _from_file(settings: Settings, path: Path, label: str | None) -> History:
    """Rows by event time where the file has it, else in file order; without those that the label calls anomalous, and
    those that the worker would reject since a value is missing that must be there.
    """
    table, spec = read_table(path, label), settings.spec
    for note in table.notes:
        log.warning("file_note", file=path.name, note=note)
    columns = table.columns
    _refuse_missing(settings, path, columns, label)
    try:
        events = from_table(columns, spec)
        times = _times(columns.get(spec.time or "", [None] * table.rows))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    needed = {feature.field for feature in spec.features if feature.missing == "reject"}
    gone = {field: np.array([value is None for value in columns[field]], np.bool_) for field in sorted(needed)}
    rejected = np.logical_or.reduce([np.zeros(table.rows, np.bool_), *gone.values()])
    anomalous = ~rejected & (table.labels if table.labels is not None else False)
    order = np.argsort(times, kind="stable")
    chosen = order[~(rejected | anomalous)[order]]
    named = columns[spec.entity] if spec.stateful and spec.entity is not None else [None] * table.rows
    entities = [category(named[i]) for i in chosen.tolist()]
    when = np.clip(np.nan_to_num(times[chosen]), 0, LATEST_MS).astype(np.int64)
    return History(
        featurize_rows(settings, events.take(chosen), entities, when),
        table.rows,
        rejected=int(rejected.sum()),
        anomalous=int(anomalous.sum()),
        reasons={f"{field}: missing": int(rows.sum()) for field, rows in gone.items() if rows.any()},
    )


def _refuse_missing(settings: Settings, path: Path, columns: Mapping[str, Any], label: str | None) -> None:
    """Raises ConfigError for whatever the model needs of the file and does not find, all of it at once."""
    needed = {f"features.{i}": feature.field for i, feature in enumerate(settings.features)}
    if settings.spec.stateful:
        if settings.event.entity is None:
            raise ConfigError("event.entity: a file has no record keys; required for rates and model.window above 1")
        needed["event.entity"] = settings.event.entity
    lines = []
    for key, field in needed.items():
        if field == label:
            lines.append(f"{key}: {field!r} is the --label column, which is never a feature")
        elif field not in columns:
            lines.append(f"{key}: {path.name} has no column {field!r}; it has: {', '.join(columns)}")
    if lines:
        raise ConfigError("\n".join(lines))


def _times(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """(n,) float64 ms; a row without a time goes with the row before it. Raises ValueError for what is no time."""
    times = np.array([math.nan if value is None else milliseconds(value) for value in values], np.float64)
    before = np.maximum.accumulate(np.where(np.isnan(times), 0, np.arange(len(times))))
    return np.nan_to_num(times[before], nan=-math.inf)
