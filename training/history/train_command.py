"""The composition root of `offbeat train`, which trains and promotes a version from a stream's history or a file."""

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
"""A context that shows a stage of the work, by name. It yields a callback for the steps done and their total number."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options. If `file` is None, `rows` and `since_ms` limit the topics' history."""

    file: Path | None
    rows: int | None
    since_ms: int | None
    label: str | None
    seed: int
    replace: bool
    promote: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """The command's result. `serves` is the version that serves now and `served` the one before, None for none."""

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
    """Read the events, train a version on them, store it and promote it. Raises the errors of `worker.errors`.

    Promotion is the last step, so that a crash before it leaves the serving version unchanged.
    """
    began = time.monotonic()
    torch.set_num_threads(1)  # as in the trainer service
    client = connect(settings.redis.url.get_secret_value())
    registry = RedisRegistry(client, settings.stream, signing_key())
    spec_hash = settings.spec.spec_hash
    try:
        before = registry.champion(spec_hash)
        if before is not None and options.promote and not options.replace:
            raise ConfigError(
                f"version {before.version} ({before.bundle}) serves already; --replace promotes a new one, "
                "--no-promote only stores it"
            )
        history = _read_events(settings, options, stage)
        log.info("history_read", records=history.read, events=len(history.columns), rejected=history.rejected)
        trained = _train(settings, options, history, registry.next_version(), stage)
        _store_and_promote(registry, spec_hash, options, trained)
        if options.promote:
            RedisSamples(client, settings.stream).clear()  # no cold start needs them any more
        now = registry.champion(spec_hash)
    except StoreUnavailable as error:
        raise DependencyUnreachable(f"redis.url: {error}") from error
    except (MissingObject, BundleError) as error:
        raise BundleRefused(str(error)) from error
    return _summarize(settings, options, history, trained, before, now, time.monotonic() - began)


def _read_events(settings: Settings, options: Options, stage: Stage) -> History:
    """Read the events to train on, with their lookback columns. Raises ConfigError if there are too few of them."""
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
        raise ConfigError(f"only {len(history.columns)} events to train on; a first model needs at least {LEAST_ROWS}")
    return history


def _train(settings: Settings, options: Options, history: History, version: int, stage: Stage) -> Trained:
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


def _store_and_promote(registry: RedisRegistry, spec_hash: str, options: Options, trained: Trained) -> None:
    bundle, threshold, version = trained.bundle, trained.threshold, trained.bundle.manifest.version
    registry.put_bundle(bundle)
    registry.put_threshold(threshold)
    registry.bundle(bundle.digest).detector()  # checks signature, digest and shapes as a worker does
    if not options.promote:
        return
    champion = Champion(bundle.digest, threshold.digest(), version, registry.next_token())
    stored = f"version {version} is stored; use `offbeat models promote` to let it serve"
    # A trainer service that runs at the same time may have promoted its first model meanwhile.
    rival = registry.champion(spec_hash)
    if rival is not None and not options.replace:
        raise OffbeatError(f"version {rival.version} was promoted while this one was trained; {stored}")
    if not registry.promote(spec_hash, champion):
        raise OffbeatError(f"another promotion came first; {stored}")
    log.info("promoted", version=version, bundle=bundle.digest, cut=threshold.cut)


def _summarize(
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


# Events from a file


def _from_file(settings: Settings, path: Path, label: str | None) -> History:
    """Read the events of a file, in order of their event times if it has any, else in file order.

    Rows that are labelled as anomalies are left out, and so are rows that the worker would reject because a required
    value is missing. Raises ConfigError if the file cannot be read or lacks a column.
    """
    table, spec = read_table(path, label), settings.spec
    for note in table.notes:
        log.warning("file_note", file=path.name, note=note)
    columns = table.columns
    _check_columns(settings, path, columns, label)
    try:
        events = from_table(columns, spec)
        times = _parse_times(columns.get(spec.time or "", [None] * table.rows))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    needed = {feature.field for feature in spec.features if feature.missing == "reject"}
    missing = {field: np.array([value is None for value in columns[field]], np.bool_) for field in sorted(needed)}
    rejected = np.logical_or.reduce([np.zeros(table.rows, np.bool_), *missing.values()])
    anomalous = ~rejected & (table.labels if table.labels is not None else False)
    order = np.argsort(times, kind="stable")
    kept = order[~(rejected | anomalous)[order]]
    names = columns[spec.entity] if spec.stateful and spec.entity is not None else [None] * table.rows
    entities = [category(names[i]) for i in kept.tolist()]
    when = np.clip(np.nan_to_num(times[kept]), 0, LATEST_MS).astype(np.int64)
    return History(
        featurize_rows(settings, events.take(kept), entities, when),
        table.rows,
        rejected=int(rejected.sum()),
        anomalous=int(anomalous.sum()),
        reasons={f"{field}: missing": int(rows.sum()) for field, rows in missing.items() if rows.any()},
    )


def _check_columns(settings: Settings, path: Path, columns: Mapping[str, Any], label: str | None) -> None:
    """Raise one ConfigError that lists every column that the model needs and the file does not have."""
    needed = {f"features.{i}": feature.field for i, feature in enumerate(settings.features)}
    if settings.spec.stateful:
        if settings.event.entity is None:
            raise ConfigError(
                "event.entity: a file has no record keys; required for rate, delta and unchanged features, and for "
                "model.window above 1"
            )
        needed["event.entity"] = settings.event.entity
    lines = []
    for key, field in needed.items():
        if field == label:
            lines.append(f"{key}: {field!r} is the --label column, which is never a feature")
        elif field not in columns:
            lines.append(f"{key}: {path.name} has no column {field!r}; it has: {', '.join(columns)}")
    if lines:
        raise ConfigError("\n".join(lines))


def _parse_times(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Convert n values to (n,) float64 ms since 1970. Raises ValueError for an invalid time.

    A row without a time gets the time of the row before it, -inf if there is none.
    """
    times = np.array([math.nan if value is None else milliseconds(value) for value in values], np.float64)
    before = np.maximum.accumulate(np.where(np.isnan(times), 0, np.arange(len(times))))
    return np.nan_to_num(times[before], nan=-math.inf)
