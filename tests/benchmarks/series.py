"""Multivariate metric series: windows of several lengths against two baselines, on the twelve ASD files.

Usage: python -m tests.benchmarks.series [--windows 1,4,16] [--jobs 2] [--seed 0].
"""

from __future__ import annotations

import argparse

import numpy as np

from tests.benchmarks.labelled import SERIES, SETS, Case, all_of, baselines, quality
from training.evaluate.prequential import warmup_rows
from training.tables.table import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", default="1,4,16")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    windows = [int(window) for window in options.windows.split(",")]
    results = all_of([Case(name, window=w, seed=options.seed) for w in windows for name in SERIES], options.jobs)
    columns = {
        f"window {w}": {r.case.name: quality(r.labels, r.error) for r in results if r.case.window == w} for w in windows
    }
    for name in SERIES:
        table = read_table(SETS / f"{name}.parquet", "label")
        assert table.labels is not None
        warmup = warmup_rows(table.rows)
        for baseline, found in baselines(np.array(list(table.columns.values()), np.float64).T, warmup).items():
            columns.setdefault(baseline, {})[name] = quality(table.labels[warmup:], found)
    print("\n| file |", *(f"{column} |" for column in columns), "\n|---|" + "---|" * len(columns))
    for name in SERIES:
        print(f"| {name} |", *(f"{found[name][0]:.3f} / {found[name][1]:.3f} |" for found in columns.values()))
    means = [np.mean(list(found.values()), axis=0) for found in columns.values()]
    print("| mean |", *(f"{roc:.3f} / {pr:.3f} |" for roc, pr in means))


if __name__ == "__main__":
    main()
