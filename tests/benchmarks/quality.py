"""Detection quality on the labelled sets: of the default, of each kind alone, and without each member.

Usage: python -m tests.benchmarks.quality [--seeds 5] [--kinds denoising,linear,...] [--groups eleven,ten]
[--sets cover,...] [--jobs 2]. The group aside is off by default: nobody develops on it.
Prints Markdown: ROC-AUC / PR-AUC as means over the seeds; for each group of sets and for all of them the mean over the
sets, with its standard deviation over the seeds. Two baselines follow, mean |z| and Mahalanobis, and the sets on which
the first kind is more than .03 ROC-AUC below the better of the two.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from tests.benchmarks.aside import ASIDE
from tests.benchmarks.labelled import ELEVEN, TEN, Case, Result, all_of, baselines_of, quality
from worker.core.model.detector import EXPONENTS, MEMBERS, SURPRISES
from worker.core.model.kinds import KINDS

GROUPS = {"eleven": ELEVEN, "ten": TEN, "aside": ASIDE}
MARGIN = 0.03

Figures = npt.NDArray[np.float64]
"""(sets, seeds, 2): ROC-AUC and average precision."""


def main() -> None:
    options = parse()
    kinds = list(KINDS) if options.kinds == "all" else options.kinds.split(",")
    groups = {name: [which for which in GROUPS[name] if which in options.sets] for name in GROUPS}
    groups = {name: sets for name, sets in groups.items() if sets}
    sets = [which for found in groups.values() for which in found]
    cases = [Case(name, kind, seed) for kind, name, seed in product(kinds, sets, range(options.seeds))]
    results = all_of(cases, options.jobs)
    with ProcessPoolExecutor(options.jobs) as pool:
        by_set = list(pool.map(baselines_of, sets))
    head = [*groups, *(["all"] if len(groups) > 1 else []), *sets]
    print("\n| score |", *(f"{name} |" for name in head))
    print("|---|" + "---|" * len(head))
    figures = {}
    for kind in kinds:
        mine = [result for result in results if result.case.kind == kind]
        figures[kind] = {name: figures_of(mine, sets, variant) for name, variant in variants(kind).items()}
        for name, found in figures[kind].items():
            print(row(name, found, groups), flush=True)
    beside = {name: np.array([[found[name]] for found in by_set]) for name in by_set[0]}
    for name, found in beside.items():
        print(row(name, found, groups))
    for kind in kinds if len(sets) > 1 else ():
        print_leave_one_out(figures[kind], groups)
    print_behind(kinds[0], next(iter(figures[kinds[0]].values())), beside, sets)
    print_speed([result for result in results if result.case.kind == kinds[0]], options.jobs)


def parse() -> argparse.Namespace:
    """The options; `sets` holds the names of the sets that are in the groups asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kinds", default="denoising")
    parser.add_argument("--groups", default="eleven,ten")
    parser.add_argument("--sets", help="Only these, of whatever group.")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    everything = [name for sets in GROUPS.values() for name in sets]
    for option, allowed in (("groups", list(GROUPS)), ("sets", everything)):
        unknown = [name for name in (getattr(options, option) or allowed[0]).split(",") if name not in allowed]
        if unknown:
            parser.error(f"--{option}: {', '.join(unknown)}; allowed: {', '.join(allowed)}")
    grouped = [name for group in options.groups.split(",") for name in GROUPS[group]]
    options.sets = options.sets.split(",") if options.sets else grouped
    return options


@dataclass(frozen=True, slots=True)
class Variant:
    """Which errors count: the exponents of the members, and whether each of the surprises does."""

    exponents: tuple[float, ...] = EXPONENTS
    surprises: tuple[bool, ...] = (True, True)


def variants(kind: str) -> dict[str, Variant]:
    """The variants by name, the product's own first."""
    nothing = (False, False)
    whole = {
        f"**{kind}, with companions**": Variant(),
        f"{kind} alone": Variant((1.0, 0.0, 0.0), nothing),
    }
    if kind != "denoising":
        return whole
    alone = {
        f"{name} alone": Variant(tuple(float(name == other) for other in MEMBERS), nothing) for name in MEMBERS[1:]
    }
    without = {
        f"without {name}": Variant(
            tuple(0.0 if name == other else e for other, e in zip(MEMBERS, EXPONENTS, strict=True))
        )
        for name in MEMBERS
    }
    blind = {f"without {name}": Variant(surprises=tuple(name != other for other in SURPRISES)) for name in SURPRISES}
    return whole | alone | without | blind | {"equal exponents": Variant((1 / 3,) * 3)}


