"""Are explanations right? A normal row is spoilt in one way: is the spoilt feature named?

Usage: python -m tests.benchmarks.injection [--rows 1000] [--seed 0]. The model is trained on the first half of a set,
and the rows are normal ones of its second half. The ways, each on as many rows:

- number out: a number is set beyond its 0.1 or 99.9 % quantile, by up to the width of its 1 to 99 % range.
- rare level: a category is set to one that less than 1 % of the rows have.
- unseen level: a category is set to one that no row has.
- mismatch: a category is set to another known one, so that the pair with a second category was never seen.
- relation: a number becomes another row's, half of the distribution away, where a second number used to go with it.

In the last two either feature of the pair is right, because nothing tells which of them is wrong.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np
import numpy.typing as npt
import torch

from tests.benchmarks.labelled import SETS
from training.learn.fit import fit
from training.profile.infer import infer_features
from training.tables.table import read_table
from worker.core.events.columns import Columns, category, from_table
from worker.core.events.spec import FeatureSpec

NAMES = ("kdd99_rare", "evt_a", "cover")
DEPENDENT = 0.05
"""Two categories depend on each other if shuffled pairs of them were unseen at least this often."""
RELATED = 0.8
"""Two numbers are related if their rank correlation is at least this far from zero."""

Spoilt = tuple[int, int]
"""The feature that was changed, and the other one of the pair; the same twice if there is no pair."""
Spoil = Callable[[Columns, Columns, int, np.random.Generator], Spoilt | None]
"""Changes one of the rows, given the rows of the training; None if the row cannot be spoilt in this way."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", default=",".join(NAMES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| set | way | rows | named first | among the first three | expected value inside the training range |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in options.sets.split(","):
        for way, count, measured in one(name, options.rows, options.seed):
            print(f"| {name} | {way} | {count} |", *(f"{share:.3f} |" for share in measured), flush=True)


def one(name: str, count: int, seed: int) -> Iterator[tuple[str, int, list[float]]]:
    """For each way in which the set's rows can be spoilt: its name, how many were, and the three shares of them."""
    table = read_table(SETS / f"{name}.parquet", "label")
    assert table.labels is not None
    half = table.rows // 2
    spec = FeatureSpec.model_validate({"features": infer_features(table, half)})
    columns = from_table(table.columns, spec)
    past = columns.take(np.flatnonzero(~table.labels[:half]))
    detector = fit(spec, past, kind="denoising", seed=seed).detector()
    normal = half + np.flatnonzero(~table.labels[half:])
    for way, spoil in ways(past).items():
        rng = np.random.default_rng(seed)
        rows = columns.take(rng.choice(normal, min(count, len(normal)), replace=False))
        spoilt = [spoil(past, rows, row, rng) for row in range(len(rows))]
        kept = np.array([row for row, pair in enumerate(spoilt) if pair is not None], np.intp)
        if not len(kept):
            continue
        pairs = np.array([pair for pair in spoilt if pair is not None])
        why = detector.explain(detector.score(detector.encoder.transform(rows)), kept)
        order = np.argsort(-why.per_feature, axis=1, kind="stable")
        hit = (order[:, :3, None] == pairs[:, None, :]).any(2)
        inside = [
            plausible(past, f, detector.expected(f, why.expected[[place]])[0])
            for place, f in enumerate(pairs[:, 0].tolist())
        ]
        yield way, len(kept), [float(hit[:, 0].mean()), float(hit.any(1).mean()), float(np.mean(inside))]


def ways(past: Columns) -> dict[str, Spoil]:
    """The ways that the kinds of the columns allow."""
    categories = [i for i, column in enumerate(past.values) if column.dtype == object]
    numbers = [i for i, column in enumerate(past.values) if column.dtype != object]
    found: dict[str, Spoil] = {}
    if numbers:
        found["number out"] = lambda past, rows, row, rng: number_out(past, rows, row, int(rng.choice(numbers)), rng)
    if categories:
        found["rare level"] = lambda past, rows, row, rng: rare_level(past, rows, row, int(rng.choice(categories)), rng)
        found["unseen level"] = lambda past, rows, row, rng: set_to(
            rows, row, int(rng.choice(categories)), "never seen before"
        )
    tables = {pair: seen for pair in permutations(categories, 2) if (seen := dependence(past, *pair)) is not None}
    if tables:
        found["mismatch"] = lambda past, rows, row, rng: mismatch(tables, rows, row, rng)
    related = [pair for pair in permutations(numbers, 2) if abs(rank_correlation(past, *pair)) >= RELATED]
    if related:
        found["relation"] = lambda past, rows, row, rng: relation(past, rows, row, related, rng)
    return found


def set_to(rows: Columns, row: int, feature: int, value: object, other: int | None = None) -> Spoilt:
    """Change the row; tells which features are spoilt."""
    rows.values[feature][row] = value
    return feature, feature if other is None else other


def number_out(past: Columns, rows: Columns, row: int, feature: int, rng: np.random.Generator) -> Spoilt:
    """A number far out, as the module's docstring says."""
    column = past.values[feature]
    low, high = np.nanquantile(column, [0.001, 0.999])
    width = max(float(np.subtract(*np.nanquantile(column, [0.99, 0.01]))), 1.0)
    step = rng.uniform(0.0, 1.0) * width + 1e-6 * width
    return set_to(rows, row, feature, high + step if rng.random() < 0.5 else low - step)


def rare_level(past: Columns, rows: Columns, row: int, feature: int, rng: np.random.Generator) -> Spoilt | None:
    """A known level that is rare; None if the feature has none."""
    names, counts = np.unique(texts(past, feature), return_counts=True)
    infrequent = names[counts < 0.01 * len(past)]
    return set_to(rows, row, feature, str(rng.choice(infrequent))) if len(infrequent) else None


def texts(columns: Columns, feature: int) -> list[str]:
    return [str(category(value)) for value in columns.values[feature]]


def dependence(past: Columns, first: int, second: int) -> dict[str, list[str]] | None:
    """The levels of `first` that were never seen with each level of `second`; None if the two are not dependent."""
    a, b = texts(past, first), texts(past, second)
    share_a, share_b, seen = Counter(a), Counter(b), set(zip(a, b, strict=True))
    unseen = {v: [u for u in share_a if (u, v) not in seen] for v in share_b}
    shuffled = sum(share_a[u] * share_b[v] for v, levels in unseen.items() for u in levels) / len(past) ** 2
    return unseen if shuffled >= DEPENDENT else None


def mismatch(
    tables: dict[Spoilt, dict[str, list[str]]], rows: Columns, row: int, rng: np.random.Generator
) -> Spoilt | None:
    """Another known level that was never seen with the level of another feature; None if each was."""
    pairs = list(tables)
    for place in rng.permutation(len(pairs)).tolist():
        changed, other = pairs[place]
        levels = tables[changed, other].get(str(category(rows.values[other][row])), [])
        if levels:
            return set_to(rows, row, changed, str(rng.choice(levels)), other)
    return None


def positions(column: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Where the values lie in the distribution of the column, 0 to 1; equal values lie in the middle of their ties."""
    ordered = np.sort(column)
    places: npt.NDArray[np.float64] = (
        np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    ) / (2 * len(ordered))
    return places


def rank_correlation(past: Columns, first: int, second: int) -> float:
    """Spearman's; 0 if a column is constant or has missing values."""
    a, b = (positions(past.values[feature], past.values[feature]) for feature in (first, second))
    if min(a.std(), b.std()) < 1e-9 or np.isnan(past.values[first] + past.values[second]).any():
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def relation(past: Columns, rows: Columns, row: int, related: list[Spoilt], rng: np.random.Generator) -> Spoilt | None:
    """Another row's number, at least half of the distribution away; None if a hundred rows have none."""
    changed, other = related[int(rng.integers(len(related)))]
    column = past.values[changed]
    donors = column[rng.integers(0, len(column), 100)]
    away = np.abs(positions(column, donors) - positions(column, rows.values[changed][[row]]))
    far = donors[away >= 0.5]
    return set_to(rows, row, changed, far[0], other) if len(far) else None


def plausible(past: Columns, feature: int, expected: object) -> bool:
    """Whether an expected value is within the range of training, or one of its categories."""
    column = past.values[feature]
    if isinstance(expected, list):
        seen = {category(value) for value in column} | {"other", None}
        return all(level["value"] in seen for level in expected)
    return bool(np.nanmin(column) <= float(expected) <= np.nanmax(column))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
