"""Labelled sets that are kept aside: nobody develops on them. They come from what installed packages carry.

In most of them one class of several is thinned to 2 % of the rows and is the anomaly, as in segment_0 to segment_6.
scikit-learn carries digits (UCI, CC BY 4.0), river phishing, bananas, yeast and solar flares (UCI and OpenML), and
generators of waveforms, clusters and loan applications. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from river import datasets
from river.datasets import synth
from sklearn.datasets import load_digits

SHARE = 0.02
GENERATED_ROWS = 8_000
ASIDE = (
    *(f"digits_{digit}" for digit in range(10)),
    *(f"waveform_{wave}" for wave in range(3)),
    "phishing",
    "bananas",
    "yeast",
    "solar_flares",
    "clusters",
    "loans",
)

river: Any = datasets  # some of its constructors have no types

Rows = Iterable[tuple[dict[Any, Any], Hashable]]


def write_aside(name: str, path: Path) -> None:
    """Write a set as Parquet, its column `label` True for an anomaly. Raises KeyError for an unknown name."""
    rows, rare = _source(name)
    features, classes = zip(*rows, strict=True)
    labels = np.array([found == rare for found in classes])
    rng = np.random.default_rng(0)
    anomalies = np.flatnonzero(labels)
    most = round(SHARE / (1 - SHARE) * int((~labels).sum()))
    if len(anomalies) > most:
        anomalies = rng.choice(anomalies, most, replace=False)
    kept = rng.permutation(np.concatenate([np.flatnonzero(~labels), anomalies]))
    columns = {f"x{field}": [features[row][field] for row in kept.tolist()] for field in features[0]}
    pq.write_table(pa.table({**columns, "label": labels[kept]}), path)


def _source(name: str) -> tuple[Rows, Hashable]:
    """The rows of a set with their classes, and the class that is the anomaly."""
    family, _, number = name.partition("_")
    if family == "digits":
        found = load_digits()
        return [(dict(enumerate(x.tolist())), int(y)) for x, y in zip(found.data, found.target, strict=True)], int(
            number
        )
    if family == "waveform":
        return islice(synth.Waveform(seed=7), GENERATED_ROWS), int(number)
    simple: dict[str, tuple[Rows, Hashable]] = {
        "phishing": (river.Phishing(), True),
        "bananas": (river.Bananas(), True),
        "yeast": (((x, bool(y["Class11"])) for x, y in river.Yeast()), True),
        "solar_flares": (
            ((x, bool(y["m-class-flares"] or y["x-class-flares"])) for x, y in river.SolarFlare()),
            True,
        ),
        "clusters": (islice(synth.RandomRBF(5, 5, 4, 12, 12), GENERATED_ROWS), 3),
        "loans": (((_with_levels(x), y) for x, y in islice(synth.Agrawal(2, seed=5), GENERATED_ROWS)), 0),
    }
    return simple[name]


def _with_levels(loan: dict[Any, Any]) -> dict[Any, Any]:
    """The make of the car and the area are names, which the generator numbers."""
    return {**loan, "car": f"make-{loan['car']}", "zipcode": f"area-{loan['zipcode']}"}
