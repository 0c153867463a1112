"""`offbeat evaluate`: runs the prequential evaluation over a file, and summarises the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluate.prequential import Outcome, Progress, evaluate, one_second_per_row, warmup_rows
from training.evaluate.ranking_metrics import ranking
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
class Question:
    """The command's options. Without `settings`, the feature spec is inferred from the first rows."""

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
    """`name` of the file, `columns` of all rows as the model saw them, `entities` one per row, `times` (rows,) event
    time in ms or None, and what came out.
    """

    name: str
    settings: Settings
    table: Table
    columns: Columns
    entities: list[str | None]
    times: npt.NDArray[np.int64] | None
    outcome: Outcome
    summary: dict[str, Any]


def run(question: Question, progress: Progress | None = None, say: Say = lambda _: None) -> Evaluation:
    """Evaluate a file. Raises ConfigError for a file, a label or a warm-up that cannot be used."""
    table = read_table(question.path, question.label, question.ignore)
    warmup = question.warmup if question.warmup is not None else warmup_rows(table.rows)
    settings = _settings(question, table, warmup, say)
    spec = settings.spec
    try:
        columns = from_table(table.columns, spec)
    except ValueError as error:
        raise ConfigError(f"{question.path}: {error}") from None
    entities = [category(value) for value in table.columns.get(spec.entity or "", [None] * table.rows)]
    times = _times(question.path, table, spec.time)
    try:
        when = times if times is not None else one_second_per_row(table.rows)
        columns = featurize_rows(settings, columns, entities, when)
        outcome = evaluate(settings, columns, warmup=warmup, seed=question.seed, times=times, progress=progress)
    except ValueError as error:
        raise ConfigError(f"{question.path}: {error}") from None
    return Evaluation(
        question.path.name,
        settings,
        table,
        columns,
        entities,
        times,
        outcome,
        _summary(question, settings, table, outcome),
    )


def _settings(question: Question, table: Table, warmup: int, say: Say) -> Settings:
    settings = question.settings
    if settings is None:
        answers = [name for name in table.columns if looks_like_label(name)]
        if answers:
            say(f"left out, for their names tell the answer: {', '.join(answers)}; -c FILE to use them")
        open_columns = {name: values for name, values in table.columns.items() if name not in answers}
        features = infer_features(replace(table, columns=open_columns), warmup)
        say(f"{len(features)} features inferred from the first {warmup} rows; -c FILE to say them")
        settings = Settings.model_validate({"stream": "evaluate", "features": features})
    plain: dict[str, Any] = {}
    if question.alert_rate is not None:
        plain["threshold"] = settings.threshold.model_copy(update={"alert_rate": question.alert_rate})
    model = {name: value for name, value in (("kind", question.kind), ("window", question.window)) if value is not None}
    if model:
        plain["model"] = settings.model.model_copy(update=model)
    return settings.model_copy(update=plain)


def _times(path: Path, table: Table, field: str | None) -> npt.NDArray[np.int64] | None:
    if field is None or field not in table.columns:
        return None
    times = np.empty(table.rows, np.int64)
    for row, value in enumerate(table.columns[field]):
        try:
            times[row] = int(milliseconds(value if isinstance(value, str) else float(value)))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: row {row}: {field}: not a time: {error}") from None
    return times


def _summary(question: Question, settings: Settings, table: Table, outcome: Outcome) -> dict[str, Any]:
    scored = len(outcome.error)
    labels = None if table.labels is None else table.labels[outcome.first :]
    seconds = outcome.learn_seconds + outcome.score_seconds
    return {
        **ranking(labels, outcome.error),
        "events": table.rows,
        "scored": scored,
        "anomalies": None if labels is None else int(labels.sum()),
        "events_per_second": round(scored / max(seconds, 1e-9), 1),
        "scored_per_second": round(scored / max(outcome.score_seconds, 1e-9), 1),
        "learn_seconds": round(outcome.learn_seconds, 3),
        "score_seconds": round(outcome.score_seconds, 3),
        "alert_rate_target": settings.threshold.alert_rate,
        "alert_rate_observed": float(outcome.flagged.mean()),
        **_flagged(labels, outcome.flagged),
        "warmup": outcome.first,
        "versions": len(outcome.served),
        "rejected": outcome.rejected,
        "kind": settings.model.kind,
        "window": settings.model.window,
        "features": len(settings.features),
        "seed": question.seed,
        "ranked_by": "reconstruction_error",
    }


def _flagged(labels: npt.NDArray[np.bool_] | None, flagged: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Precision and recall of the flagged rows, and the share of the normal rows that were flagged."""
    if labels is None:
        return dict.fromkeys(("precision", "recall", "false_positive_rate"))
    hits = int((labels & flagged).sum())

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return {
        "precision": share(hits, int(flagged.sum())),
        "recall": share(hits, int(labels.sum())),
        "false_positive_rate": share(int((flagged & ~labels).sum()), int((~labels).sum())),
    }
