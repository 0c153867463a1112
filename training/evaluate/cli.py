"""`offbeat evaluate`, mounted by `worker.cli`."""

from __future__ import annotations

import json
from pathlib import Path

import click
import torch

from training.evaluate.evaluation import Question, run
from worker.config.load import load

_KINDS = click.Choice(["denoising", "linear", "undercomplete", "sparse", "variational"])


@click.command(
    epilog="Examples:\n\n  offbeat evaluate events.parquet --label is_fraud\n\n"
    "  offbeat evaluate events.csv --label attack --json --seed 3\n\n"
    "  offbeat evaluate metrics.parquet --label anomaly --window 16 --report report.html\n\n"
    "  offbeat evaluate events.jsonl -c offbeat.yaml --label outlier --warmup 5000"
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--label", help="The column that says which rows are anomalies; never a feature.")
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A configuration to take the features from; without it they are inferred from the first rows.",
)
@click.option("--ignore", multiple=True, metavar="COLUMN", help="A column to leave out; may be given again.")
@click.option(
    "--warmup",
    type=click.IntRange(min=32),
    help="Rows to train on before the first one is scored. Default: 5 %, at least 32, at most 2,048.",
)
@click.option("--alert-rate", type=click.FloatRange(1e-6, 0.5), help="Overrides threshold.alert_rate.")
@click.option("--kind", type=_KINDS, help="Overrides model.kind.")
@click.option("--window", type=click.IntRange(1, 128), help="Overrides model.window.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is random.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with the pictures here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def evaluate(
    file: Path,
    label: str | None,
    config: Path | None,
    ignore: tuple[str, ...],
    warmup: int | None,
    alert_rate: float | None,
    kind: str | None,
    window: int | None,
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Score a file as a stream, with the worker's code: each row is scored before it is trained on."""
    from training.evaluate.terminal import Screen

    torch.set_num_threads(1)
    settings = load(config) if config is not None else None
    question = Question(file, label, settings, ignore, warmup, alert_rate, kind, window, seed)
    with Screen(quiet=as_json) as screen:
        evaluation = run(question, screen.progress, screen.say)
    if report is not None:
        from training.evaluate.report import write

        write(evaluation, report)
        screen.say(f"report: {report}")
    if as_json:
        click.echo(json.dumps(evaluation.summary))
    else:
        screen.summary(evaluation.summary)
