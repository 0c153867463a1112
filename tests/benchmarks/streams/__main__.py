"""What a newcomer finds on invented streams: recall for each kind of anomaly, and precision.

Usage: python -m tests.benchmarks.streams [--streams checkouts,...] [--aside] [--seeds 1] [--alert-rates profile,.005]
[--jobs 2]. Each stream is written to a file, profiled, and evaluated with the proposed configuration; with a number,
the proposed alert rate is replaced by it. `--aside` takes the streams that are kept aside instead of the open ones.
Prints Markdown. After ± stands the standard deviation over the seeds; "rows above" is the median over a kind's
anomalies of the share of normal rows that have a higher error, so it does not depend on the alert rate.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np

from tests.benchmarks.streams.files import ASIDE, OPEN
from tests.benchmarks.streams.newcomer import Case, Result, try_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams")
    parser.add_argument("--aside", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--alert-rates", default="profile,.005")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    streams = options.streams.split(",") if options.streams else list(ASIDE if options.aside else OPEN)
    unknown = [name for name in streams if name not in OPEN + ASIDE]
    if unknown:
        parser.error(f"--streams: {', '.join(unknown)}; allowed: {', '.join(OPEN + ASIDE)}")
    try:
        rates = {text: None if text == "profile" else float(text) for text in options.alert_rates.split(",")}
    except ValueError as error:
        parser.error(f"--alert-rates: {error}; allowed: profile, and numbers")
    cases = [Case(name, seed, rate) for rate, name, seed in product(rates.values(), streams, range(options.seeds))]
    results = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for result in pool.map(try_out, cases):
            print(f"  {result.case}: mean recall {result.mean_recall:.3f}", flush=True)
            results.append(result)
    for text, rate in rates.items():
        print_streams(text, [result for result in results if result.case.alert_rate == rate], streams)
    print_kinds(rates, results, streams)


def print_streams(rate: str, results: Sequence[Result], streams: Sequence[str]) -> None:
    """Print a table with a row for each stream, at one alert rate."""
    print(f"\nalert rate: {'as proposed' if rate == 'profile' else rate}\n")
    print("| stream | recall, mean over kinds | kinds never found | precision | precision at .4 % | flagged | asked |")
    print("|---|---|---|---|---|---|---|")
    for name in streams:
        mine = [result for result in results if result.case.stream == name]
        cells = [_mean_and_spread([measure(result) for result in mine]) for measure in _MEASURES]
        number = len(mine[0].kinds)
        asked = _percent(float(np.mean([result.alert_rate for result in mine])))
        flagged = _percent(float(np.mean([result.flagged for result in mine])))
        print(f"| {name} | {cells[0]} | {cells[1]} of {number} | {cells[2]} | {cells[3]} | {flagged} | {asked} |")
    means = [float(np.mean([measure(result) for result in results])) for measure in _MEASURES]
    print("| **mean** |", " | ".join(f"**{mean:.3f}**" for mean in means), "| | |", flush=True)


def print_kinds(rates: dict[str, float | None], results: Sequence[Result], streams: Sequence[str]) -> None:
    """Print a table with a row for each kind of each stream, and a column of recalls for each alert rate."""
    print("\n| stream | kind | anomalies |", *(f"recall, {text} |" for text in rates), "rows above |")
    print("|---|---|---|" + "---|" * (len(rates) + 1))
    for name in streams:
        mine = [result for result in results if result.case.stream == name]
        for kind in mine[0].kinds:
            by_rate = [[r.kinds[kind] for r in mine if r.case.alert_rate == rate] for rate in rates.values()]
            recalls = [_mean_and_spread([found.recall for found in founds]) for founds in by_rate]
            number = np.mean([result.kinds[kind].anomalies for result in mine])
            above = _percent(float(np.mean([result.kinds[kind].above for result in mine])))
            print(f"| {name} | {kind} | {number:.0f} |", *(f"{recall} |" for recall in recalls), f"{above} |")


_MEASURES: tuple[Callable[[Result], float], ...] = (
    lambda result: result.mean_recall,
    lambda result: float(result.never_found),
    lambda result: result.precision,
    lambda result: result.precision_at_share,
)


def _mean_and_spread(values: Sequence[float]) -> str:
    """The mean of the values, and their standard deviation if there are several."""
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


if __name__ == "__main__":
    main()
