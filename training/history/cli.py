"""The command `offbeat train`, mounted by `worker.cli`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli import config_option, level_option
from worker.config.load import load

if TYPE_CHECKING:
    from training.history.train_command import Stage, Summary

_REASONS_SHOWN = 3


def _parse_since(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Convert an ISO 8601 time with a zone to milliseconds since 1970. Raises BadParameter for any other text."""
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise click.BadParameter(f"{value!r} is not a time with a zone, such as 2026-01-01T00:00:00Z")
    return int(parsed.timestamp() * 1000)


@click.command(
    epilog="Examples:\n\n  offbeat train -c offbeat.yaml\n\n"
    "  offbeat train -c offbeat.yaml --since 2026-01-01T00:00:00Z\n\n"
    "  offbeat train -c offbeat.yaml --from events.csv --label is_fraud\n\n"
    "  offbeat train -c offbeat.yaml --from events.parquet --replace --json"
)
@config_option
@click.option(
    "--from",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Events from a file: CSV, Parquet or JSON lines, nested objects as dotted columns. Default: the topics.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    help="Number of newest records to read, spread over the partitions. Default: 100,000, or no limit with --since.",
)
@click.option(
    "--since",
    metavar="TIME",
    callback=_parse_since,
    help="Read only records with a timestamp from this time on, such as 2026-01-01T00:00:00Z.",
)
@click.option(
    "--label",
    help="The file's column that marks anomalies. It is never a feature, and the rows that it marks are left out.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the training.")
@click.option("--replace", is_flag=True, help="Promote the new version even if another one serves already.")
@click.option("--no-promote", is_flag=True, help="Store the version without promoting it.")
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as one JSON document.")
@level_option
def train(
    config: Path,
    file: Path | None,
    rows: int | None,
    since: int | None,
    label: str | None,
    seed: int,
    replace: bool,
    no_promote: bool,
    as_json: bool,
    log_level: str,
) -> None:
    """Train a first model, or a new one from scratch, on the topics' history or on a file.

    The command reads outside the consumer group and commits nothing. It calibrates, stores and promotes the version;
    workers switch to it within seconds.
    """
    if file is not None and (rows is not None or since is not None):
        raise click.UsageError("--rows and --since limit the topics' history; a file (--from) is read completely")
    if file is None and label is not None:
        raise click.UsageError("--label names a column of a file, so it requires --from")
    if replace and no_promote:
        raise click.UsageError("--replace and --no-promote are mutually exclusive")
    settings = load(config)
    from training.history.train_command import Options, run_training
    from worker import logs
    from worker.compose import instance_name

    with _progress_bars() as stage:
        logs.configure(log_level, stream=settings.stream, instance=f"{instance_name()}-train")
        options = Options(file, rows, since, label, seed, replace, promote=not no_promote)
        summary = run_training(settings, options, stage)
    click.echo(json.dumps(asdict(summary)) if as_json else _format_summary(summary))


@contextmanager
def _progress_bars() -> Iterator[Stage]:
    """Show a progress bar for each stage on stderr, below the log lines, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda name: nullcontext(lambda done, total: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bars:

        @contextmanager
        def stage(name: str) -> Iterator[Callable[[int, int], None]]:
            task = bars.add_task(name, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
            bars.remove_task(task)

        yield stage


def _format_summary(summary: Summary) -> str:
    reasons = "; ".join(f"{reason} ({count:,})" for reason, count in list(summary.reasons.items())[:_REASONS_SHOWN])
    serves = f"version {summary.serves}" if summary.serves is not None else "nothing yet"
    if summary.served is not None and summary.served != summary.serves:
        serves += f", previously version {summary.served}"
    lines = {
        "rows read": f"{summary.rows_read:,} from {summary.source}",
        "rejected": f"{summary.rejected:,}" + (f": {reasons}" if reasons else ""),
        "tombstones": f"{summary.tombstones:,}" if summary.tombstones else "",
        "anomalous": f"{summary.anomalous:,} left out because of their label" if summary.anomalous else "",
        "fitted on": f"{summary.rows_fitted:,} rows",
        "calibrated on": f"{summary.rows_calibrated:,} rows",
        "alert rate": f"{summary.alert_rate:g}, cut {summary.cut:.4g}",
        "version": f"{summary.version} ({summary.digest})",
        "serves now": serves,
        "seconds": f"{summary.seconds:.1f}",
    }
    return "\n".join(f"{name:14} {text}" for name, text in lines.items() if text)
