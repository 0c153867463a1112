"""The command `offbeat evaluate`, mounted by `worker.cli`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import click
import torch

from training.evaluate.evaluation import Evaluation, Options, run
from training.evaluate.output_file import OutputFile
from worker.config.load import load
from worker.errors import ConfigError

_KINDS = click.Choice(["denoising", "linear", "undercomplete", "sparse", "variational"])


@click.command(
    epilog="Examples:\n\n  offbeat evaluate events.parquet --label is_fraud\n\n"
    "  offbeat evaluate events.csv --label attack --json --seed 3\n\n"
    "  offbeat evaluate metrics.parquet --label anomaly --window 16 --report report.html\n\n"
    "  offbeat evaluate events.jsonl -c offbeat.yaml --label outlier --warmup 5000 --scores scores.jsonl"
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--label",
    help="The column that says which rows are anomalies, or of which kind they are; never a feature.",
)
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A configuration with the features. Default: features inferred from the first rows.",
)
@click.option("--ignore", multiple=True, metavar="COLUMN", help="A column to leave out; may be repeated.")
@click.option(
    "--warmup",
    type=click.IntRange(min=32),
    help="Rows to train on before the first is scored. Default: 5 %, at least 32, at most 2,048.",
)
@click.option("--alert-rate", type=click.FloatRange(1e-6, 0.5), help="Overrides threshold.alert_rate.")
@click.option("--kind", type=_KINDS, help="Overrides model.kind.")
@click.option("--window", type=click.IntRange(1, 128), help="Overrides model.window.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report here.")
@click.option(
    "--scores",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a JSON line for each scored row here: score, verdict, and why it was flagged.",
)
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
    scores: Path | None,
    as_json: bool,
) -> None:
    """Score a file as a stream with the worker's code: each row before the model is trained on it."""
    from training.evaluate.terminal import Screen

    torch.set_num_threads(1)
    settings = load(config) if config is not None else None
    options = Options(file, label, settings, ignore, warmup, alert_rate, kind, window, seed)
    with Screen(quiet=as_json) as screen, ExitStack() as files:
        opened = _open({"--scores": scores, "--report": report}, {"FILE": file, "-c": config}, files)
        evaluation = run(options, screen.progress, screen.say)
        # The figures are shown even if a file then can't be written.
        if as_json:
            click.echo(json.dumps(evaluation.summary))
        else:
            screen.summary(evaluation.summary)
        _write(evaluation, opened)
        for option, path in (("scores", scores), ("report", report)):
            if path is not None:
                screen.say(f"{option}: {path}")


def _open(outputs: dict[str, Path | None], inputs: dict[str, Path | None], files: ExitStack) -> dict[str, OutputFile]:
    """The output files by option. Raises ConfigError if one can't be written, or would replace an input or another."""
    taken = {path.resolve(): name for name, path in inputs.items() if path is not None}
    opened = {}
    for option, path in outputs.items():
        if path is None:
            continue
        other = taken.setdefault(path.resolve(), option)
        if other != option:
            raise ConfigError(f"{option}: {path} is also {other}; allowed: a file of its own")
        opened[option] = files.enter_context(OutputFile(option, path))
    return opened


def _write(evaluation: Evaluation, opened: dict[str, OutputFile]) -> None:
    from training.evaluate.report import page_of
    from training.evaluate.scores_file import lines

    if "--scores" in opened:
        opened["--scores"].write(lines(evaluation))
    if "--report" in opened:
        opened["--report"].write([page_of(evaluation)])
