"""The metrics on `/metrics`: names, units, labels and help texts of the worker's counters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from worker.log_histogram import LogHistogram
from worker.ports.metrics import Metric, Sample
from worker.telemetry import Telemetry


def metrics(now: Telemetry) -> Iterator[Metric]:
    """All metrics of the worker, each with the label `stream`."""
    for group in (_flow, _outcomes, _upkeep, _model):
        for metric in group(now):
            samples = [((now.stream, *labels), value) for labels, value in metric.samples]
            yield metric._replace(labels=("stream", *metric.labels), samples=samples)


def _flow(now: Telemetry) -> Iterator[Metric]:
    yield _counter("records", "Records read from live partitions", now.records)
    yield _counter("events_scored", "Events scored", now.scored)
    yield _counter("events_flagged", "Events flagged as anomalous, before noise control", now.flagged)
    yield _counter("tombstones", "Records without a value, which are skipped", now.tombstones)
    yield _counters("rejects", "Records that could not be decoded as events", "reason", now.rejects)
    yield _counter("missing_values", "Feature values that were missing or null", now.missing_values)
    yield _counter("out_of_range_values", "Numbers clipped to the range seen in training", now.out_of_range_values)
    yield _counter(
        "future_times", "Event times more than an hour ahead of their record, which are replaced", now.future_times
    )
    yield _counter(
        "late_times", "Records whose event time is before that of their entity's last record", now.late_times
    )
    yield _counter("entities_evicted", "Entities dropped because they were too many or idle", now.entities_evicted)
    yield _counter("catch_up_records", "Records replayed into state without publishing", now.catch_up_records)
    lag = [((source.topic, str(source.partition)), count) for source, count in now.health.lag.items()]
    yield _gauges(
        "lag_records", "Records between the committed offset and the high watermark", ("topic", "partition"), lag
    )
    yield _histogram("batch_seconds", "Time of one batch from poll to commit, in seconds", now.batch_seconds)
    yield _histogram("event_delay_seconds", "Time from an event to its score, in seconds", now.event_delay)


def _outcomes(now: Telemetry) -> Iterator[Metric]:
    alerts = list(dict(now.alerts).items())
    text = "Alerts published and committed"
    yield Metric("offbeat_alerts", "counter", text, ("kind", "status", "severity"), alerts)
    yield _counters("held_back", "Flagged events whose alert noise control held back", "reason", now.held)
    yield _counter("incidents_evicted", "Open incidents dropped to make room", now.incidents_evicted)
    yield _counter("dead_letters", "Dead letters published and committed", now.dead_letters)
    commits = {"committed": now.transactions_committed, "aborted": now.transactions_aborted}
    yield _counters("transactions", "Commits of outputs and offsets", "outcome", commits)


def _upkeep(now: Telemetry) -> Iterator[Metric]:
    yield _counter(
        "producers_replaced",
        "Producers replaced because the outcome of a transaction was unknown",
        now.producers_replaced,
    )
    yield _counter("recoveries", "Recoveries of all partitions", now.recoveries)
    yield _counter("offsets_lost", "Committed offsets that the log no longer had", now.offsets_lost)
    yield _counter("states_rebuilt", "Partition states rebuilt from the log", now.rebuilt)
    yield _counter(
        "blind_seconds",
        "Time that partitions published nothing while they recovered; counted when they are live",
        now.blind_seconds,
    )
    yield _gauge(
        "blind_now_seconds", "Time that the slowest recovering partition has published nothing so far", now.blind_now
    )
    yield _gauge("recovering_partitions", "Partitions that are recovering or catching up", len(now.health.blind_since))
    yield _gauge("catch_up_to_go_records", "Records still to be replayed into state", now.health.to_catch_up)
    yield _gauge("catch_up_rate", "Records replayed into state per second", now.health.catch_up_rate)
    yield _counter("partitions_repositioned", "Stalled partitions recovered by the watchdog", now.repositioned)
    stalled = [((source.topic, str(source.partition)), 1) for source in now.stalled]
    text = "1 for a partition that stands still although it was repositioned; /livez fails"
    yield _gauges("partition_stalled", text, ("topic", "partition"), stalled)
    snapshots = {"written": now.snapshots_written, "failed": now.snapshots_failed}
    yield _counters("snapshots", "Snapshots of partition states", "outcome", snapshots)
    yield _gauge(
        "snapshot_age_seconds", "Age of the most outdated partition's latest snapshot", now.health.snapshot_age
    )
    yield _counter("snapshot_bytes", "Bytes of snapshots written", now.snapshot_bytes)
    degraded = [((reason,), 1) for reason in now.health.degraded]
    yield _gauges("degraded", "1 while the worker is degraded for this reason", ("reason",), degraded)


def _model(now: Telemetry) -> Iterator[Metric]:
    yield _counter("version_switches", "Switches of a partition to another bundle or threshold", now.switches)
    model, observed = now.model, now.observed_rate
    rates: list[Sample] = [] if observed is None else [(("observed",), observed)]
    if model is not None:
        age = (now.wall_ms() - model.created_ms) / 1000.0
        yield _gauge("bundle_version", "Version of the bundle that serves", model.version)
        yield _gauge("bundle_age_seconds", "Age of the bundle that serves", age)
        yield _gauge("threshold", "Reconstruction error above which events are flagged", model.threshold.cut)
        text = "1 while the errors drift so far that the threshold is held at its bound: alert_rate is not met"
        yield _gauge("threshold_at_bound", text, int(model.threshold.provenance.at_bound))
        rates.append((("target",), model.threshold.alert_rate))
    yield _gauges(
        "alert_rate_ratio",
        "Share of scored events that are flagged: observed, and targeted by alert_rate",
        ("kind",),
        rates,
    )


def _counter(name: str, text: str, value: float) -> Metric:
    return Metric(f"offbeat_{name}", "counter", text, (), [((), value)])


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    samples = [((key,), value) for key, value in dict(values).items()]
    return Metric(f"offbeat_{name}", "counter", text, (label,), samples)


def _gauge(name: str, text: str, value: float) -> Metric:
    return Metric(f"offbeat_{name}", "gauge", text, (), [((), value)])


def _gauges(name: str, text: str, labels: tuple[str, ...], samples: Iterable[Sample]) -> Metric:
    return Metric(f"offbeat_{name}", "gauge", text, labels, list(samples))


def _histogram(name: str, text: str, value: LogHistogram) -> Metric:
    return Metric(f"offbeat_{name}", "histogram", text, (), [((), value)])