def figures_of(results: list[Result], sets: list[str], variant: Variant) -> Figures:
    """The quality of a variant on each set with each seed."""
    return np.array(
        [[quality(r.labels, fuse(r.members, variant)) for r in results if r.case.name == which] for which in sets]
    )


def row(name: str, figures: Figures, groups: dict[str, list[str]]) -> str:
    """A variant's row of the table: each group, all groups if there are several, each set."""
    cells, first = [], 0
    for sets in groups.values():
        cells.append(_mean(figures[first : first + len(sets)]))
        first += len(sets)
    if len(groups) > 1:
        cells.append(_mean(figures))
    cells += ["{:.3f} / {:.3f}".format(*found.mean(0)) for found in figures]
    shown = name.replace("|", r"\|")  # mean |z| would be three cells
    return f"| {shown} | {' | '.join(cells)} |"


def _mean(figures: Figures) -> str:
    """The mean over sets and seeds, and its standard deviation over the seeds if there are several."""
    means = figures.mean(0)  # (seeds, 2)
    roc, pr = means.mean(0)
    if len(means) == 1:
        return f"{roc:.4f} / {pr:.4f}"
    spread = means.std(0, ddof=1)
    return f"{roc:.4f} ± {spread[0]:.4f} / {pr:.4f} ± {spread[1]:.4f}"


def print_leave_one_out(by_variant: dict[str, Figures], groups: dict[str, list[str]]) -> None:
    """Print the quality on each set of the variant that is best on all others, by ROC-AUC + PR-AUC / 2."""
    names, figures = list(by_variant), np.stack([found.mean(1) for found in by_variant.values()])
    chosen = [int((np.delete(figures, i, 1).mean(1) @ [1.0, 0.5]).argmax()) for i in range(figures.shape[1])]
    left_out = np.array([figures[variant, i] for i, variant in enumerate(chosen)])
    counts = ", ".join(f"{names[v]} {chosen.count(v)}" for v in sorted(set(chosen)))
    print(f"\nchosen by leaving one set out ({counts}), on the sets left out:")
    print(row("left out", left_out[:, None], groups))


def print_behind(kind: str, figures: Figures, beside: dict[str, Figures], sets: list[str]) -> None:
    """Print the sets on which the detector is more than .03 ROC-AUC below the better of the baselines."""
    best = np.max([found[:, 0, 0] for found in beside.values()], axis=0)
    own = figures[:, :, 0].mean(1)
    behind = [f"{sets[i]} {own[i]:.3f} ({best[i]:.3f})" for i in np.flatnonzero(own < best - MARGIN)]
    print(f"\n{kind} is more than {MARGIN} ROC-AUC below the better of {' and '.join(beside)} on ", end="")
    print(f"{len(behind)} of {len(sets)} sets: {', '.join(behind) or 'none'}")


def print_speed(results: list[Result], jobs: int) -> None:
    """Print the rows per second that were scored and learned."""
    learning = np.median([result.summary["events_per_second"] for result in results])
    alone = np.median([result.summary["scored_per_second"] for result in results])
    print(
        "\nrows per second on one core, median over sets and seeds: "
        f"scoring and learning {learning:,.0f}, scoring alone {alone:,.0f}, {jobs} runs at a time"
    )


def fuse(members: npt.NDArray[np.float32], variant: Variant) -> npt.NDArray[np.float64]:
    """The log of the error, (n,) float64, from (n, 5) members and errors as rare as the surprises."""
    logs, weights = np.log(np.maximum(members.astype(np.float64), 1e-9)), np.array(variant.exponents)
    count = len(weights)
    counted = [logs[:, count + place] for place, counts in enumerate(variant.surprises) if counts]
    scores: npt.NDArray[np.float64] = np.max([logs[:, :count] @ (weights / weights.sum()), *counted], axis=0)
    return scores


if __name__ == "__main__":
    main()
