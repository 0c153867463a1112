"""The commands `offbeat trainer` and `offbeat demo`, mounted by `worker.cli`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from worker.cli import config_option, level_option
from worker.config.load import load


@click.command(epilog="Examples:\n\n  offbeat trainer -c offbeat.yaml")
@config_option
@level_option
def trainer(config: Path, log_level: str) -> None:
    """Run the trainer: it trains the first model, fine-tunes it, and adjusts thresholds."""
    from training.service import run_trainer

    run_trainer(load(config), log_level)


@click.command(
    epilog="Examples:\n\n  offbeat demo\n\n  offbeat demo --json --rate 0\n\n"
    "  offbeat demo --data events.csv --label is_fraud --duration 120\n\n"
    "  offbeat demo --bootstrap-servers localhost:9092 --redis redis://localhost:6379/0"
)
@click.option(
    "--duration", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds to stream for."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=None,
    help="Events per second; 0 for as fast as the trainer keeps up. Default: the whole file in --duration.",
)
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Your own events: CSV, Parquet or JSON lines.",
)
@click.option("--label", help="The column that says which events are anomalies; never a feature.")
@click.option("--bootstrap-servers", help="A real Kafka instead of the embedded broker.")
@click.option("--redis", "redis_url", help="A real Redis instead of the embedded one.")
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as one JSON document.")
@click.option("--stay", is_flag=True, help="Keep the worker and its status page up at the end, until Ctrl-C.")
def demo(
    duration: float,
    rate: float | None,
    data: Path | None,
    label: str | None,
    bootstrap_servers: str | None,
    redis_url: str | None,
    as_json: bool,
    stay: bool,
) -> None:
    """Run everything on this machine: a broker, Redis, the worker, the trainer, and a stream of network connections."""
    if stay and as_json:
        raise click.UsageError("--stay: not with --json, which prints nothing before the end")
    from training.demo.run import Options, run_demo

    summary = run_demo(Options(duration, rate, data, label, bootstrap_servers, redis_url, as_json, stay))
    if as_json:
        click.echo(json.dumps(summary))
