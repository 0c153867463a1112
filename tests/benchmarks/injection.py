"""Are explanations right? One feature of a normal row is set to a rare value: is that feature named?

Usage: python -m tests.benchmarks.injection [--rows 1000] [--seed 0]. The model is trained on the first half of a set,
and the rows are normal ones of its second half. A number is set beyond its 0.1 or 99.9 % quantile, by up to the width
of its 1 to 99 % range. A category is set to one that less than 1 % of the rows have, or to a new one if there is none.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from tests.benchmarks.labelled import SETS
from training.learn.fit import fit
from training.profile.infer import infer_features
from training.tables.table import read_table
from worker.core.events.columns import Columns, category, from_table
from worker.core.events.spec import FeatureSpec

NAMES = ("kdd99_rare", "evt_a", "cover")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| set | named first | among the first three | expected value inside the training range |\n|---|---|---|---|")
    for name in NAMES:
        first, three, plausible = one(name, options.rows, options.seed)
        print(f"| {name} | {first:.3f} | {three:.3f} | {plausible:.3f} |", flush=True)


def one(name: str, count: int, seed: int) -> tuple[float, float, float]:
    """Shares of the rows: the feature is named first; among the first three; its expected value is plausible."""
    table = read_table(SETS / f"{name}.parquet", "label")
    assert table.labels is not None
    half = table.rows // 2
    spec = FeatureSpec.model_validate({"features": infer_features(table, half)})
    columns = from_table(table.columns, spec)
    past = columns.take(np.flatnonzero(~table.labels[:half]))
    detector = fit(spec, past, kind="denoising", seed=seed).detector()
    rng = np.random.default_rng(seed)
    normal = half + np.flatnonzero(~table.labels[half:])
    rows = columns.take(rng.choice(normal, count, replace=False))
    changed = rng.integers(0, len(spec.features), count)
    for row, feature in enumerate(changed.tolist()):
        rows.values[feature][row] = rare(past, feature, rng)
    why = detector.explain(detector.score(detector.encoder.transform(rows)), np.arange(count))
    order = np.argsort(-why.per_feature, axis=1, kind="stable")
    hit = order[:, :3] == changed[:, None]
    inside = [
        plausible(past, int(f), detector.expected(int(f), why.expected[[row]])[0]) for row, f in enumerate(changed)
    ]
    return float(hit[:, 0].mean()), float(hit.any(1).mean()), float(np.mean(inside))


def rare(past: Columns, feature: int, rng: np.random.Generator) -> object:
    """A value that is rare for the feature, as the module's docstring says."""
    column = past.values[feature]
    if column.dtype == object:
        names, counts = np.unique([str(category(value)) for value in column], return_counts=True)
        infrequent = names[counts < 0.01 * len(column)]
        return str(rng.choice(infrequent)) if len(infrequent) else "never seen before"
    low, high = np.quantile(column, [0.001, 0.999])
    width = max(float(np.subtract(*np.quantile(column, [0.99, 0.01]))), 1.0)
    step = rng.uniform(0.0, 1.0) * width + 1e-6 * width
    return high + step if rng.random() < 0.5 else low - step


def plausible(past: Columns, feature: int, expected: object) -> bool:
    """Whether an expected value is within the range of training, or one of its categories."""
    column = past.values[feature]
    if isinstance(expected, list):
        seen = {category(value) for value in column} | {"other", None}
        return all(level["value"] in seen for level in expected)
    return bool(np.nanmin(column) <= float(expected) <= np.nanmax(column))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
