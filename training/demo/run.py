"""`offbeat demo`: the whole service on one machine, with the real worker and trainer in separate processes."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.demo.configuration import ALERT_RATE, configure
from training.demo.findings import find
from training.demo.pace import Pace
from training.demo.processes import Processes
from training.demo.services import broker, redis, unique_stream
from training.demo.show import Screen
from training.demo.stream import Player
from training.demo.tell import Nouns, tell_findings, tell_troubles
from training.demo.versions import Versions
from training.demo.watch import Watcher, measure
from training.tables.table import Table, read_table

KDD = Path(__file__).parent / "kdd99_rare_L.parquet"
KDD_LABEL = "attack"
KDD_NOT_FEATURES = ("label",)
KDD_GROUPS = ("service", "flag")
_START_S = 180.0
_IDLE_S = 45.0
_BUSY_S = 240.0
"""How much longer than asked for the demo may take where the trainer is slow."""
_WAIT_SHOWN_S = 3.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options.

    `rate` is in events per second: 0 means as fast as the trainer keeps up, None means the rate at which the whole file
    takes `duration` seconds. With `stay`, the worker and its page stay up at the end until Ctrl-C.
    """

    duration: float
    rate: float | None
    data: Path | None
    label: str | None
    bootstrap_servers: str | None
    redis_url: str | None
    json: bool
    stay: bool = False


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts of a running demo."""

    options: Options
    screen: Screen
    table: Table
    player: Player
    watcher: Watcher
    processes: Processes
    versions: Versions
    log: Path


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
    log = Path(tempfile.gettempdir()) / f"offbeat-{stream}.log"
    with ExitStack() as stack:
        bootstrap = stack.enter_context(broker(options.bootstrap_servers, list(topics.values())))
        url, redis_name = stack.enter_context(redis(options.redis_url))
        config = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offbeat-demo-"))) / "offbeat.yaml"
        embedded = options.bootstrap_servers is None
        config.write_text(yaml.safe_dump(configure(table, topics, bootstrap, url, embedded=embedded)))
        screen.say(
            f"{table.rows} events of {(options.data or KDD).name} through "
            f"{'an embedded broker' if embedded else bootstrap} and {redis_name}; the first 2,048 events train a model"
        )
        pace = Pace()
        player = Player(bootstrap, topics["events"], table, rate, pace)
        watcher = Watcher(bootstrap, topics["alerts"], topics["scores"], player, table.rows)
        stack.callback(watcher.close)
        processes = stack.enter_context(Processes(config, log))
        run = _Run(options, screen, table, player, watcher, processes, Versions(pace), log)
        processes.await_assignment(_START_S)
        screen.say(f"status page: {processes.page}   log: {log}")
        seconds = _follow(run)
        summary = _summarise(run, seconds)
        if options.stay:
            _stay(run)
        return summary


def _follow(run: _Run) -> float:
    """Play the stream and show what comes of it; returns how long that took, in seconds."""
    options, player, versions = run.options, run.player, run.versions
    began = last_progress = time.monotonic()
    player.start()
    scored, wait_shown = 0, False
    deadline = began + options.duration + _BUSY_S
    while True:
        before, scored = scored, run.watcher.poll(0.1)
        now = time.monotonic()
        player.scored = scored
        if scored > before:
            last_progress = now
        _show_alerts(run)
        for event in run.processes.new_log_events():
            versions.take(event, player.rows, scored)
            run.screen.version(event)
        wait_shown = _show_wait(run, now, wait_shown)
        run.processes.check()
        out_of_time = options.rate is not None and now - began > options.duration and not player.finished.is_set()
        if out_of_time:
            player.stop()
        done = player.finished.is_set() or out_of_time
        if (done and scored >= player.rows) or now > deadline or (done and now - last_progress > _IDLE_S):
            break
    player.stop()
    run.screen.others()
    return time.monotonic() - began


def _show_alerts(run: _Run) -> None:
    results, labels = run.watcher.results, run.table.labels
    for alert in results.new_alerts:
        row = run.player.sent[alert["record"]["partition"]][alert["record"]["offset"]]
        run.screen.alert(alert, None if labels is None else bool(labels[row]))
    results.new_alerts.clear()


def _show_wait(run: _Run, now: float, shown: bool) -> bool:
    """Say once that the stream waits, if it does so for long; returns whether that was said of the present wait."""
    waiting = run.versions.pace.waiting_for(now)
    if waiting >= _WAIT_SHOWN_S and not shown:
        what = "the first model" if run.versions.pace.decided is None else "the trainer, which is behind"
        run.screen.say(f"   the stream waits for {what}")
    return waiting >= _WAIT_SHOWN_S


def _summarise(run: _Run, seconds: float) -> dict[str, Any]:
    results, table, versions = run.watcher.results, run.table, run.versions
    findings = find(results, table, KDD_GROUPS if run.options.data is None else ())
    over = findings.over_target(ALERT_RATE)
    figures: dict[str, Any] = {
        "events": run.player.rows,
        "scored": findings.scored,
        "flagged": findings.flagged,
        "configured_alert_rate": ALERT_RATE,
        "flagged_over_configured": None if over is None else round(over, 3),
        "alerts": results.alerts,
        **measure(results, table.labels),
        "fine_tunes": versions.fine_tunes,
        "challengers_refused": len(versions.refused),
        "events_per_second": round(findings.scored / seconds, 1),
        "seconds": round(seconds, 1),
        "seconds_waited_for_trainer": round(versions.pace.waited, 1),
    }
    nouns = Nouns("connections", "attacks") if run.options.data is None else Nouns("events", "anomalies")
    troubles = tell_troubles(
        findings,
        table.rows,
        ALERT_RATE,
        fine_tunes=versions.fine_tunes,
        refused=versions.refused,
        waited=versions.pace.waited,
        given_up=versions.pace.given_up,
    )
    run.screen.summary(figures, tell_findings(findings, ALERT_RATE, nouns), troubles, _where(run))
    stretches = [[one.version, one.scored, one.flagged] for one in findings.stretches]
    details = {"kinds": findings.kinds, "versions": stretches, "troubles": troubles}
    return {**figures, **details, "page": run.processes.page, "log": str(run.log)}


def _where(run: _Run) -> str:
    page, log = run.processes.page, run.log
    end = "stays up until Ctrl-C" if run.options.stay else "closes now, --stay keeps it up"
    return f"log: {log}   status page: {page} ({end})"


def _stay(run: _Run) -> None:
    """Keep the page up until Ctrl-C, or until the worker or the trainer ends."""
    try:
        while run.processes.alive:
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
