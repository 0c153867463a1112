"""Runs the labelled sets through the code of `offbeat evaluate`, and computes two baselines.

Eleven sets were there from the start. Ten further ones have several clusters, which one global distance does not see.
A third group is kept aside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.benchmarks.aside import ASIDE, write_aside
from training.evaluate.evaluation import Options, run
from training.evaluate.prequential import warmup_rows
from training.profile.infer import infer_features
from training.tables.table import read_table
from worker.core.events.columns import category

SETS = Path(__file__).parent / "sets"
ELEVEN = (
    "kdd99_rare",
    "cover",
    "shuttle",
    "mammography",
    "cardio",
    "thyroid",
    "satimage2",
    "ionosphere",
    "pima",
    "evt_a",
    "mammo_drift",
)
TEN = ("pendigits", "satellite", "wdbc", *(f"segment_{rare}" for rare in range(7)))
TABULAR = ELEVEN + TEN
SERIES = tuple(f"asd_omi-{i}" for i in range(1, 13))
BATCH = 64
CLIP = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """One run: a set, a kind, a seed, a window."""

    name: str
    kind: str = "denoising"
    seed: int = 0
    window: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """The labels (n,), the errors (n,) and the errors that it is made of (n, 5) of the scored rows."""

    case: Case
    labels: npt.NDArray[np.bool_]
    error: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]
    summary: dict[str, Any]


def score(case: Case) -> Result:
    """Evaluate one case, on one thread."""
    torch.set_num_threads(1)
    with set_file(case.name) as path:
        found = run(Options(path, "label", None, (), None, None, case.kind, case.window, case.seed))
    assert found.table.labels is not None
    labels = found.table.labels[found.outcome.first :]
    return Result(case, labels, found.outcome.error, found.outcome.members, found.summary)


@contextmanager
def set_file(name: str) -> Iterator[Path]:
    """The file of a set; one that is kept aside is made for the time being."""
    if name not in ASIDE:
        yield SETS / f"{name}.parquet"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.parquet"
        write_aside(name, path)
        yield path


def baselines_of(name: str) -> dict[str, tuple[float, float]]:
    """ROC-AUC and average precision of the two baselines on a set, by the baseline's name, after the same warm-up.

    They see the features that the detector sees: numbers as they are, and a column of zeros and ones for each category.
    """
    torch.set_num_threads(1)
    with set_file(name) as path:
        table = read_table(path, "label")
    assert table.labels is not None
    warmup = warmup_rows(table.rows)
    columns = []
    for feature in infer_features(table, warmup):
        values = table.columns[feature["field"]]
        if feature["kind"] == "numeric":
            columns.append(_without_holes(np.array(values, np.float64)))
        elif feature["kind"] == "categorical":
            names = np.array([str(category(value)) for value in values])
            columns += [(names == level).astype(np.float64) for level in np.unique(names)]
    found = baselines(np.stack(columns, 1), warmup)
    return {which: quality(table.labels[warmup:], scores) for which, scores in found.items()}


def _without_holes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Missing values become the median."""
    return np.where(np.isnan(values), np.nanmedian(values), values)


def all_of(cases: list[Case], jobs: int) -> list[Result]:
    """Score all cases, `jobs` at a time, and print a line for each; the results are in the order of the cases."""
    results = []
    with ProcessPoolExecutor(jobs) as pool:
        for result in pool.map(score, cases):
            measured = quality(result.labels, result.error)
            print(f"  {result.case}: {measured[0]:.3f} / {measured[1]:.3f}", flush=True)
            results.append(result)
    return results


def quality(labels: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> tuple[float, float]:
    """ROC-AUC and average precision."""
    return float(roc_auc_score(labels, scores)), float(average_precision_score(labels, scores))


def baselines(x: npt.NDArray[np.float64], warmup: int) -> dict[str, npt.NDArray[np.float64]]:
    """Mean |z| and Mahalanobis distance of the rows of x (n, d) after the warm-up: (n - warmup,) each, by name.

    Their statistics come from all rows before the batch of 64. Values are clipped at 10 standard deviations.
    """
    n, width = x.shape
    z, distance = np.zeros(n), np.zeros(n)
    for start in range(warmup, n, BATCH):
        past, now = x[:start], x[start : start + BATCH]
        mean, sd = past.mean(0), np.maximum(past.std(0), 1e-9)
        scaled, seen = np.clip((now - mean) / sd, -CLIP, CLIP), np.clip((past - mean) / sd, -CLIP, CLIP)
        z[start : start + BATCH] = np.abs(scaled).mean(1)
        precision = np.linalg.inv(seen.T @ seen / len(seen) + 0.01 * np.eye(width))
        distance[start : start + BATCH] = np.einsum("ij,ij->i", scaled @ precision, scaled)
    return {"mean |z|": z[warmup:], "Mahalanobis": distance[warmup:]}
