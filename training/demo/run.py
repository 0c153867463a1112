"""`offbeat demo`: the whole service on one machine, with the real worker and trainer in separate processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from training.demo.services import broker, redis, unique_stream
from training.demo.show import Screen
from training.demo.stream import Player
from training.demo.watch import Watcher, measure
from training.profile.infer import infer_features
from training.tables.table import Table, read_table
from worker.errors import OffbeatError

KDD = Path(__file__).parent / "kdd99_rare_L.parquet"
KDD_LABEL = "label"
KDD_NOT_FEATURES = ("attack",)
ALERT_RATE = 0.02
_START_S = 60.0
_IDLE_S = 45.0
_EVENTS = {"cold_start", "fine_tune", "switched", "challenger_rejected", "threshold_moved"}


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options.

    `rate` is in events per second: 0 means as fast as possible, None means the rate at which the whole file takes
    `duration` seconds.
    """

    duration: float
    rate: float | None
    data: Path | None
    label: str | None
    bootstrap_servers: str | None
    redis_url: str | None
    json: bool


def run_demo(options: Options) -> dict[str, Any]:
    """Run the demo and return its summary.

    Raises ConfigError for unusable data, OffbeatError if the worker dies, DependencyUnreachable and RefusedByKafka.
    """
    screen = Screen(quiet=options.json)
    table = (
        read_table(KDD, KDD_LABEL, KDD_NOT_FEATURES)
        if options.data is None
        else read_table(options.data, options.label)
    )
    rate = options.rate if options.rate is not None else table.rows / options.duration
    stream = unique_stream()
    topics = {
        "events": stream,
        "alerts": f"{stream}.alerts",
        "scores": f"{stream}.scores",
        "dead_letters": f"{stream}.dead-letters",
    }
    with ExitStack() as stack:
        bootstrap = stack.enter_context(broker(options.bootstrap_servers, list(topics.values())))
        url, redis_name = stack.enter_context(redis(options.redis_url))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offbeat-demo-")))
        config = folder / "offbeat.yaml"
        embedded = options.bootstrap_servers is None
        config.write_text(yaml.safe_dump(_configuration(table, stream, topics, bootstrap, url, embedded=embedded)))
        screen.say(
            f"{table.rows} events of {(options.data or KDD).name} through "
            f"{'an embedded broker' if embedded else bootstrap} and {redis_name}; the first 2,048 events train a model"
        )
        player = Player(bootstrap, topics["events"], table, rate)
        watcher = Watcher(bootstrap, topics["alerts"], topics["scores"], player, table.rows)
        stack.callback(watcher.close)
        worker = stack.enter_context(_Worker(config))
        return _follow(options, screen, table, player, watcher, worker)


def _follow(
    options: Options, screen: Screen, table: Table, player: Player, watcher: Watcher, worker: _Worker
) -> dict[str, Any]:
    worker.await_assignment(_START_S)
    began = time.monotonic()
    player.start()
    fine_tunes = 0
    last_progress, scored = began, 0
    deadline = began + max(3 * options.duration, options.duration + 120.0)
    while True:
        before, scored = scored, watcher.poll(0.1)
        now = time.monotonic()
        player.scored = scored
        if scored > before:
            last_progress = now
        for alert in watcher.results.new_alerts:
            screen.alert(alert, _is_anomalous(table, player, alert))
        watcher.results.new_alerts.clear()
        for event in worker.new_log_events():
            fine_tunes += event["event"] == "fine_tune"
            screen.version(event)
        worker.check()
        out_of_time = options.rate is not None and now - began > options.duration and not player.finished.is_set()
        if out_of_time:
            player.stop()
        done = player.finished.is_set() or out_of_time
        if (done and scored >= player.rows) or now > deadline or (done and now - last_progress > _IDLE_S):
            break
    seconds = time.monotonic() - began
    player.stop()
    summary: dict[str, Any] = {
        "events": player.rows,
        "scored": scored,
        "flagged": int(watcher.results.flagged.sum()),
        "alerts": watcher.results.alerts,
        **measure(watcher.results, table.labels),
        "fine_tunes": fine_tunes,
        "events_per_second": round(scored / seconds, 1),
        "seconds": round(seconds, 1),
    }
    screen.summary(summary, ALERT_RATE, float(table.labels.mean()) if table.labels is not None else None)
    return summary


def _is_anomalous(table: Table, player: Player, alert: dict[str, Any]) -> bool | None:
    """Whether the row behind an alert is labelled as an anomaly; None if the data has no labels."""
    if table.labels is None:
        return None
    return bool(table.labels[player.sent[alert["record"]["partition"]][alert["record"]["offset"]]])


def _configuration(
    table: Table, stream: str, topics: dict[str, str], bootstrap: str, url: str, *, embedded: bool
) -> dict[str, Any]:
    features = infer_features(table)
    entity = next((feature["field"] for feature in features if feature["kind"] == "categorical"), None)
    if "service" in table.columns:
        entity = "service"
    return {
        "stream": stream,
        "kafka": {
            "bootstrap_servers": bootstrap,
            "events": [topics["events"]],
            "alerts": topics["alerts"],
            "dead_letters": topics["dead_letters"],
            "scores": topics["scores"],
            # The embedded broker, librdkafka's mock cluster, ignores the offsets in a transaction.
            "delivery": "at_least_once" if embedded else "exactly_once",
        },
        "redis": {"url": url},
        "event": {"entity": entity},
        "features": features,
        "threshold": {"alert_rate": ALERT_RATE},
        "alerts": {"cooldown": "2s"},
        "fine_tune": {"every": "6s", "at_most_every": "3s"},
        "state": {"snapshot_every": "1s"},
        "http": {"port": 0},
    }


class _Worker:
    """A process that runs `offbeat run --with-trainer` and parses the log on its stderr."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "worker.cli", "run", "-c", str(config), "--with-trainer"]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ}
        )
        self._log: deque[dict[str, Any]] = deque()
        self._tail: deque[str] = deque(maxlen=30)
        self._assigned = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._tail.append(line.decode("utf-8", "replace").rstrip())
            try:
                event = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if event.get("event") in _EVENTS:
                self._log.append(event)
            elif event.get("event") == "first_start":
                self._assigned.set()

    def await_assignment(self, seconds: float) -> None:
        """Wait until the worker has its partitions. Raises OffbeatError if it dies or takes longer than `seconds`."""
        until = time.monotonic() + seconds
        while not self._assigned.wait(0.1):
            self.check()
            if time.monotonic() > until:
                log = "\n".join(self._tail)
                raise OffbeatError(f"no partition was assigned to the worker within {seconds:g} s:\n{log}")

    def check(self) -> None:
        """Raise OffbeatError if the worker has died."""
        if self._process.poll() is not None:
            raise OffbeatError(f"the worker exited with code {self._process.returncode}:\n" + "\n".join(self._tail))

    def new_log_events(self) -> list[dict[str, Any]]:
        return [self._log.popleft() for _ in range(len(self._log))]
