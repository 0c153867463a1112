"""The detector that serves: encoder, network and normalisation, frozen. Reconstruct and score, vectorised.

Rows are scored in padded tiles of 256 by batched matrix products of one fixed shape, so that a row's error has the
same bits in any batch, at any place in it, beside any neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.autoencoder import KINDS, Layout
from worker.core.columns import Columns
from worker.core.encode import Encoded, Encoder

TILE = 256
CAP = 100.0
_LOGIT_BOUND = 30.0
_LANES = 16
"""Matrix products are padded to a multiple of this many columns: with fewer, BLAS sums a row in an order that depends
on the row's place in the tile, and its bits with it.
"""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Per-feature mean and sd of raw errors, (F,) float32, from calibration; `unseen` (F,) the fixed raw error of an
    unseen level.
    """

    mean: npt.NDArray[np.float32]
    sd: npt.NDArray[np.float32]
    unseen: npt.NDArray[np.float32]
    cap: float = CAP


@dataclass(frozen=True, slots=True)
class Scores:
    """Of n rows: `error` (n,) float32 > 0; `per_feature` (n, F) its normalised, capped parts; `reconstruction` (n,
    outputs); `code` (n, width of the bottleneck).
    """

    error: npt.NDArray[np.float32]
    per_feature: npt.NDArray[np.float32]
    reconstruction: npt.NDArray[np.float32]
    code: npt.NDArray[np.float32]


