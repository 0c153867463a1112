"""What the autoencoder is not trained on: rows far out and rows it cannot reconstruct, but not what is merely rare."""

from __future__ import annotations

import numpy as np
import torch

from training.learn.fit import fit
from training.learn.trim import TRIMMED_SHARE, select_trusted
from worker.core.events.columns import Columns, objects
from worker.core.events.spec import FeatureSpec

SPEC = FeatureSpec.model_validate(
    {
        "features": [
            *({"field": f"n{i}", "kind": "numeric"} for i in range(6)),
            {"field": "level", "kind": "categorical"},
        ]
    }
)


def stream(n: int, anomalies: int, seed: int = 0) -> Columns:
    """Two noisy factors; the last rows are a tight cluster that breaks their relations; one row in fifty is rare."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 1, (2, n))
    values = np.stack([a, b, a + b, a - b, 2 * a, -b]) + rng.normal(0, 0.2, (6, n))
    values[:, n - anomalies :] = np.array([1.5, 1.5, -2.0, 2.5, -2.0, 2.0])[:, None] + rng.normal(
        0, 0.1, (6, anomalies)
    )
    return Columns((*values, objects(["rare" if i % 50 == 0 else "common" for i in range(n)])))


def test_a_cluster_of_anomalies_is_left_out_and_rare_levels_stay() -> None:
    columns = stream(2_000, 80)
    detector = fit(SPEC, columns, kind="denoising", seed=0).detector()
    encoded = detector.encoder.transform(columns)
    trusted = select_trusted(detector.network, detector.encoder.layout, encoded)
    assert len(trusted) == 2_000 - int(TRIMMED_SHARE * 2_000)
    assert (np.diff(trusted) > 0).all()
    assert (trusted >= 1_920).sum() <= 4
    rare = np.arange(0, 1_920, 50)
    assert np.isin(rare, trusted).mean() > 0.85


def test_the_next_row_of_a_cluster_that_was_among_the_rows_still_stands_out() -> None:
    detector = fit(SPEC, stream(2_000, 80), kind="denoising", seed=0).detector()
    later = detector.score(detector.encoder.transform(stream(1_000, 50, seed=1))).members[:, 0]
    assert np.median(later[950:]) > np.quantile(later[:950], 0.97)


def test_without_numbers_all_rows_are_trusted() -> None:
    spec = FeatureSpec.model_validate({"features": [{"field": "level", "kind": "categorical"}]})
    columns = Columns((objects(["a", "b"] * 100),))
    detector = fit(spec, columns, kind="linear", seed=0).detector()
    with torch.inference_mode():
        trusted = select_trusted(detector.network, detector.encoder.layout, detector.encoder.transform(columns))
    assert trusted.tolist() == list(range(200))
