"""Judged rows to outputs: incidents, alerts, and scores where a topic asks for them.

Incidents are state, so they are folded while catching up too; only what a live partition makes is built and published.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from worker.core.alerts.alert import Alert, Origin, anomaly, closing
from worker.core.alerts.envelope import seal
from worker.core.alerts.explaining import explained
from worker.core.alerts.redaction import read_event, redact
from worker.core.events.decode import Decoded
from worker.core.events.entity_names import entity_of
from worker.core.model.detector import Scores
from worker.core.model.threshold import score_of
from worker.core.state.incidents import Evidence, Flagged, IncidentChange
from worker.core.state.partition_state import ScoredRows
from worker.partitions.assigned import AssignedPartition, Phase
from worker.partitions.serving import ServingModel
from worker.ports.log import Output, Records
from worker.telemetry import Telemetry


class _Judged(NamedTuple):
    """A record that is to be published, and its place among the outputs."""

    place: int
    row: int
    record: Flagged
    change: IncidentChange


class AlertOutputs:
    """Builds the outputs of one partition's rows. `size_limit(topic)` is the largest record it takes, in bytes."""

    def __init__(
        self,
        stream: str,
        topic: str,
        scores: str | None,
        event: Literal["full", "none"] | tuple[str, ...],
        size_limit: Callable[[str], int],
        wall_ms: Callable[[], int],
        telemetry: Telemetry,
    ) -> None:
        self._stream = stream
        self._topic = topic
        self._scores = scores
        self._event = event
        self._size_limit = size_limit
        self._wall_ms = wall_ms
        self._telemetry = telemetry

    def outputs(
        self, assigned: AssignedPartition, records: Records, decoded: Decoded, rows: ScoredRows, found: Scores
    ) -> list[Output]:
        """Fold the rows' incidents; the outputs of a live partition in offset order, none while it catches up."""
        state, model = assigned.state, assigned.model
        assert state is not None and model is not None
        if not len(rows.offsets):
            return []
        live = assigned.phase is Phase.LIVE
        origin = Origin(
            self._stream, model.spec_hash, assigned.source.topic, assigned.topic_id, assigned.source.partition
        )
        outputs = self._score_records(assigned, model, rows, found) if live and self._scores is not None else []
        opened: list[_Judged] = []
        flagged = np.flatnonzero(rows.flagged)
        p_values = model.threshold.p_values(rows.errors[flagged])
        for row, p in zip(flagged.tolist(), p_values.tolist(), strict=True):
            outputs += self._close(assigned, records, origin, int(rows.times.clock[row]), live=live)
            record = self._flagged(model, records, decoded, rows, row, p)
            change = state.incidents.flag(record)
            if not live:
                continue
            self._telemetry.incidents_evicted += change.evicted
            if change.publish:
                opened.append(_Judged(len(outputs) + len(opened), row, record, change))
            else:
                self._telemetry.held_back("cooldown")
        outputs += self._close(assigned, records, origin, int(rows.times.clock[-1]), live=live)
        for judged, alert in zip(
            opened, self._alerts(model, origin, opened, records, rows, decoded, found), strict=True
        ):
            outputs.insert(judged.place, alert)
        return outputs

    def _flagged(
        self, model: ServingModel, records: Records, decoded: Decoded, rows: ScoredRows, row: int, p: float
    ) -> Flagged:
        index = int(decoded.index[row])
        timestamp = int(records.timestamps[index])
        evidence = Evidence(
            p_value=p,
            error=float(rows.errors[row]),
            threshold=model.threshold.cut,
            calibration_n=model.threshold.n,
            version=model.version,
            kind=model.kind,
            backfill=0 <= timestamp < model.created_ms,
        )
        return Flagged(
            entity=entity_of(decoded.names.at(row), records.key(index)),
            offset=int(rows.offsets[row]),
            timestamp_ms=timestamp,
            time_ms=int(rows.times.times[row]),
            clock_ms=int(rows.times.clock[row]),
            evidence=evidence,
        )

    def _alerts(
        self,
        model: ServingModel,
        origin: Origin,
        opened: list[_Judged],
        records: Records,
        rows: ScoredRows,
        decoded: Decoded,
        found: Scores,
    ) -> list[Output]:
        """One per judged record, explained together."""
        if not opened:
            return []
        places = np.array([judged.row for judged in opened])
        why = explained(model.detector, found, rows.columns, places)
        outputs = []
        for judged, features in zip(opened, why, strict=True):
            index = int(decoded.index[judged.row])
            alert = anomaly(
                origin,
                judged.record,
                judged.change,
                detected_ms=self._wall_ms(),
                features=features,
                event=redact(read_event(records.values[index] or b""), self._event),
            )
            outputs.append(self._output(records, alert, records.key(index)))
        return outputs

    def _close(
        self, assigned: AssignedPartition, records: Records, origin: Origin, clock_ms: int, *, live: bool
    ) -> list[Output]:
        assert assigned.state is not None
        closed = assigned.state.incidents.advance(clock_ms)
        if not live:
            return []
        now = self._wall_ms()
        return [self._output(records, closing(origin, one, detected_ms=now), None) for one in closed]

    def _output(self, records: Records, alert: Alert, key: bytes | None) -> Output:
        sealed = seal(alert, self._size_limit(self._topic))
        return Output(records.source, self._topic, sealed.key or key, sealed.value, sealed.headers)

    def _score_records(
        self, assigned: AssignedPartition, model: ServingModel, rows: ScoredRows, found: Scores
    ) -> list[Output]:
        """Every score and its code (the bottleneck's values), one record each: only where `kafka.scores` is a topic."""
        assert self._scores is not None
        p = model.threshold.p_values(rows.errors)
        columns = zip(
            rows.offsets.tolist(),
            rows.times.times.tolist(),
            score_of(p).tolist(),
            p.tolist(),
            rows.errors.tolist(),
            rows.flagged.tolist(),
            found.code.astype(np.float64).round(5).tolist(),
            strict=True,
        )
        return [
            Output(
                assigned.source,
                self._scores,
                None,
                msgspec.json.encode(
                    {
                        "topic": assigned.source.topic,
                        "partition": assigned.source.partition,
                        "offset": offset,
                        "event_time_ms": time,
                        "score": score,
                        "p_value": p_value,
                        "reconstruction_error": error,
                        "verdict": "ANOMALOUS" if flagged else "NORMAL",
                        "version": model.version,
                        "code": values,
                    }
                ),
                (),
            )
            for offset, time, score, p_value, error, flagged, values in columns
        ]
