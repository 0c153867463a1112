"""Score records: every scored row with its code, on the optional topic `kafka.scores`."""

from __future__ import annotations

import msgspec
import numpy as np

from worker.core.model.serving_model import ServingModel
from worker.core.model.threshold import score_of
from worker.core.step import Step
from worker.ports.log import Output, TopicPartition


class ScoreOutputs:
    """Builds one score record per scored row, in offset order."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def outputs(self, source: TopicPartition, model: ServingModel, step: Step) -> list[Output]:
        """`code` in a record holds the bottleneck's values, rounded to five places."""
        rows = step.rows
        p_values = model.threshold.p_values(rows.errors)
        columns = zip(
            rows.offsets.tolist(),
            rows.times.times.tolist(),
            score_of(p_values).tolist(),
            p_values.tolist(),
            rows.errors.tolist(),
            rows.flagged.tolist(),
            step.scores.code.astype(np.float64).round(5).tolist(),
            strict=True,
        )
        return [
            self._output(
                source,
                {
                    "topic": source.topic,
                    "partition": source.partition,
                    "offset": offset,
                    "event_time_ms": time,
                    "score": score,
                    "p_value": p_value,
                    "reconstruction_error": error,
                    "verdict": "ANOMALOUS" if flagged else "NORMAL",
                    "version": model.version,
                    "code": code,
                },
            )
            for offset, time, score, p_value, error, flagged, code in columns
        ]

    def _output(self, source: TopicPartition, record: dict[str, object]) -> Output:
        value = msgspec.json.encode(record)
        return Output(source=source, topic=self._topic, key=None, value=value, headers=(), kind="score")
