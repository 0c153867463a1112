"""Fits a model: from scratch without the worst rows, or as a warm start from the champion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.learn.closed_form import fit_conditional, fit_marginal
from training.learn.count_combinations import Counted, count_combinations
from training.learn.surprises import NEVER, align, fit_tails
from training.learn.trim import select_best, select_trusted
from training.learn.warm_start import rebase
from worker.core.events.columns import Columns
from worker.core.events.spec import FeatureSpec
from worker.core.model.alignment import PREFIX
from worker.core.model.autoencoder import Autoencoder, feature_errors
from worker.core.model.conditional import Conditional
from worker.core.model.detector import SURPRISES, Detector
from worker.core.model.encoder import Encoded, Encoder
from worker.core.model.kinds import KINDS
from worker.core.model.layout import Layout
from worker.core.model.tiles import to_tiles

LEAST_ROWS = 16
WORST_SHARE = 0.05
"""The share of rows that the first model of a stream is not fitted on: nobody vouches that they hold no anomalies."""
FREEDOM = 1.0
ROUNDS_COLD = 2
"""How often a new network is trained once more, without the rows that stood out after the training before."""
_BATCH = 64
_STEPS_COLD, _STEPS_WARM, _STEPS_MOST = 600, 300, 4_000
_RATE_COLD, _RATE_WARM, _RATE_LAST = 5e-3, 2e-3, 0.1
_PASSES = 15
_REPORT = 50
BEHIND = {"combinations": 0.0, "extremes": 4.0}
"""How many nats rarer than the error a surprise must be to count as much."""
_NEVER = torch.tensor([[NEVER, 0.0], [2.0 * NEVER, 0.0]], dtype=torch.float64)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model, as a bundle holds it; `loss` is the mean of the last steps, in nats per feature."""

    encoder: Encoder
    kind: str
    tensors: dict[str, Tensor]
    loss: float

    def detector(self) -> Detector:
        return Detector(self.encoder, self.kind, self.tensors)


def fit(
    spec: FeatureSpec,
    columns: Columns,
    *,
    kind: str,
    seed: int,
    parent: Detector | None = None,
    fresh: npt.NDArray[np.bool_] | None = None,
    held_out: Columns | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit on n rows in time order.

    Without a `parent`, the `WORST_SHARE` of the rows with the largest conditional errors is left out. With a `parent`
    of the same kind, the autoencoder begins with its weights, adapted to the new encoder. It is never trained on rows
    that stand out (`training.learn.trim`). The same rows and seed give the same weights, and torch's global generator
    is left alone. Raises ValueError for fewer than `LEAST_ROWS` rows.
    """
    if len(columns) < LEAST_ROWS:
        raise ValueError(f"{len(columns)} rows are too few to fit on; at least {LEAST_ROWS}")
    generator = torch.Generator().manual_seed(seed)
    warm = parent is not None and parent.kind == kind
    every = columns
    if parent is None:
        columns = _drop_worst_rows(spec, columns)
    encoder = Encoder.fit(spec, columns, parent.encoder if parent is not None else None)
    encoded = encoder.transform(columns)
    if parent is not None and warm:
        network, rounds = rebase(parent, encoder, generator), 1
    else:
        network, rounds = KINDS[kind](encoder.layout, generator), ROUNDS_COLD
        steps = min(max(_STEPS_COLD, _PASSES * len(columns) // _BATCH), _STEPS_MOST)
        descend(network, encoder.layout, encoded, steps, _RATE_COLD, generator, progress)
    for _ in range(rounds):
        trusted = encoded.take(select_trusted(network, encoder.layout, encoded))
        loss = descend(network, encoder.layout, trusted, _STEPS_WARM, _RATE_WARM, generator, progress)
    tensors = {f"autoencoder.{name}": tensor.detach().clone() for name, tensor in network.state_dict().items()}
    tensors |= fit_conditional(encoder.layout, encoded) | fit_marginal(encoder.layout, encoded)
    tensors |= fit_tails(encoder.layout, encoded)
    rows = encoder.transform(every)
    counted = Counted(parent.encoder, parent.tensors) if parent is not None else None
    tensors |= count_combinations(encoder, rows, rows if fresh is None else rows.take(np.flatnonzero(fresh)), counted)
    unseen = rows if held_out is None else encoder.transform(held_out)
    return Fitted(encoder, kind, tensors | _alignments(encoder, kind, tensors, unseen), loss)


def _alignments(encoder: Encoder, kind: str, tensors: dict[str, Tensor], unseen: Encoded) -> dict[str, Tensor]:
    plain = tensors | {f"{PREFIX}{name}": _NEVER for name in SURPRISES}
    scores = Detector(encoder, kind, plain).score(unseen)
    fitted: dict[str, Tensor] = {}
    for place, name in enumerate(SURPRISES):
        fitted |= align(name, scores.errors, scores.surprises[place], BEHIND[name])
    return fitted


def descend(
    network: Autoencoder,
    layout: Layout,
    encoded: Encoded,
    steps: int,
    rate: float,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> float:
    """Train the network by Adam with a cosine schedule; returns the mean loss of the last tenth of the steps.

    A feature's error e counts as v log(1 + e / v) with v = `FREEDOM`: the likelihood of a Student t instead of the
    Gaussian one (Lange et al., JASA 84, 1989), so that a few outliers do not pull the network. `rate` is the learning
    rate of the first step; `progress` is called with the steps done and the number of steps.
    """
    x, codes = torch.from_numpy(encoded.x), torch.from_numpy(encoded.codes)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=rate * _RATE_LAST)
    network.train()
    last = []
    for step in range(steps):
        rows = torch.randint(len(x), (min(_BATCH, len(x)),), generator=generator)
        out, extra = network.training_pass(network.corrupt(x[rows], layout, generator), generator)
        errors = feature_errors(out, x[rows], codes[rows], layout)
        loss = (torch.log1p(errors / FREEDOM) * FREEDOM).mean() + extra.mean() / layout.features
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step >= steps * 9 // 10:
            last.append(float(loss.detach()))
        if progress is not None and ((step + 1) % _REPORT == 0 or step + 1 == steps):
            progress(step + 1, steps)
    network.eval()
    return float(np.mean(last))


def _drop_worst_rows(spec: FeatureSpec, columns: Columns) -> Columns:
    """The rows in order, without those with the largest conditional errors under a first, robust fit on all of them."""
    encoder = Encoder.fit(spec, columns)
    encoded = encoder.transform(columns)
    conditional = Conditional(encoder.layout, fit_conditional(encoder.layout, encoded))
    errors = conditional.feature_errors(conditional.residuals(to_tiles(encoded.x)), encoded.codes)
    return columns.take(select_best(errors.sum(1), WORST_SHARE))
