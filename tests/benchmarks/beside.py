"""Throughput of one worker beside a trainer that fine-tunes one version after the other, compared with none.

The trainer is the real one, a process of its own at nice 5 as with `--with-trainer`, but without its pause of a second
between two looks at the stream. Each of its versions is promoted, and the worker switches to it. Every pass reads the
whole topic as another group.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import torch

from tests.benchmarks.load import configured, fill
from tests.benchmarks.throughput import as_new_group, throughput
from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaServer
from tests.services.process import spawn
from tests.services.redis import RedisServer
from worker import logs

EXAMPLES = """examples:
  python -m tests.benchmarks.beside
  python -m tests.benchmarks.beside --entities 100000 --records 1000000
  python -m tests.benchmarks.beside --records 500000 --passes 1      # quick, but too short for many versions
"""
_CONTINUOUS = """
import sys
import training.trainer
from worker.cli import main
training.trainer.TICK_S = 0.0
sys.argv[0] = "offbeat"
main()
"""


class Trainer:
    """A trainer that fine-tunes without a pause, with the number of its versions and its processor time."""

    def __init__(self, setup: Stream, folder: Path) -> None:
        self._log = folder / f"trainer-{uuid.uuid4().hex}.log"
        command = [
            "env",
            f"OFFBEAT_KAFKA__GROUP={setup.settings.kafka.group}",
            "nice",
            "-n",
            "5",
            sys.executable,
            "-c",
            _CONTINUOUS,
            "trainer",
            "-c",
            str(setup.path),
        ]
        self._process = spawn(command, self._log)
        while "lease_acquired" not in self._log.read_text():
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.1)

    @property
    def versions(self) -> int:
        """How many versions were trained so far, whether the gate let them pass or not."""
        text = self._log.read_text()
        return text.count('"event": "fine_tune"') + text.count('"event": "challenger_rejected"')

    @property
    def seconds(self) -> float:
        """Processor time used so far."""
        ticks = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def beside_trainer(setup: Stream, records: int, folder: Path) -> tuple[float, int, float]:
    """Events per second, versions trained meanwhile, and the trainer's share of a core."""
    trainer = Trainer(setup, folder)
    versions, seconds, began = trainer.versions, trainer.seconds, time.monotonic()
    rate = throughput(setup, records)
    share = (trainer.seconds - seconds) / (time.monotonic() - began)
    trained = trainer.versions - versions
    trainer.stop()
    return rate, trained, share


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=3_000_000, help="a multiple of 50,000")
    parser.add_argument("--entities", type=int, default=0, help="number of entities that two rates look back at")
    parser.add_argument("--snapshot-every", default="1s", help="the trainer learns from snapshots")
    parser.add_argument("--passes", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logs.configure("warning", stream="beside", instance="beside")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        setup = configured(
            kafka,
            redis.url,
            folder,
            "beside",
            entities=options.entities,
            state={"snapshot_every": options.snapshot_every, "entities": 1_000_000},
            fine_tune={"every": 1, "events": 1, "at_most_every": 0},
        )
        fill(kafka, "beside", options.records, options.entities)
        print("| pass | alone, events/s | beside a fine-tune, events/s | share | versions trained | trainer's cores |")
        print("|---|---|---|---|---|---|")
        shares = []
        for number in range(1, options.passes + 1):
            alone = throughput(as_new_group(setup), options.records)
            rate, trained, cores = beside_trainer(as_new_group(setup), options.records, folder)
            shares.append(rate / alone)
            cells = (number, f"{alone:,.0f}", f"{rate:,.0f}", f"{shares[-1]:.1%}", trained, f"{cores:.2f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
        print(f"| **median** | | | **{statistics.median(shares):.1%}** | | |")
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
