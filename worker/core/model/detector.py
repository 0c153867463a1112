"""The detector: an encoder and a model, frozen, that score events.

A row's reconstruction error is the weighted geometric mean of three errors in nats per feature: the autoencoder's, the
conditional and the marginal one. Each finds what the others miss: combinations that are bent or broken, values that do
not go together, values far out. A geometric mean needs no common scale, so nothing about it has to be fitted.

Such a mean answers to a deviation that spreads over the row, and drowns one that a single value shows alone. So two
surprises are watched beside it, that of the row's least likely combination of two values and that of its furthest
number. Where one of them is rarer than the error, the error becomes the one that is as rare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.alignment import Alignment
from worker.core.model.autoencoder import Autoencoder
from worker.core.model.combinations import Combinations
from worker.core.model.conditional import Conditional
from worker.core.model.encoder import Encoded, Encoder
from worker.core.model.error_kernel import LEAST, LOGIT_BOUND, fuse, network_parts
from worker.core.model.extremes import Extremes
from worker.core.model.kinds import KINDS
from worker.core.model.marginal import Marginal
from worker.core.model.serving_layers import convert
from worker.core.model.tiles import to_rows, to_tiles

MEMBERS = ("autoencoder", "conditional", "marginal")
EXPONENTS = (0.4, 0.35, 0.25)
SURPRISES = ("combinations", "extremes")
BLAME = (0.05, 1.0, 1.0)
"""The weight of each member in the blame of a feature. The conditional and the marginal error of a feature depend on it
far more than on the others; an outlier disturbs the autoencoder's whole output, so that member only breaks ties.
"""
_CLOSE = 3.0
"""Numbers this many nats closer in than the furthest one take no part in the blame."""
_AUTOENCODER = "autoencoder."
_EXPONENTS = np.array(EXPONENTS)


class Scores(NamedTuple):
    """The scores of n rows, and the arrays that explain them; all arrays are float32.

    `errors` (n,) are positive and finite. `members` (n, 3) are the errors of the `MEMBERS` in that order, and
    `feature_errors` (3, n, F) are theirs by feature, in nats. `surprises` are the `SURPRISES` in nats, two times (n,),
    and `equivalents` the errors that count, three times (n,): that of the members together, and those that are as rare
    as the surprises. `code` (n, code width) is the autoencoder's, `encoded` are the rows, and `residuals` (at least n
    rows, own columns padded) those of the conditional mean.
    """

    errors: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]
    feature_errors: npt.NDArray[np.float32]
    surprises: tuple[npt.NDArray[np.float32], ...]
    equivalents: tuple[npt.NDArray[np.float32], ...]
    code: npt.NDArray[np.float32]
    encoded: Encoded
    residuals: npt.NDArray[np.float32]


class Explanation(NamedTuple):
    """Why n rows have their errors; both arrays are float32.

    `per_feature` (n, F) shares each row's error out among its features. `expected` (n, own columns) is the conditional
    mean in units of x.
    """

    per_feature: npt.NDArray[np.float32]
    expected: npt.NDArray[np.float32]


class Detector:
    """One version of the model with its encoder; immutable."""

    def __init__(self, encoder: Encoder, kind: str, tensors: Mapping[str, Tensor]) -> None:
        """`tensors` are named `autoencoder.*`, `conditional.*`, `marginal.*`, `combinations.*`, `extremes.*` and
        `alignment.*`.

        Raises ValueError for an unknown kind of autoencoder, and for tensors of other names, shapes or values.
        """
        if kind not in KINDS:
            raise ValueError(f"model kind {kind!r}; allowed: {', '.join(KINDS)}")
        self.encoder = encoder
        self.kind = kind
        self.tensors = dict(tensors)
        self.network = self._load_network(kind).eval()
        self.conditional = Conditional(encoder.layout, tensors)
        self.marginal = Marginal(encoder.layout, tensors)
        self.combinations = Combinations(encoder, tensors)
        self.extremes = Extremes(encoder.layout, tensors)
        self._alignments = [Alignment(name, tensors) for name in SURPRISES]
        self._features = encoder.layout.table
        self._own = encoder.layout.own_columns
        self._layers = convert(self.network.dense_layers(), encoder.layout.inputs, len(encoder.layout.value_columns))

    def _load_network(self, kind: str) -> Autoencoder:
        network = KINDS[kind](self.encoder.layout, torch.Generator())
        weights = {
            name.removeprefix(_AUTOENCODER): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(_AUTOENCODER)
        }
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"weights do not fit the network: {error}") from error
        return network

    def errors(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """The errors alone: (n,) float32, positive and finite for any row."""
        return self.score(encoded).errors

    def score(self, encoded: Encoded) -> Scores:
        """Score n rows."""
        n, x = len(encoded.x), to_tiles(encoded.x)
        values, odds, code = self._reconstruct(x)
        residuals = self.conditional.residuals(x)
        feature_errors = np.empty((len(MEMBERS), n, len(self._features)), np.float32)
        network_parts(encoded.x, encoded.codes, values, odds, self._features, feature_errors[0])
        feature_errors[1] = self.conditional.feature_errors(residuals, encoded.codes)
        feature_errors[2] = self.marginal.feature_errors(encoded)
        members, mean = np.empty((n, len(MEMBERS)), np.float32), np.empty(n, np.float32)
        fuse(feature_errors, encoded.missing, self._features, _EXPONENTS, members, mean)
        surprises = (self.combinations.surprises(encoded), self.extremes.surprises(encoded))
        equivalents = (mean, *(align.errors(each) for align, each in zip(self._alignments, surprises, strict=True)))
        errors = np.maximum(np.maximum(*equivalents[:2]), equivalents[2])
        code = code[:n, : self.network.code_width]
        return Scores(errors, members, feature_errors, surprises, equivalents, code, encoded, residuals)

    def explain(self, scores: Scores, rows: npt.NDArray[np.intp]) -> Explanation:
        """Explain the errors of some of the scored rows: `rows` (m,) are their places in `scores`.

        The mean error blames the features by their shares of the members' errors, a surprise those that it comes from;
        they are mixed by the squares of the errors that count.
        """
        feature_errors, encoded = scores.feature_errors[:, rows], scores.encoded.take(rows)
        parts = feature_errors / np.maximum(feature_errors.sum(2, keepdims=True), LEAST * feature_errors.shape[2])
        behind = scores.surprises[1][rows, None] - self.extremes.feature_surprises(encoded)
        furthest = np.where(behind <= _CLOSE, np.exp(-behind), 0.0)
        blames = np.stack((np.tensordot(BLAME, parts, 1), self.combinations.blame(encoded), furthest))
        blames /= np.maximum(blames.sum(2, keepdims=True), 1e-9)
        weights = np.stack([(errors[rows] / scores.errors[rows]) ** 2 for errors in scores.equivalents], 1)
        shares = np.einsum("mw,wmf->mf", weights / weights.sum(1, keepdims=True), blames)
        shares /= np.maximum(shares.sum(1, keepdims=True), 1e-9)
        expected = encoded.x[:, self._own] - scores.residuals[rows, : len(self._own)]
        return Explanation(shares.astype(np.float32) * scores.errors[rows, None], expected)

    def expected(self, feature: int, rows: npt.NDArray[np.float32]) -> list[Any]:
        """The values that the model expected of a feature, from (n, own columns) rows of `Explanation.expected`."""
        return self.encoder.expected(feature, rows[:, self.encoder.layout.blocks[feature].own_slice])

    @torch.inference_mode()
    def _reconstruct(
        self, x: Tensor
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """x (T, 256, inputs) to values, exponentials of logits, and code, each of 256 T rows with padded columns."""
        *hidden, values, logits = self._layers
        h, code = x, x
        for layer in hidden:
            h = layer(h)
            code = h * layer.gain + layer.shift if layer.is_code else code
        odds = logits(h).clamp_(-LOGIT_BOUND, LOGIT_BOUND).exp_()
        return to_rows(values(h)), to_rows(odds), to_rows(code)