class Detector:
    """Row error = mean over features of clip(1 + (raw - mean) / sd, 0, cap): 1 is typical, whatever the features
    are.
    """

    def __init__(
        self, encoder: Encoder, kind: str, state_dict: Mapping[str, Tensor], normalisation: Normalisation
    ) -> None:
        """Raises ValueError for an unknown kind or weights of other names or shapes."""
        if kind not in KINDS:
            raise ValueError(f"model kind {kind!r}; allowed: {', '.join(KINDS)}")
        self.encoder = encoder
        self.kind = kind
        self.normalisation = normalisation
        self.layout = Layout.of(encoder)
        network = KINDS[kind](encoder.width, self.layout.width, self.layout.features)
        try:
            network.load_state_dict(dict(state_dict))
        except RuntimeError as error:
            raise ValueError(f"weights do not fit the network: {error}") from error
        self.network = network.eval()
        self._layers = _padded_layers(network)
        self._code_width = int(network.layers[len(network.layers) // 2 - 1].out_features)  # type: ignore[arg-type]
        self._prepare()

    def _prepare(self) -> None:
        layout, features = self.layout, self.layout.features
        self._values = len(layout.value_inputs)
        self._sum_values = _indicator(layout.value_feature, features)
        categories = [block.feature for block in layout.categorical]
        place = {feature: i for i, feature in enumerate(categories)}
        groups = torch.tensor([place[int(feature)] for feature in layout.logit_feature], dtype=torch.long)
        self._sum_logits = _indicator(groups, len(categories))
        self._spread_categories = _indicator(torch.tensor(categories, dtype=torch.long), features)
        starts = [start - self._values for start in layout.first_logits()]
        self._first_logit = torch.tensor(starts, dtype=torch.long)
        unseen = [block.unseen for block in layout.categorical]
        self._unseen_level = torch.tensor(unseen, dtype=torch.long)
        normalisation = self.normalisation
        self._unseen_error = torch.from_numpy(normalisation.unseen[categories].copy())
        # Padding columns come out as 0: (0 - 1) * 1 + 1, and their share is 0.
        self._mean = torch.ones(_padded(features))
        self._mean[:features] = torch.from_numpy(normalisation.mean.copy())
        self._scale = torch.ones(_padded(features))
        self._scale[:features] = 1.0 / torch.from_numpy(normalisation.sd.copy())
        self._share = torch.zeros(1, _padded(features), _LANES)
        self._share[:, :features] = 1.0 / features

    def errors(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n,) float32, positive and finite for any row."""
        return self._score(encoded)[0]

    def explain(self, columns: Columns) -> Scores:
        """Everything about a few rows; `error` has the bits that `errors` gave them."""
        error, per_feature, out, code = self._score(self.encoder.transform(columns))
        return Scores(error, per_feature, out, code)

    def expected(self, feature: int, reconstruction: npt.NDArray[np.float32]) -> Any:
        """What the model expected of a feature, from one row of `Scores.reconstruction`."""
        layout = self.layout
        for block, start in zip(layout.categorical, layout.first_logits(), strict=True):
            if block.feature == feature:
                return self.encoder.expected(feature, reconstruction[start : start + block.levels])
        chosen = np.flatnonzero(layout.value_feature.numpy() == feature)
        return self.encoder.expected(feature, reconstruction[chosen])

    @torch.inference_mode()
    def _score(self, encoded: Encoded) -> tuple[npt.NDArray[np.float32], ...]:
        n = len(encoded.x)
        x, codes = _tiles(encoded.x), _tiles(encoded.codes)
        out, code = self._reconstruct(x)
        parts = self._parts(x, codes, out)
        if encoded.missing.any():
            # Nothing to compare a missing number with: its part is the typical one. A missing category is a level of
            # its own.
            valued = np.isin(np.arange(self.layout.features), self.layout.value_feature.numpy())
            absent = torch.nn.functional.pad(_tiles(encoded.missing & valued), (0, parts.shape[2] - len(valued)))
            parts = torch.where(absent, torch.ones(()), parts)
        error = torch.bmm(parts, self._share.expand(len(parts), -1, -1)).clamp_min(1e-6)
        widths = (self.layout.features, self.layout.width, self._code_width)
        trimmed = (tensor[..., :width] for tensor, width in zip((parts, out, code), widths, strict=True))
        return tuple(_rows(tensor, n) for tensor in (error[..., 0], *trimmed))

    def _reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tiles, h, code = len(x), x, x
        for i, (weight, bias) in enumerate(self._layers):
            h = torch.baddbmm(bias.expand(tiles, TILE, -1), h, weight.expand(tiles, -1, -1))
            if i < len(self._layers) - 1:
                h = torch.tanh(h)
            if i == len(self._layers) // 2 - 1:
                code = h
        return h, code

    def _parts(self, x: Tensor, codes: Tensor, out: Tensor) -> Tensor:
        """(T, 256, F) normalised and capped."""
        tiles = len(x)
        raw = torch.zeros(tiles, TILE, len(self._mean))
        if self._values:
            squares = (out[..., : self._values] - x[..., self.layout.value_inputs]).square_()
            raw += torch.bmm(squares, self._sum_values.expand(tiles, -1, -1))
        if len(self._first_logit):
            logits = out[..., self._values : self.layout.width].clamp(-_LOGIT_BOUND, _LOGIT_BOUND)
            total = torch.bmm(logits.exp(), self._sum_logits.expand(tiles, -1, -1))[..., : codes.shape[2]].log()
            likelihood = total - logits.gather(2, codes + self._first_logit)
            likelihood = torch.where(codes == self._unseen_level, self._unseen_error, likelihood)
            raw += torch.bmm(likelihood, self._spread_categories.expand(tiles, -1, -1))
        return ((raw - self._mean) * self._scale + 1.0).clamp_(0.0, self.normalisation.cap)


def _indicator(groups: Tensor, count: int) -> Tensor:
    """(1, n, padded count): sums columns by group in one matrix product."""
    return torch.nn.functional.one_hot(groups, _padded(count)).to(torch.float32)[None]


def _padded(width: int) -> int:
    return max(-(-width // _LANES), 1) * _LANES


def _padded_layers(network: torch.nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weights (1, in, out) and biases (1, 1, out) for batched products, with zeros up to the padded widths."""
    padded: list[tuple[Tensor, Tensor]] = []
    for i, layer in enumerate(network.layers):  # type: ignore[arg-type]
        rows = layer.in_features if i == 0 else _padded(layer.in_features)
        weight, bias = torch.zeros(1, rows, _padded(layer.out_features)), torch.zeros(1, 1, _padded(layer.out_features))
        weight[0, : layer.in_features, : layer.out_features] = layer.weight.detach().T
        bias[0, 0, : layer.out_features] = layer.bias.detach()
        padded.append((weight, bias))
    return padded


def _tiles(rows: npt.NDArray[Any]) -> Tensor:
    """(n, k) to (T, 256, k), the last tile padded with zeros."""
    n, k = rows.shape
    tiles = max(-(-n // TILE), 1)
    if n == tiles * TILE:
        return torch.from_numpy(rows).view(tiles, TILE, k)
    padded = np.zeros((tiles * TILE, k), rows.dtype)
    padded[:n] = rows
    return torch.from_numpy(padded).view(tiles, TILE, k)


def _rows(tiles: Tensor, n: int) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tiles.reshape(tiles.shape[0] * TILE, *tiles.shape[2:])[:n].numpy()
    return array
