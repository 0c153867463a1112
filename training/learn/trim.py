"""Leaves rows that may be anomalies out of the autoencoder's training.

An autoencoder learns a cluster of anomalies as it learns any other cluster, and then reconstructs the next one. So each
fit leaves out the rows that stand out most before it: by the network's own error, as it was before it saw these rows,
or by how far out their values lie. Only numbers count here. A level or a combination of levels that is rare yet normal
is learned like all others: how rare it is, the tables of combinations count exactly.
Source of the idea: trimmed likelihood, Neykov et al., "Robust fitting of mixtures using the trimmed likelihood
estimator", Computational Statistics & Data Analysis 52(1), 2007.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from training.learn.closed_form import fit_marginal
from worker.core.model.autoencoder import Autoencoder, feature_errors
from worker.core.model.encoder import Encoded
from worker.core.model.layout import Layout
from worker.core.model.marginal import Marginal

TRIMMED_SHARE = 0.1
"""More than most streams hold of anomalies. Normal rows that are left out cost little: the rest resembles them."""


def select_trusted(network: Autoencoder, layout: Layout, encoded: Encoded) -> npt.NDArray[np.intp]:
    """The places of all rows but the `TRIMMED_SHARE` that stand out most, in order; all rows if there are no numbers.

    A row stands out if it is among the few with the largest errors of the network, or among the few furthest out: the
    two ranks are compared as -log of the share of rows at or above. Of equal rows the first ones stay.
    """
    numbers = layout.numeric_features
    if not len(numbers):
        return np.arange(len(encoded.x))
    x, codes = torch.from_numpy(encoded.x), torch.from_numpy(encoded.codes)
    with torch.inference_mode():
        errors = feature_errors(network(x), x, codes, layout).numpy()
    errors[encoded.missing] = 0.0
    far_out = Marginal(layout, fit_marginal(layout, encoded)).feature_errors(encoded)
    surprises = np.stack([_surprise(each[:, numbers].mean(1)) for each in (errors, far_out)])
    standing_out = surprises.max(0) + 0.5 * surprises.mean(0)
    return select_best(standing_out, TRIMMED_SHARE)


def select_best(errors: npt.NDArray[np.floating[Any]], worst_share: float) -> npt.NDArray[np.intp]:
    """The places of all rows but the worst share, in order; of equal errors the first ones stay."""
    return np.sort(np.argsort(errors, kind="stable")[: len(errors) - int(worst_share * len(errors))])


def _surprise(errors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(n,) errors to the -log of the share of them that are as large, (n,)."""
    ranks = np.empty(len(errors))
    ranks[np.argsort(errors, kind="stable")] = np.arange(len(errors))
    surprise: npt.NDArray[np.float64] = -np.log((len(errors) - ranks - 0.5) / len(errors))
    return surprise
