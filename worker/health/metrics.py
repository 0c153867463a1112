"""The worker's counters as metrics: the names, units and help texts that `/metrics` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from worker.log_histogram import LogHistogram
from worker.ports.metrics import Metric, Sample
from worker.telemetry import Telemetry


def metrics(now: Telemetry) -> Iterator[Metric]:
    """Everything that `now` counts, each with the label `stream`."""
    for part in (_flow, _outcomes, _upkeep, _model):
        for metric in part(now):
            samples = [((now.stream, *labels), value) for labels, value in metric.samples]
            yield metric._replace(labels=("stream", *metric.labels), samples=samples)


def _flow(now: Telemetry) -> Iterator[Metric]:
    yield _counter("records", "Records read from live partitions", now.records)
    yield _counter("events_scored", "Events scored", now.scored)
    yield _counter("events_flagged", "Events judged anomalous, before noise control", now.flagged)
    yield _counter("tombstones", "Records without a value, skipped", now.tombstones)
    yield _counters("rejects", "Records that could not be read as events", "reason", now.rejects)
    yield _counter("missing_values", "Feature values missing or null", now.missing_values)
    yield _counter("out_of_range_values", "Numbers clipped to the range of training", now.out_of_range_values)
    yield _counter("future_times", "Event times far ahead of their record, replaced", now.future_times)
    yield _counter("late_times", "Records whose event time is before their entity's last one", now.late_times)
    yield _counter("entities_evicted", "Entities forgotten for their number or their silence", now.entities_evicted)
    yield _counter("catch_up_records", "Records replayed into state, publishing nothing", now.catch_up_records)
    lag = [((source.topic, str(source.partition)), count) for source, count in now.health.lag.items()]
    yield _gauges("lag_records", "High watermark less committed offset", ("topic", "partition"), lag)
    yield _histogram("batch_seconds", "Time of one batch from poll to commit", now.batch_seconds)
    yield _histogram("event_delay_seconds", "From an event's time to its verdict", now.event_delay)


def _outcomes(now: Telemetry) -> Iterator[Metric]:
    alerts = list(dict(now.alerts).items())
    text = "Alerts published and committed"
    yield Metric("offbeat_alerts", "counter", text, ("kind", "status", "severity"), alerts)
    yield _counters("held_back", "Flagged events that noise control kept from alerting", "reason", now.held)
    yield _counter("incidents_evicted", "Open incidents forgotten to make room", now.incidents_evicted)
    yield _counter("dead_letters", "Dead letters published and committed", now.dead_letters)
    commits = {"committed": now.transactions_committed, "aborted": now.transactions_aborted}
    yield _counters("transactions", "Commits of outputs and offsets", "outcome", commits)


def _upkeep(now: Telemetry) -> Iterator[Metric]:
    yield _counter("producers_replaced", "Producers given up with an unknown outcome", now.producers_replaced)
    yield _counter("recoveries", "Times that every partition was recovered", now.recoveries)
    yield _counter("offsets_lost", "Committed offsets that were gone from the log", now.offsets_lost)
    yield _counter("states_rebuilt", "Partition states built anew from the log", now.rebuilt)
    yield _counter("blind_seconds", "Time that partitions spent recovering, once they are live", now.blind_seconds)
    yield _gauge("blind_now_seconds", "Time that the slowest recovering partition has spent so far", now.blind_now)
    yield _gauge("recovering_partitions", "Partitions that are recovering or catching up", len(now.health.blind_since))
    yield _gauge("catch_up_to_go_records", "Records still to be replayed into state", now.health.to_catch_up)
    yield _gauge("catch_up_rate", "Records replayed into state per second", now.health.catch_up_rate)
    yield _counter("partitions_repositioned", "Stalled partitions recovered by the watchdog", now.repositioned)
    stalled = [((source.topic, str(source.partition)), 1) for source in now.stalled]
    yield _gauges("partition_stalled", "1 where repositioning did not help: liveness fails", ("topic", "partition"),
                  stalled)  # fmt: skip
    snapshots = {"written": now.snapshots_written, "failed": now.snapshots_failed}
    yield _counters("snapshots", "Snapshots of partition states", "outcome", snapshots)
    yield _gauge(
        "snapshot_age_seconds", "Age of the most outdated partition's latest snapshot", now.health.snapshot_age
    )
    yield _counter("snapshot_bytes", "Bytes of snapshots written", now.snapshot_bytes)
    degraded = [((reason,), 1) for reason in now.health.degraded]
    yield _gauges("degraded", "1 while the worker is degraded for this reason", ("reason",), degraded)


def _model(now: Telemetry) -> Iterator[Metric]:
    yield _counter("version_switches", "Switches of bundle or threshold, by partition", now.switches)
    model, observed = now.model, now.observed_rate
    rates: list[Sample] = [] if observed is None else [(("observed",), observed)]
    if model is not None:
        age = (now.wall_ms() - model.created_ms) / 1000.0
        yield _gauge("bundle_version", "Version of the bundle that serves", model.version)
        yield _gauge("bundle_age_seconds", "Time since that bundle was made", age)
        yield _gauge("threshold", "Combined error above which events are flagged", model.threshold.cut)
        rates.append((("target",), model.threshold.alert_rate))
    yield _gauges("alert_rate_ratio", "Share of scored events that are flagged", ("kind",), rates)


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
