"""The detector that serves: encoder and model, frozen. Reconstruct and score, vectorised.

A row's reconstruction error is a weighted geometric mean of three errors in nats per feature: the autoencoder's, the
conditional and the marginal one. Each finds what the others miss (combinations bent or
broken, values that do not go together, values far out), and since a geometric mean needs no common scale, nothing about
it has to be fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.autoencoder import Autoencoder
from worker.core.model.conditional import Conditional
from worker.core.model.encoder import Encoded, Encoder
from worker.core.model.error_kernel import LEAST, LOGIT_BOUND, fuse, network_parts
from worker.core.model.kinds import KINDS
from worker.core.model.marginal import Marginal
from worker.core.model.serving_layers import stacked
from worker.core.model.tiles import flat, tiled

MEMBERS = ("autoencoder", "conditional", "marginal")
EXPONENTS = (2 / 7, 3 / 7, 2 / 7)
BLAME = (0.05, 1.0, 1.0)
"""How much each member's parts say of which feature was off. The conditional and the marginal error judge each feature
apart; a wild value disturbs the autoencoder's whole output, so its parts only decide where the others are silent.
"""
_AUTOENCODER = "autoencoder."
_EXPONENTS = np.array(EXPONENTS)


class Scores(NamedTuple):
    """Scores of n rows, and what they were computed from.

    `errors` (n,) float32, positive and finite. `members` (n, 3) float32, the errors of the `MEMBERS` in that order, and
    `feature_errors` (3, n, F) float32, theirs by feature, in nats. `code` (n, width of the bottleneck); `x` (n, inputs)
    as encoded; `residuals` of the conditional mean (at least n rows, own columns padded).
    """

    errors: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]
    feature_errors: npt.NDArray[np.float32]
    code: npt.NDArray[np.float32]
    x: npt.NDArray[np.float32]
    residuals: npt.NDArray[np.float32]


class Explanation(NamedTuple):
    """Of n rows: `per_feature` (n, F) parts of the error, which sum to it; `expected` (n, columns of all features) the
    conditional mean in units of x.
    """

    per_feature: npt.NDArray[np.float32]
    expected: npt.NDArray[np.float32]


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
        self.network = self._loaded(kind).eval()
        self.conditional = Conditional(encoder.layout, tensors)
        self.marginal = Marginal(encoder.layout, tensors)
        self._features = encoder.layout.table
        self._own = encoder.layout.own_columns
        self._layers = stacked(self.network.serving(), encoder.layout.inputs, len(encoder.layout.value_columns))

    def _loaded(self, kind: str) -> Autoencoder:
        network = KINDS[kind](self.encoder.layout)
        weights = {name.removeprefix(_AUTOENCODER): tensor for name, tensor in self.tensors.items()
                   if name.startswith(_AUTOENCODER)}  # fmt: skip
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"weights do not fit the network: {error}") from error
        return network

    def errors(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n,) float32, positive and finite for any row."""
        return self.score(encoded).errors

    def score(self, encoded: Encoded) -> Scores:
        """Reconstruct and score n rows."""
        n, x = len(encoded.x), tiled(encoded.x)
        values, odds, code = self._reconstruct(x)
        residuals = self.conditional.residuals(x)
        feature_errors = np.empty((len(MEMBERS), n, len(self._features)), np.float32)
        network_parts(encoded.x, encoded.codes, values, odds, self._features, feature_errors[0])
        feature_errors[1] = self.conditional.feature_errors(residuals, encoded.codes)
        feature_errors[2] = self.marginal.feature_errors(encoded)
        members, errors = np.empty((n, len(MEMBERS)), np.float32), np.empty(n, np.float32)
        fuse(feature_errors, encoded.missing, self._features, _EXPONENTS, members, errors)
        return Scores(errors, members, feature_errors, code[:n, : self.network.code_width], encoded.x, residuals)

    def explain(self, scores: Scores, rows: npt.NDArray[np.intp]) -> Explanation:
        """Why these of the rows that were judged have their errors."""
        feature_errors = scores.feature_errors[:, rows]
        each = feature_errors / np.maximum(feature_errors.sum(2, keepdims=True), LEAST * feature_errors.shape[2])
        shares = np.tensordot(BLAME, each, 1)
        shares /= np.maximum(shares.sum(1, keepdims=True), 1e-9)
        expected = scores.x[np.ix_(rows, self._own)] - scores.residuals[rows, : len(self._own)]
        return Explanation(shares.astype(np.float32) * scores.errors[rows, None], expected)

    def expected(self, feature: int, rows: npt.NDArray[np.float32]) -> list[Any]:
        """What the model expected of a feature, from n rows of `Explanation.expected`."""
        return self.encoder.expected(feature, rows[:, self.encoder.layout.blocks[feature].own_slice])

    @torch.inference_mode()
    def _reconstruct(
        self, x: Tensor
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """From x (T, 256, inputs) the values, the exponentials of the logits, and the code; 256 T rows, padded."""
        *hidden, values, logits = self._layers
        h, code = x, x
        for layer in hidden:
            h = layer(h)
            code = h * layer.gain + layer.shift if layer.is_code else code
        return flat(values(h)), flat(logits(h).clamp_(-LOGIT_BOUND, LOGIT_BOUND).exp_()), flat(code)
