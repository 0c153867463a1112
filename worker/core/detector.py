"""The detector that serves: encoder and model, frozen. Reconstruct and score, vectorised.

A row's reconstruction error is a weighted geometric mean of three errors in nats per feature: the autoencoder's, the
conditional and the marginal one. Each finds what the others miss (combinations bent or
broken, values that do not go together, values far out), and since a geometric mean needs no common scale, nothing about
it has to be fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.autoencoder import PART_MOST, Autoencoder, Layout
from worker.core.columns import Columns
from worker.core.conditional import Conditional
from worker.core.encode import Encoded, Encoder
from worker.core.kinds import KINDS
from worker.core.marginal import Marginal
from worker.core.tiles import TILE, indicator, linear, padded, tiled, untiled

MEMBERS = ("autoencoder", "conditional", "marginal")
EXPONENTS = (2 / 7, 3 / 7, 2 / 7)
BLAME = (0.05, 1.0, 1.0)
"""How much each member's parts say of which feature was off. The conditional and the marginal error judge each feature
apart; a wild value disturbs the autoencoder's whole output, so its parts only decide where the others are silent.
"""
_LEAST = 1e-3
"""Nats per feature; below it, a member says nothing more about a row's being normal."""
_LOGIT_BOUND = 30.0
_AUTOENCODER = "autoencoder."


@dataclass(frozen=True, slots=True)
class Scores:
    """Of n rows: `error` (n,) float32 > 0; `per_feature` (n, F) its parts, which sum to it; `expected` (n, columns of
    all features) the conditional mean in units of x; `code` (n, width of the bottleneck).
    """

    error: npt.NDArray[np.float32]
    per_feature: npt.NDArray[np.float32]
    expected: npt.NDArray[np.float32]
    code: npt.NDArray[np.float32]


