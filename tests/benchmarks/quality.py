"""Detection quality on the labelled sets: of the default, of each kind alone, and without each member.

Usage: python -m tests.benchmarks.quality [--seeds 5] [--kinds denoising,linear,...] [--sets cover,...] [--jobs 2].
Prints Markdown: ROC-AUC / PR-AUC as means over the seeds, and the standard deviation over the seeds of the mean over
the sets.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
import numpy.typing as npt

from tests.benchmarks.labelled import TABULAR, Case, Result, all_of, quality
from worker.core.model.detector import EXPONENTS, MEMBERS
from worker.core.model.kinds import KINDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kinds", default="denoising")
    parser.add_argument("--sets", default=",".join(TABULAR))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    kinds = list(KINDS) if options.kinds == "all" else options.kinds.split(",")
    sets = options.sets.split(",")
    cases = [Case(name, kind, seed) for kind, name, seed in product(kinds, sets, range(options.seeds))]
    results = all_of(cases, options.jobs)
    print("\n| score | ROC-AUC | PR-AUC |", *(f"{name} |" for name in sets))
    print("|---|" + "---|" * (2 + len(sets)))
    for kind in kinds:
        mine = [result for result in results if result.case.kind == kind]
        by_variant = {name: row(name, mine, sets, exponents) for name, exponents in variants(kind).items()}
        if len(sets) > 1:
            leave_one_out(by_variant)
    speeds = [result.summary for result in results if result.case.kind == kinds[0]]
    learning = np.median([speed["events_per_second"] for speed in speeds])
    alone = np.median([speed["scored_per_second"] for speed in speeds])
    print(
        "\nrows per second on one core, median over sets and seeds: "
        f"scoring and learning {learning:,.0f}, scoring alone {alone:,.0f}, {options.jobs} runs at a time"
    )


def variants(kind: str) -> dict[str, tuple[float, ...]]:
    """The exponents of the members in each variant, by its name."""
    whole: dict[str, tuple[float, ...]] = {f"**{kind}, with companions**": EXPONENTS, f"{kind} alone": (1.0, 0.0, 0.0)}
    if kind != "denoising":
        return whole
    alone: dict[str, tuple[float, ...]] = {
        f"{name} alone": tuple(float(name == other) for other in MEMBERS) for name in MEMBERS[1:]
    }
    without: dict[str, tuple[float, ...]] = {
        f"without {name}": tuple(0.0 if name == other else e for other, e in zip(MEMBERS, EXPONENTS, strict=True))
        for name in MEMBERS
    }
    equal: dict[str, tuple[float, ...]] = {"equal exponents": (1 / 3,) * 3}
    return whole | alone | without | equal


def row(name: str, results: list[Result], sets: list[str], exponents: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Print a variant's row of the table; returns the means over the seeds, (sets, 2) for ROC-AUC and PR-AUC."""
    cells, by_seed = [], []
    for which in sets:
        found = np.array([quality(r.labels, fuse(r.members, exponents)) for r in results if r.case.name == which])
        by_seed.append(found)
        cells.append("{:.3f} / {:.3f}".format(*found.mean(0)))
    means = np.mean(by_seed, axis=0)  # (seeds, 2)
    spread = means.std(0, ddof=1) if len(means) > 1 else np.zeros(2)
    roc, pr = means.mean(0)
    scores = f"| {name} | {roc:.4f} ± {spread[0]:.4f} | {pr:.4f} ± {spread[1]:.4f} |"
    print(scores, *(f"{cell} |" for cell in cells), flush=True)
    return np.array([found.mean(0) for found in by_seed])


def leave_one_out(by_variant: dict[str, npt.NDArray[np.float64]]) -> None:
    """Print the quality on each set of the variant that is best on all others, by ROC-AUC + PR-AUC / 2."""
    names, figures = list(by_variant), np.stack(list(by_variant.values()))
    chosen = [int((np.delete(figures, i, 1).mean(1) @ [1.0, 0.5]).argmax()) for i in range(figures.shape[1])]
    roc, pr = np.mean([figures[variant, i] for i, variant in enumerate(chosen)], axis=0)
    counts = ", ".join(f"{names[v]} {chosen.count(v)}" for v in sorted(set(chosen)))
    print(f"\nchosen by leaving one set out: {roc:.4f} / {pr:.4f} on the sets left out ({counts})\n")


def fuse(members: npt.NDArray[np.float32], exponents: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """The log of the weighted geometric mean of (n, members) errors, (n,) float64."""
    scores: npt.NDArray[np.float64] = np.log(members.astype(np.float64)) @ np.array(exponents)
    return scores


if __name__ == "__main__":
    main()
