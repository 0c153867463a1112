"""Features that tell nothing are found, and those that tell something are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.profile.evidence.noise import find_noise

ROWS = 3_000


def sample(seed: int, rows: int = ROWS) -> tuple[dict[str, list[Any]], dict[str, str]]:
    random = np.random.default_rng(seed)
    size = random.uniform(0.0, 1.0, rows)
    user = random.integers(0, 200, rows)
    columns: dict[str, list[Any]] = {
        "port": random.integers(1_024, 65_536, rows).tolist(),
        "bucket": [f"b{value}" for value in random.integers(0, 64, rows)],
        "size": size.tolist(),  # flat, but related to `cost`
        "cost": (size * 3.0 + random.normal(0.0, 0.3, rows)).tolist(),
        "user": [f"u{value}" for value in user],  # flat, but related to `plan`
        "plan": ["free" if value % 3 else "paid" for value in user.tolist()],
        "latency": random.lognormal(3.0, 0.4, rows).tolist(),  # independent, but a high value is unusual by itself
        "method": random.choice(["card", "cash", "crypto"], rows, p=[0.9, 0.09, 0.01]).tolist(),
    }
    kinds = dict.fromkeys(columns, "categorical") | dict.fromkeys(("port", "size", "cost", "latency"), "numeric")
    return columns, kinds


def test_flat_and_independent_features_are_noise() -> None:
    found = [find_noise(*sample(seed)) for seed in range(10)]
    assert sum(noise == ["port", "bucket"] for noise in found) >= 9
    assert not any(set(noise) - {"port", "bucket"} for noise in found)


def test_a_few_rows_prove_nothing() -> None:
    assert find_noise(*sample(0, 400)) == []
    assert find_noise({}, {}) == []


def test_missing_values_may_be_what_is_related() -> None:
    columns, kinds = sample(0)
    columns["port"] = [
        port if plan == "paid" else None for port, plan in zip(columns["port"], columns["plan"], strict=True)
    ]
    assert "port" not in find_noise(columns, kinds)
