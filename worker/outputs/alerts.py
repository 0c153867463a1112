"""Judged rows to outputs: incidents, alerts, and scores where a topic asks for them.

Incidents are state, so they are folded while catching up too; only what a live lane makes is built and published.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from worker.core.alerts.alert import Alert, Origin, anomaly, closing, entity_of
from worker.core.alerts.envelope import seal
from worker.core.alerts.explaining import explained
from worker.core.alerts.redaction import read_event, redact
from worker.core.events.decode import Decoded
from worker.core.model.detector import Found
from worker.core.model.threshold import score_of
from worker.core.state.incidents import Evidence, Flagged, Judgement
from worker.core.state.partition_state import Judged
from worker.partitions.assigned import Lane, Phase
from worker.partitions.serving import Pair
from worker.ports.log import Output, Records
from worker.telemetry import Telemetry


class _Judged(NamedTuple):
    """A record that is to be published, and its place among the outputs."""

    place: int
    row: int
    record: Flagged
    judgement: Judgement


class Publisher:
    """Builds the outputs of one lane's rows. `size_limit` tells the largest record that a topic takes, in bytes."""

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

    def outputs(self, lane: Lane, records: Records, decoded: Decoded, rows: Judged, found: Found) -> list[Output]:
        """Fold the rows' incidents; the outputs of a live lane in offset order, none while it catches up."""
        state, pair = lane.state, lane.pair
        assert state is not None and pair is not None
        if not len(rows.offsets):
            return []
        live = lane.phase is Phase.LIVE
        origin = Origin(self._stream, pair.spec_hash, lane.source.topic, lane.topic_id, lane.source.partition)
        outputs = self._score_records(lane, pair, rows, found) if live and self._scores is not None else []
        opened: list[_Judged] = []
        flagged = np.flatnonzero(rows.flagged)
        p_values = pair.threshold.p_values(rows.errors[flagged])
        for row, p in zip(flagged.tolist(), p_values.tolist(), strict=True):
            outputs += self._close(lane, records, origin, int(rows.times.clock[row]), live=live)
            record = self._flagged(pair, records, decoded, rows, row, p)
            judgement = state.incidents.flag(record)
            if not live:
                continue
            self._telemetry.incidents_evicted += judgement.evicted
            if judgement.publish:
                opened.append(_Judged(len(outputs) + len(opened), row, record, judgement))
            else:
                self._telemetry.held_back("cooldown")
        outputs += self._close(lane, records, origin, int(rows.times.clock[-1]), live=live)
        for judged, alert in zip(
            opened, self._alerts(pair, origin, opened, records, rows, decoded, found), strict=True
        ):
            outputs.insert(judged.place, alert)
        return outputs

    def _flagged(self, pair: Pair, records: Records, decoded: Decoded, rows: Judged, row: int, p: float) -> Flagged:
        index = int(decoded.index[row])
        timestamp = int(records.timestamps[index])
        evidence = Evidence(
            p_value=p,
            error=float(rows.errors[row]),
            threshold=pair.threshold.cut,
            calibration_n=pair.threshold.n,
            version=pair.version,
            kind=pair.kind,
            backfill=0 <= timestamp < pair.created_ms,
        )
        return Flagged(
            entity=entity_of(decoded.named.one(row), records.key(index)),
            offset=int(rows.offsets[row]),
            timestamp_ms=timestamp,
            time_ms=int(rows.times.times[row]),
            clock_ms=int(rows.times.clock[row]),
            evidence=evidence,
        )

    def _alerts(
        self,
        pair: Pair,
        origin: Origin,
        opened: list[_Judged],
        records: Records,
        rows: Judged,
        decoded: Decoded,
        found: Found,
    ) -> list[Output]:
        """One per judged record, explained together."""
        if not opened:
            return []
        places = np.array([judged.row for judged in opened])
        why = explained(pair.detector, found, rows.columns, places)
        outputs = []
        for judged, features in zip(opened, why, strict=True):
            index = int(decoded.index[judged.row])
            alert = anomaly(
                origin,
                judged.record,
                judged.judgement,
                detected_ms=self._wall_ms(),
                features=features,
                event=redact(read_event(records.values[index] or b""), self._event),
            )
            outputs.append(self._output(records, alert, records.key(index)))
        return outputs

    def _close(self, lane: Lane, records: Records, origin: Origin, clock_ms: int, *, live: bool) -> list[Output]:
        assert lane.state is not None
        closed = lane.state.incidents.advance(clock_ms)
        if not live:
            return []
        now = self._wall_ms()
        return [self._output(records, closing(origin, one, detected_ms=now), None) for one in closed]

    def _output(self, records: Records, alert: Alert, key: bytes | None) -> Output:
        sealed = seal(alert, self._size_limit(self._topic))
        return Output(records.source, self._topic, sealed.key or key, sealed.value, sealed.headers)

    def _score_records(self, lane: Lane, pair: Pair, rows: Judged, found: Found) -> list[Output]:
        """Every score and its code (the bottleneck's values), one record each: only where `kafka.scores` is a topic."""
        assert self._scores is not None
        p = pair.threshold.p_values(rows.errors)
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
                lane.source,
                self._scores,
                None,
                msgspec.json.encode(
                    {
                        "topic": lane.source.topic,
                        "partition": lane.source.partition,
                        "offset": offset,
                        "event_time_ms": time,
                        "score": score,
                        "p_value": p_value,
                        "reconstruction_error": error,
                        "verdict": "ANOMALOUS" if flagged else "NORMAL",
                        "version": pair.version,
                        "code": values,
                    }
                ),
                (),
            )
            for offset, time, score, p_value, error, flagged, values in columns
        ]