class Detector:
    """One immutable version of the model on one encoder."""

    def __init__(self, encoder: Encoder, kind: str, tensors: Mapping[str, Tensor]) -> None:
        """`tensors` by name: `autoencoder.*`, `conditional.*`, `marginal.*`.

        Raises ValueError for an unknown kind, and for tensors of other names or shapes.
        """
        if kind not in KINDS:
            raise ValueError(f"model kind {kind!r}; allowed: {', '.join(KINDS)}")
        self.encoder = encoder
        self.kind = kind
        self.tensors = dict(tensors)
        self.layout = Layout.of(encoder)
        self.network = self._loaded(kind).eval()
        self.conditional = Conditional(encoder, tensors)
        self.marginal = Marginal(encoder, tensors)
        self._own_starts = list(accumulate((block.width for block in encoder.blocks), initial=0))
        self._prepare()

    def _loaded(self, kind: str) -> Autoencoder:
        network = KINDS[kind](self.encoder.inputs, self.layout.width, self.layout.features)
        weights = {name.removeprefix(_AUTOENCODER): tensor for name, tensor in self.tensors.items()
                   if name.startswith(_AUTOENCODER)}  # fmt: skip
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"weights do not fit the network: {error}") from error
        return network

    def _prepare(self) -> None:
        layout, features = self.layout, self.layout.features
        self._layers, rows = [], self.encoder.inputs
        for served in self.network.serving():
            weight, bias = linear(served.weight, served.bias, rows)
            self._layers.append((weight, bias, served.activation, served.is_code))
            rows = weight.shape[2]
        self._values = len(layout.value_inputs)
        self._sum_values = indicator(layout.value_feature, features)
        categories = [block.feature for block in layout.categorical]
        place = {feature: i for i, feature in enumerate(categories)}
        groups = torch.tensor([place[int(feature)] for feature in layout.logit_feature], dtype=torch.long)
        self._sum_logits = indicator(groups, len(categories))
        self._spread_categories = indicator(torch.tensor(categories, dtype=torch.long), features)
        self._first_logit = torch.tensor([at - self._values for at in layout.first_logits()], dtype=torch.long)
        self._unseen_level = torch.tensor([block.unseen for block in layout.categorical], dtype=torch.long)
        # An unseen level is as unlikely as one seen once in a thousand rows, shared among the levels.
        self._unseen_error = torch.log(1_000.0 * torch.tensor([float(b.levels) for b in layout.categorical] or [1.0]))
        self._valued = np.isin(np.arange(features), layout.value_feature.numpy())
        self._mean = torch.zeros(1, padded(features), padded(1))
        self._mean[:, :features] = 1.0 / features

    def errors(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n,) float32, positive and finite for any row."""
        return self.member_errors(encoded)[0]

    def member_errors(self, encoded: Encoded) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """What `errors` gives, (n,), and the three errors behind it, (n, 3), in the order of `MEMBERS`."""
        members, n = self._members(encoded)[0], len(encoded.x)
        return untiled(_fused(members), n), untiled(torch.stack(members, dim=-1), n)

    def codes(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n, width of the bottleneck) float32."""
        with torch.inference_mode():
            return untiled(self._reconstruct(tiled(encoded.x))[1], len(encoded.x))[:, : self.network.code_width]

    def explain(self, columns: Columns) -> Scores:
        """Everything about a few rows; `error` has the bits that `errors` gave them."""
        encoded = self.encoder.transform(columns)
        members, parts, residuals, code = self._members(encoded)
        n, features = len(encoded.x), self.layout.features
        error = untiled(_fused(members), n)
        shares = sum(
            blame * part / part.sum(-1, keepdim=True).clamp_min(_LEAST * features)
            for blame, part in zip(BLAME, parts, strict=True)
        )
        assert isinstance(shares, Tensor)
        shares = shares / shares.sum(-1, keepdim=True).clamp_min(1e-9)
        own = [block.start + i for block in self.encoder.blocks for i in range(block.width)]
        expected = encoded.x[:, own] - untiled(residuals, n)[:, : len(own)]
        per_feature = untiled(shares, n)[:, :features] * error[:, None]
        return Scores(error, per_feature, expected, untiled(code, n)[:, : self.network.code_width])

    def expected(self, feature: int, row: npt.NDArray[np.float32]) -> Any:
        """What the model expected of a feature, from one row of `Scores.expected`."""
        start = self._own_starts[feature]
        return self.encoder.expected(feature, row[start : start + self.encoder.blocks[feature].width])

    @torch.inference_mode()
    def _members(self, encoded: Encoded) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """The three errors (T, 256) each, their parts (T, 256, padded F), the residuals, and the code."""
        x, codes = tiled(encoded.x), tiled(encoded.codes)
        out, code = self._reconstruct(x)
        residuals = self.conditional.residuals(x)
        parts = [self._parts(x, codes, out), self.conditional.parts(residuals, codes)]
        if encoded.missing.any():
            # Nothing to compare a missing number with; how unusual it is that it is missing, the marginal says.
            absent = tiled(encoded.missing & self._valued)
            absent = torch.nn.functional.pad(absent, (0, parts[0].shape[2] - absent.shape[2]))
            parts = [part.masked_fill(absent, 0.0) for part in parts]
        wide = padded(self.layout.features)
        marginal = torch.nn.functional.pad(tiled(self.marginal.parts(encoded)), (0, wide - self.layout.features))
        parts.append(marginal)
        members = [torch.bmm(part, self._mean.expand(len(x), -1, -1))[..., 0].clamp_min(_LEAST) for part in parts]
        return members, parts, residuals, code

    def _reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tiles, h, code = len(x), x, x
        for weight, bias, activation, is_code in self._layers:
            h = torch.baddbmm(bias.expand(tiles, TILE, -1), h, weight.expand(tiles, -1, -1))
            h = h if activation is None else activation(h)
            code = h if is_code else code
        return h, code

    def _parts(self, x: Tensor, codes: Tensor, out: Tensor) -> Tensor:
        """(T, 256, padded F) the autoencoder's nats per feature."""
        tiles = len(x)
        parts = torch.zeros(tiles, TILE, padded(self.layout.features))
        if self._values:
            squares = (out[..., : self._values] - x[..., self.layout.value_inputs]).square_().mul_(0.5)
            parts += torch.bmm(squares, self._sum_values.expand(tiles, -1, -1))
        if len(self._first_logit):
            logits = out[..., self._values : self.layout.width].clamp(-_LOGIT_BOUND, _LOGIT_BOUND)
            total = torch.bmm(logits.exp(), self._sum_logits.expand(tiles, -1, -1))[..., : codes.shape[2]].log()
            likelihood = total - logits.gather(2, codes + self._first_logit)
            likelihood = torch.where(codes == self._unseen_level, self._unseen_error, likelihood)
            parts += torch.bmm(likelihood, self._spread_categories.expand(tiles, -1, -1))
        return parts.clamp_(0.0, PART_MOST)


def _fused(members: list[Tensor]) -> Tensor:
    """(T, 256): the weighted geometric mean of three (T, 256)."""
    return sum((exponent * member.log() for exponent, member in zip(EXPONENTS, members, strict=True)),
               torch.zeros(())).exp_()  # fmt: skip
