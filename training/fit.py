"""Fitting an autoencoder: robust two-pass training from scratch, or a warm start from the champion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.autoencoder import KINDS, Autoencoder, Layout, feature_errors
from worker.core.columns import Columns
from worker.core.detector import Detector, Normalisation
from worker.core.encode import Encoded, Encoder
from worker.core.spec import FeatureSpec

STOP_SHARE = 0.15
WORST_SHARE = 0.05
"""Left out of the second pass: nobody promises a clean warm-up (design section 5, step 2)."""
_BATCH_SMALL, _BATCH_LARGE = 64, 256
_PATIENCE = 6
_EPOCHS_COLD, _EPOCHS_WARM = 60, 6
_RATE_COLD, _RATE_WARM = 5e-3, 1e-3
_STEPS_MOST = 4_000
_ERROR_CAP = 30.0
"""Of one feature's training loss, so that a few wild rows do not pull the network."""
_TRIM = 0.01
_SD_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights and what is needed to serve them; `normalisation` comes from the stop block until calibration replaces
    it.
    """

    encoder: Encoder
    kind: str
    state_dict: dict[str, Tensor]
    normalisation: Normalisation
    metrics: dict[str, float] = field(default_factory=dict)

    def detector(self) -> Detector:
        return Detector(self.encoder, self.kind, self.state_dict, self.normalisation)


def fit(
    spec: FeatureSpec,
    columns: Columns,
    *,
    kind: str,
    seed: int,
    parent: Detector | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Fit on n rows in time order: the last `STOP_SHARE` of them decides when to stop.

    From scratch: encoder and network are fitted, then once more without the `WORST_SHARE` worst rows of the first
    pass. With a `parent`: its encoder and weights are where training begins. The same rows and seed give the same
    weights, and torch's global generator is left alone. Raises ValueError with fewer than 32 rows.
    """
    if len(columns) < 32:
        raise ValueError(f"{len(columns)} rows are too few to fit on; at least 32")
    generator = torch.Generator().manual_seed(seed)
    cut = int(len(columns) * (1.0 - STOP_SHARE))
    train, stop = columns.take(slice(0, cut)), columns.take(slice(cut, None))
    if parent is not None:
        encoder, network = parent.encoder, _network(parent.encoder, kind, generator)
        network.load_state_dict(parent.network.state_dict())
        losses = _descend(network, encoder, train, stop, _EPOCHS_WARM, _RATE_WARM, generator, progress)
    else:
        encoder = Encoder.fit(spec, train)
        network = _network(encoder, kind, generator)
        _descend(network, encoder, train, stop, _EPOCHS_COLD, _RATE_COLD, generator, progress)
        kept = _without_worst(network, encoder, train)
        encoder = Encoder.fit(spec, kept)
        network = _network(encoder, kind, generator)
        losses = _descend(network, encoder, kept, stop, _EPOCHS_COLD, _RATE_COLD, generator, progress)
    raw = raw_errors(network, encoder, stop)
    return Fitted(
        encoder,
        kind,
        {name: tensor.detach().clone() for name, tensor in network.state_dict().items()},
        normalisation_of(encoder, raw),
        losses,
    )


def _network(encoder: Encoder, kind: str, generator: torch.Generator) -> Autoencoder:
    layout = Layout.of(encoder)
    return KINDS[kind](encoder.width, layout.width, layout.features, generator)


def _descend(
    network: Autoencoder,
    encoder: Encoder,
    train: Columns,
    stop: Columns,
    epochs: int,
    rate: float,
    generator: torch.Generator,
    progress: Callable[[int, int], None] | None,
) -> dict[str, float]:
    """Adam with early stopping; leaves the best weights in the network. Returns the losses, stored with the bundle."""
    layout = Layout.of(encoder)
    x, codes = _tensors(encoder.transform(train))
    stop_x, stop_codes = _tensors(encoder.transform(stop))
    batch = _BATCH_SMALL if len(x) < 5_000 else _BATCH_LARGE
    epochs = max(2, min(epochs, _STEPS_MOST * batch // len(x)))
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, eta_min=rate / 10)
    best, best_state, stale, train_loss = float("inf"), network.state_dict(), 0, 0.0
    for epoch in range(epochs):
        network.train()
        order = torch.randperm(len(x), generator=generator)
        train_loss = 0.0
        for part in torch.split(order, batch):
            out = network(network.corrupt(x[part], encoder, generator))
            loss = feature_errors(out, x[part], codes[part], layout).clamp_max(_ERROR_CAP).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            train_loss += loss.item() * len(part) / len(x)
        schedule.step()
        with torch.inference_mode():
            errors = feature_errors(network(stop_x), stop_x, stop_codes, layout).clamp_max(_ERROR_CAP).mean(1)
            # Without the worst rows: the stop block may hold anomalies too.
            stop_loss = float(errors.sort().values[: max(1, int(0.95 * len(errors)))].mean())
        if stop_loss < best * (1.0 - 1e-4):
            best, stale = stop_loss, 0
            best_state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        else:
            stale += 1
        if progress is not None:
            progress(epoch + 1, epochs)
        if stale > _PATIENCE:
            break
    network.load_state_dict(best_state)
    return {"train_loss": train_loss, "stop_loss": best}


def _without_worst(network: Autoencoder, encoder: Encoder, train: Columns) -> Columns:
    raw = raw_errors(network, encoder, train)
    normalisation = normalisation_of(encoder, raw)
    parts = np.clip(1.0 + (raw - normalisation.mean) / normalisation.sd, 0.0, normalisation.cap)
    errors = parts.mean(1)
    keep = np.sort(np.argsort(errors, kind="stable")[: len(errors) - int(WORST_SHARE * len(errors))])
    return train.take(keep)


def raw_errors(network: Autoencoder, encoder: Encoder, columns: Columns) -> npt.NDArray[np.float32]:
    """(n, F) float32 unnormalised errors."""
    layout = Layout.of(encoder)
    encoded = encoder.transform(columns)
    x, codes = _tensors(encoded)
    network.eval()
    with torch.inference_mode():
        raw: npt.NDArray[np.float32] = feature_errors(network(x), x, codes, layout).numpy()
    return raw


def normalisation_of(encoder: Encoder, raw: npt.NDArray[np.float32]) -> Normalisation:
    """Mean and sd per feature of (n, F) raw errors, without the worst 1 % of each feature.

    The sd has a floor, so that an all but perfectly reconstructed feature does not turn a hair's breadth into an
    alert; of a feature that was constant in training it is one scaled unit.
    """
    ordered = np.sort(np.asarray(raw, np.float64), axis=0)
    kept = ordered[: max(1, int(np.ceil((1.0 - _TRIM) * len(ordered))))]
    constant = np.array([block.constant for block in encoder.blocks])
    mean = kept.mean(0)
    sd = np.maximum(np.maximum(kept.std(0), 0.5 * mean), np.where(constant, 1.0, _SD_FLOOR))
    levels = np.array([max(block.levels, 2) for block in encoder.blocks], np.float64)
    # An unseen level is as unlikely as a level seen once in a thousand rows, shared among the levels.
    unseen = np.log(1_000.0 * levels)
    return Normalisation(mean.astype(np.float32), sd.astype(np.float32), unseen.astype(np.float32))


def _tensors(encoded: Encoded) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(encoded.x), torch.from_numpy(encoded.codes)
