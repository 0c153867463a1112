"""Microseconds per event of each stage between a record's bytes and its error, on one core.

Usage: python -m tests.benchmarks.stages [--repeats 60]. The stream is that of `make bench`. The fastest of the repeats
counts, since other processes share the machine.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable

import torch

from tests.benchmarks.load import FEATURES, table, values
from training.learn.fit import fit
from worker.core.events.columns import from_table
from worker.core.events.decode import Limits, decoder_for
from worker.core.events.spec import FeatureSpec
from worker.core.model.detector import Detector
from worker.core.model.tiles import to_tiles

SIZES = (256, 1_000, 5_000)
SPEC = FeatureSpec.model_validate({"features": FEATURES, "entity": "host"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = fit(SPEC, from_table(table(8_000, seed=7), SPEC), kind="denoising", seed=0).detector()
    records = values(max(SIZES), seed=1)
    gc.collect()
    gc.freeze()
    gc.disable()
    rows = {size: measure(detector, records[:size], options.repeats) for size in SIZES}
    print(f"| µs per event | {' | '.join(f'{size:,}' for size in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    for stage in rows[SIZES[0]]:
        print(f"| {stage} | {' | '.join(f'{rows[size][stage]:.3f}' for size in SIZES)} |")


def measure(detector: Detector, records: list[bytes], repeats: int) -> dict[str, float]:
    """Microseconds per event by stage; `all` is the whole data path in one call."""
    decoder = decoder_for("json", SPEC, Limits())
    encoder, marginal, conditional = detector.encoder, detector.marginal, detector.conditional
    columns = decoder.decode(records).columns
    encoded = encoder.transform(columns)
    x, codes = to_tiles(encoded.x), encoded.codes
    residuals = conditional.residuals(x)
    stages: dict[str, Callable[[], object]] = {
        "decode to columns": lambda: decoder.decode(records),
        "encode": lambda: encoder.transform(columns),
        "errors": lambda: detector.errors(encoded),
        "· network": lambda: detector._reconstruct(x),
        "· residuals": lambda: conditional.residuals(x),
        "· conditional error": lambda: conditional.feature_errors(residuals, codes),
        "· marginal error": lambda: marginal.feature_errors(encoded),
        "all": lambda: detector.errors(encoder.transform(decoder.decode(records).columns)),
    }
    return {stage: fastest(call, repeats) / len(records) * 1e6 for stage, call in stages.items()}


def fastest(call: Callable[[], object], repeats: int) -> float:
    """The seconds of the fastest of `repeats` calls, the first one left out."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


if __name__ == "__main__":
    main()
