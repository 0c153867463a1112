"""`offbeat evaluate`: runs the prequential evaluation on a file, and summarizes the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluate.noise_control import Arrivals
from training.evaluate.prequential import Outcome, Progress, evaluate, one_second_per_row, warmup_rows
from training.evaluate.summary import summarize
from training.history.lookback import featurize_rows
from training.profile.infer import infer_features
from training.profile.leaks import looks_like_label
from training.tables.table import Table, read_table
from worker.config.settings import Settings
from worker.core.events.columns import Columns, category, from_table
from worker.core.events.event_time import milliseconds
from worker.errors import ConfigError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options. If `settings` is None, the features are inferred from the first rows."""

    path: Path
    label: str | None
    settings: Settings | None
    ignore: tuple[str, ...]
    warmup: int | None
    alert_rate: float | None
    kind: str | None
    window: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome for a file of n rows, and everything that a report needs.

    `name` is the file's name. `columns` holds all rows as the model saw them, and `timed` says whether the file has
    event times: without them one second a row is assumed.
    """

    name: str
    settings: Settings
    table: Table
    columns: Columns
    timed: bool
    outcome: Outcome
    summary: dict[str, Any]


def run(options: Options, progress: Progress | None = None, say: Say = lambda _: None) -> Evaluation:
    """Evaluate a file. Raises ConfigError for an unusable file, label or warm-up."""
    table = read_table(options.path, options.label, options.ignore)
    warmup = options.warmup if options.warmup is not None else warmup_rows(table.rows)
    settings = _resolve_settings(options, table, warmup, say)
    spec = settings.spec
    try:
        columns = from_table(table.columns, spec)
    except ValueError as error:
        raise ConfigError(f"{options.path}: {error}") from None
    entities = [category(value) for value in table.columns.get(spec.entity or "", [None] * table.rows)]
    times = _parse_times(options.path, table, spec.time)
    assumed = times if times is not None else one_second_per_row(table.rows)
    try:
        columns = featurize_rows(settings, columns, entities, assumed)
        arrivals = Arrivals.of(entities, assumed)
        outcome = evaluate(settings, columns, warmup=warmup, seed=options.seed, arrivals=arrivals, progress=progress)
    except ValueError as error:
        raise ConfigError(f"{options.path}: {error}") from None
    timed = times is not None
    summary = summarize(settings, table, outcome, timed=timed, seed=options.seed)
    return Evaluation(options.path.name, settings, table, columns, timed, outcome, summary)


def _resolve_settings(options: Options, table: Table, warmup: int, say: Say) -> Settings:
    """The configuration with the command's overrides, or one with features inferred from the first rows."""
    settings = options.settings
    if settings is None:
        labels = [name for name in table.columns if looks_like_label(name)]
        if labels:
            say(f"left out, because their names suggest labels: {', '.join(labels)}; configure features with -c FILE")
        open_columns = {name: values for name, values in table.columns.items() if name not in labels}
        features = infer_features(replace(table, columns=open_columns), warmup)
        say(f"{len(features)} features inferred from the first {warmup} rows; configure them with -c FILE")
        settings = Settings.model_validate({"stream": "evaluate", "features": features})
    overrides: dict[str, Any] = {}
    if options.alert_rate is not None:
        overrides["threshold"] = settings.threshold.model_copy(update={"alert_rate": options.alert_rate})
    model = {name: value for name, value in (("kind", options.kind), ("window", options.window)) if value is not None}
    if model:
        overrides["model"] = settings.model.model_copy(update=model)
    return settings.model_copy(update=overrides)


def _parse_times(path: Path, table: Table, field: str | None) -> npt.NDArray[np.int64] | None:
    if field is None or field not in table.columns:
        return None
    times = np.empty(table.rows, np.int64)
    for row, value in enumerate(table.columns[field]):
        try:
            times[row] = int(milliseconds(value if isinstance(value, str) else float(value)))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: row {row}: {field}: not a valid time: {error}") from None
    return times
