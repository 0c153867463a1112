"""Runs the labelled sets beside this file through the code of `offbeat evaluate`, and computes two baselines."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from training.evaluate.evaluation import Options, run

SETS = Path(__file__).parent / "sets"
TABULAR = (
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
    """The labels (n,), the errors (n,) and the members' errors (n, 3) of the scored rows."""

    case: Case
    labels: npt.NDArray[np.bool_]
    error: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]
    summary: dict[str, Any]


def score(case: Case) -> Result:
    """Evaluate one case, on one thread."""
    torch.set_num_threads(1)
    options = Options(SETS / f"{case.name}.parquet", "label", None, (), None, None, case.kind, case.window, case.seed)
    found = run(options)
    assert found.table.labels is not None
    labels = found.table.labels[found.outcome.first :]
    return Result(case, labels, found.outcome.error, found.outcome.members, found.summary)


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
