"""Autoencoders over mixed rows: one network shape, one loss, and a thin class per kind.

The output holds one column per numeric input (two per cyclic) and one logit per level of each categorical; what a
kind adds is how training corrupts the input, and what else its loss counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from worker.core.encode import Block, Encoder

CODE_MOST = 16
HIDDEN_MOST = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """Where targets lie: `value_inputs` (M,) columns of x that are reconstructed by value, M first in the output; after
    them the logits of each categorical in turn. `value_feature` (M,) and `logit_feature` (K,) name their features.
    """

    value_inputs: Tensor
    value_feature: Tensor
    logit_feature: Tensor
    categorical: tuple[Block, ...]
    features: int
    width: int

    @staticmethod
    def of(encoder: Encoder) -> Layout:
        values = [(block.start + i, block.feature) for block in encoder.blocks if block.kind != "categorical"
                  for i in range(block.width)]  # fmt: skip
        categorical = tuple(block for block in encoder.blocks if block.kind == "categorical")
        logits = [block.feature for block in categorical for _ in range(block.levels)]
        return Layout(
            torch.tensor([start for start, _ in values], dtype=torch.long),
            torch.tensor([feature for _, feature in values], dtype=torch.long),
            torch.tensor(logits, dtype=torch.long),
            categorical,
            len(encoder.blocks),
            len(values) + len(logits),
        )

    def first_logits(self) -> list[int]:
        """Where each categorical's logits begin in the output."""
        starts, at = [], len(self.value_inputs)
        for block in self.categorical:
            starts.append(at)
            at += block.levels
        return starts


class Autoencoder(nn.Module):
    """tanh network: input, hidden, code, hidden, output (linear)."""

    kind = "undefined"

    def __init__(self, inputs: int, outputs: int, features: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        hidden = min(HIDDEN_MOST, max(16, 2 * features))
        code = min(CODE_MOST, max(2, features // 2))
        sizes = (inputs, hidden, code, hidden, outputs)
        # Without torch's own initialisation, which would draw from its global generator.
        self.layers = nn.ModuleList(skip_init(nn.Linear, a, b) for a, b in pairwise(sizes))  # type: ignore[no-untyped-call]
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) to (n, outputs)."""
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        out: Tensor = self.layers[-1](x)
        return out

    def corrupt(self, x: Tensor, encoder: Encoder, generator: torch.Generator) -> Tensor:
        """What training shows the network in place of `x` (n, inputs)."""
        return x


class DenoisingAutoencoder(Autoencoder):
    """Reconstructs the clean row from a corrupted one: Gaussian noise of sd 1 on numbers, half of the features
    swapped with another row's.

    Source: Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010, section 3; swap noise keeps each marginal.
    """

    kind = "denoising"
    noise = 1.0
    swap = 0.5

    def corrupt(self, x: Tensor, encoder: Encoder, generator: torch.Generator) -> Tensor:
        noisy = x.clone()
        values = [block.start for block in encoder.blocks if block.kind == "numeric"]
        noisy[:, values] += self.noise * torch.randn(len(x), len(values), generator=generator)
        swapped = torch.rand(len(x), len(encoder.blocks), generator=generator) < self.swap
        partners = torch.randint(len(x), (len(x),), generator=generator)
        widths = torch.tensor([block.width + block.has_mask for block in encoder.blocks])
        return torch.where(swapped.repeat_interleave(widths, dim=1), x[partners], noisy)


KINDS: dict[str, type[Autoencoder]] = {DenoisingAutoencoder.kind: DenoisingAutoencoder}
"""By `model.kind`."""


def feature_errors(out: Tensor, x: Tensor, codes: Tensor, layout: Layout) -> Tensor:
    """(n, F) raw error per feature: squared error of numbers and cyclic pairs, -log likelihood of categoricals.

    `out` (n, outputs), `x` (n, inputs) the clean rows, `codes` (n, C) int64. Weighted by feature, not by column.
    """
    errors = out.new_zeros(len(out), layout.features)
    values = len(layout.value_inputs)
    if values:
        squares = (out[:, :values] - x[:, layout.value_inputs]) ** 2
        errors = errors.index_add(1, layout.value_feature, squares)
    for block, start in zip(layout.categorical, layout.first_logits(), strict=True):
        logits = out[:, start : start + block.levels]
        nll = nn.functional.cross_entropy(logits, codes[:, block.code], reduction="none")
        errors = errors.index_add(1, torch.tensor([block.feature]), nll[:, None])
    return errors
