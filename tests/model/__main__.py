"""Runs the real loop through seeded schedules on a model of the broker.

python -m tests.model --seeds 10000              # many, and a table of what happened
python -m tests.model --seed 4711                # one of them, with the worker's log
python -m tests.model --seeds 300 --bug "no catch-up"   # with a planted bug, until a schedule finds it
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections import Counter

import structlog
import torch

from tests.model.planted import PLANTED
from tests.model.world import Outcome, World


def run(seeds: range, bug: str | None = None) -> tuple[list[Outcome], Counter[str]]:
    """The schedules in which something was wrong, and counts of what happened in all of them.

    With a planted bug it stops at the first schedule that finds it.
    """
    bad, done = list[Outcome](), Counter[str]()
    begun = time.monotonic()
    for number, seed in enumerate(seeds, 1):
        outcome = run_schedule(seed, bug)
        done += outcome.done
        done["alerts"] += outcome.alerts
        if not outcome.good:
            bad.append(outcome)
            if bug is not None:
                break
        if number % 500 == 0:
            print(f"{number} of {len(seeds)}, {time.monotonic() - begun:.0f} s, {len(bad)} wrong", file=sys.stderr)
    done["schedules"] += number
    return bad, done


def run_schedule(seed: int, bug: str | None = None) -> Outcome:
    """One schedule, with a planted bug if one is named."""
    with PLANTED[bug]() if bug is not None else PLANTED["none"]():
        try:
            return World(seed).run()
        except Exception as error:  # a worker gave up, which none should
            return Outcome(seed, Counter(), 0, 0, 0, [repr(error)])


def quiet() -> None:
    """Silence the worker's log, and let torch use one thread."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    torch.set_num_threads(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1_000, help="number of schedules")
    parser.add_argument("--first", type=int, default=0, help="seed of the first schedule")
    parser.add_argument("--seed", type=int, help="run only the schedule with this seed")
    parser.add_argument("--bug", choices=sorted(PLANTED))
    options = parser.parse_args()
    if options.seed is None:
        quiet()
    gc.freeze()
    seeds = range(options.first, options.first + options.seeds)
    bad, done = run(seeds if options.seed is None else range(options.seed, options.seed + 1), options.bug)
    for name, count in sorted(done.items()):
        print(f"| {name} | {count} |")
    for outcome in bad[:10]:
        print(f"seed {outcome.seed}: lost {outcome.lost}, doubled {outcome.doubled}, wrong {outcome.wrong[:3]}")
    print(f"{len(bad)} of {done['schedules']} schedules went wrong")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
