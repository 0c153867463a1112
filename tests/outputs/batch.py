"""One batch of the model's stream and the step that it takes a state through."""

from __future__ import annotations

import numpy as np

from tests.model.broker import TOPIC_ID
from tests.model.stream import SETTINGS, START_MS, Events, serving_model
from worker.core.events.decode import Limits, decoder_for
from worker.core.model.serving_model import ServingModel
from worker.core.state.partition_state import PartitionState
from worker.core.step import Step, step
from worker.ports.log import Records, TopicPartition

SOURCE = TopicPartition("events", 1)
FIRST = 100


def stepped(count: int, seed: int = 1) -> tuple[Records, ServingModel, Step]:
    """`count` records from offset `FIRST` on, some of them anomalous, bad or tombstones, scored under version 1."""
    found = [record for record in Events(seed).many(count) if record is not None]
    offsets = np.arange(FIRST, FIRST + len(found))
    timestamps = np.array([record.timestamp for record in found])
    records = Records(SOURCE, offsets, timestamps, [record.value for record in found], lambda i: b"key %d" % i)
    state = PartitionState(SETTINGS.spec, TOPIC_ID, 1, FIRST, 60_000, SETTINGS.bounds)
    state.clock_ms = START_MS
    model = serving_model(1)
    decoded = decoder_for("json", SETTINGS.spec, Limits()).decode(records.values)
    return records, model, step(state, model, decoded, offsets, timestamps, records.key)
