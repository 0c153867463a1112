"""Is `alert_rate` met? The normal rows of each labelled set form a stream; the rate of its second half is measured.

Usage: python -m tests.benchmarks.calibration [--rates 0.01,0.002] [--seed 0].
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from tests.benchmarks.labelled import SETS, TABULAR
from training.evaluate.prequential import evaluate, warmup_rows
from training.profile.infer import infer_features
from training.tables.table import read_table
from worker.config.settings import Settings
from worker.core.events.columns import from_table

FACTOR = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="0.01,0.002")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| set | target | rows | expected | flagged | observed / target |\n|---|---|---|---|---|---|")
    for rate in map(float, options.rates.split(",")):
        ratios = [one(name, rate, options.seed) for name in TABULAR]
        within = sum(1 / FACTOR <= ratio <= FACTOR for ratio in ratios)
        print(f"| **within a factor {FACTOR}** | {rate} | | | | {within} of {len(ratios)} |", flush=True)


def one(name: str, rate: float, seed: int) -> float:
    """Evaluate one set, and print its row of the table; returns the observed rate over the target."""
    table = read_table(SETS / f"{name}.parquet", "label")
    assert table.labels is not None
    normal = np.flatnonzero(~table.labels)
    warmup = warmup_rows(len(normal))
    head = {field: [values[row] for row in normal[:warmup]] for field, values in table.columns.items()}
    features = infer_features(type(table)(head, None, warmup), warmup)
    settings = Settings.model_validate({"stream": "c", "features": features, "threshold": {"alert_rate": rate}})
    columns = from_table(table.columns, settings.spec).take(normal)
    outcome = evaluate(settings, columns, warmup=warmup, seed=seed)
    flagged = outcome.flagged[len(normal) // 2 - warmup :]
    ratio = float(flagged.mean()) / rate
    cells = (name, rate, len(flagged), f"{rate * len(flagged):.1f}", flagged.sum(), f"{ratio:.2f}")
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return ratio


if __name__ == "__main__":
    main()
