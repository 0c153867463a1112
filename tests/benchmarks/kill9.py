"""Kill -9 in the middle of transactions: counts alerts that are lost or doubled, and compares the state.

Usage: python -m tests.benchmarks.kill9 [--runs 20]. Each run has its own topics, and is compared with an undisturbed
run over the same log. There is no trainer.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from pathlib import Path

import torch

from tests.scenarios.processes import await_committed, worker
from tests.scenarios.stream import encoded, events, make
from tests.scenarios.test_crash import RECORDS, run_reference
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer


def run(kafka: KafkaServer, redis: RedisServer, folder: Path, number: int) -> tuple[int, int, bool]:
    """Numbers of alerts that were lost and doubled, and whether the state is equal."""
    stream = f"k{uuid.uuid4().hex[:10]}"
    setup = make(kafka, redis.url, folder, stream)
    setup.train()
    plain = encoded(events(RECORDS, every=60, seed=number))
    kafka.produce(stream, plain[:1_500])
    point = ("produced", "offsets_sent", "committed")[number % 3]
    with worker(setup, "pod-0", folder, dies=(point, 2 + number % 4)) as dying:
        sent = 1_500
        while dying.process.poll() is None:
            done = min(1_500 + 30 * len(dying.events("batch")), RECORDS)
            kafka.produce(stream, plain[sent:done])
            sent = max(sent, done)
        dying.wait()
    kafka.produce(stream, plain[sent:])
    with worker(setup, "pod-0" if number % 2 else "pod-1", folder) as successor:
        await_committed(setup, RECORDS, successor)
        successor.stop()
    reference = run_reference(kafka, redis.url, folder, stream)
    seen = [alert["alert_id"] for alert in setup.alerts()]
    wanted = {alert["alert_id"] for alert in reference.alerts()}
    return len(wanted - set(seen)), len(seen) - len(set(seen)), setup.state_bytes() == reference.state_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        results = []
        for number in range(options.runs):
            results.append(run(kafka, redis, folder, number))
            print(
                f"run {number + 1}: lost {results[-1][0]}, doubled {results[-1][1]}, state equal {results[-1][2]}",
                flush=True,
            )
        lost, doubled = sum(r[0] for r in results), sum(r[1] for r in results)
        print(f"{options.runs} runs: lost {lost}, doubled {doubled}, state equal in {sum(r[2] for r in results)}")
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
