"""offbeat against the loop that a user would write by hand with the same packages: events per second, and the ratio.

The loop polls one record, parses it by `json.loads`, scales and one-hot encodes it, puts the row through the same
autoencoder, produces an alert if the error is above a threshold, and flushes and commits every thousand records. It
does less: one of the three members, no explanation, no state, at-least-once delivery. Both read the same topic one
after the other; the ratio is the median of several passes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from confluent_kafka import Consumer, Producer

from tests.benchmarks.load import CATEGORIES, FITTED, NUMBERS, configured, fill, table
from tests.benchmarks.throughput import as_new_group, throughput
from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer
from worker import logs
from worker.core.events.columns import from_table
from worker.core.model.detector import Detector
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary

EXAMPLES = """examples:
  python -m tests.benchmarks.handwritten
  python -m tests.benchmarks.handwritten --records 200000 --by-hand 5000 --passes 1
"""
COMMIT_EVERY = 1_000


class ByHand:
    """The error of one event, without batches, by the weights and the scaling of the trained autoencoder."""

    def __init__(self, detector: Detector) -> None:
        self._network = detector.network
        blocks, transforms = detector.encoder.layout.blocks, detector.encoder.transforms
        self._width = detector.encoder.layout.width
        self._numbers = [
            (name, block.start, scaling.centre, scaling.spread)
            for name, block, scaling in zip(NUMBERS, blocks, transforms, strict=False)
            if isinstance(scaling, Scaling)
        ]
        after = len(NUMBERS)
        self._categories = [
            (name, block.start, block.levels, {text: i for i, text in enumerate(vocabulary.top)})
            for name, block, vocabulary in zip(CATEGORIES, blocks[after:], transforms[after:], strict=True)
            if isinstance(vocabulary, Vocabulary)
        ]
        self._features = len(blocks)

    def error(self, event: dict[str, Any]) -> float:
        row, levels = [0.0] * self._width, []
        for name, start, centre, spread in self._numbers:
            row[start] = min(max((event[name] - centre) / spread, -10.0), 10.0)
        for name, start, count, known in self._categories:
            level = known.get(event[name], count - 1)
            row[start + level] = 1.0
            levels.append((count, level))
        with torch.inference_mode():
            x = torch.tensor([row])
            out = self._network(x)
            at = len(self._numbers)
            total = 0.5 * ((out[0, :at] - x[0, :at]) ** 2).sum()
            for count, level in levels:
                total += torch.nn.functional.cross_entropy(out[0, at : at + count], torch.tensor(level))
                at += count
            return float(total) / self._features


def threshold(detector: Detector, by_hand: ByHand) -> float:
    """The error that one in a thousand events of training exceeds; asserts that both compute the same errors."""
    rows = table(FITTED, seed=7)
    encoded = detector.encoder.transform(from_table(rows, detector.encoder.spec))
    errors = detector.score(encoded).members[:, 0]
    first = [by_hand.error({name: values[i] for name, values in rows.items()}) for i in range(100)]
    assert np.allclose(first, errors[:100], rtol=1e-3), "the loop by hand computes something else"
    return float(np.quantile(errors, 0.999))


def loop(made: Stream, by_hand: ByHand, cut: float, records: int) -> float:
    """The events per second of the loop by hand, from the first record on."""
    consumer = Consumer(
        {
            "bootstrap.servers": made.kafka.bootstrap,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": made.kafka.bootstrap})
    consumer.subscribe([made.settings.stream])
    seen, began = 0, 0.0
    while seen < records:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        began = began or time.perf_counter()
        event = json.loads(message.value() or b"")
        error = by_hand.error(event)
        if error > cut:
            alert = {"entity": event["host"], "error": error, "event": event}
            producer.produce(made.settings.kafka.alerts, json.dumps(alert).encode(), event["host"])
            producer.poll(0)
        seen += 1
        if seen % COMMIT_EVERY == 0:
            producer.flush()
            consumer.commit(asynchronous=False)
    seconds = time.perf_counter() - began
    consumer.close()
    return records / seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000, help="that offbeat reads, in 50,000s")
    parser.add_argument("--by-hand", type=int, default=50_000, help="that the loop by hand reads")
    parser.add_argument("--passes", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logs.configure("warning", stream="hand", instance="hand")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        made = configured(kafka, redis.url, folder, "hand")
        fill(kafka, "hand", options.records)
        champion = made.registry.champion(made.settings.spec.spec_hash)
        assert champion is not None
        detector = made.registry.bundle(champion.bundle).detector()
        by_hand = ByHand(detector)
        cut = threshold(detector, by_hand)
        print("| pass | by hand, events/s | offbeat, events/s | ratio |\n|---|---|---|---|")
        ratios = []
        for number in range(1, options.passes + 1):
            hand, ours = loop(made, by_hand, cut, options.by_hand), throughput(as_new_group(made), options.records)
            ratios.append(ours / hand)
            print(f"| {number} | {hand:,.0f} | {ours:,.0f} | {ratios[-1]:.1f} |", flush=True)
        print(f"| **median** | | | **{statistics.median(ratios):.1f}** |")
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
