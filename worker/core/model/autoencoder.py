"""Autoencoders over mixed rows: one shape of network and one loss; `worker.core.model.kinds` has a thin class per kind.

The output holds one column per numeric input (two per cyclic) and one logit per level of each categorical, of the
event itself: with a window, the records before it are inputs only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from worker.core.model.layout import Layout

CODE_MOST = 16
HIDDEN_MOST = 64
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Served:
    """One layer as it serves: `weight` (out, in), `bias` (out,), what is applied after them, and whether the result is
    the code.
    """

    weight: Tensor
    bias: Tensor
    activation: Activation | None
    is_code: bool


class Autoencoder(nn.Module):
    """input, hidden, code, hidden, output. Hidden layers have 16 to 64 units, the code 2 to 16."""

    kind = "undefined"
    activation: Activation | None = staticmethod(torch.tanh)
    code_activation: Activation | None = staticmethod(torch.tanh)

    def __init__(self, layout: Layout, generator: torch.Generator | None = None) -> None:
        super().__init__()
        hidden = min(HIDDEN_MOST, max(16, 2 * layout.features))
        self.code_width = self.width_of_code(layout.features, hidden)
        sizes = (layout.inputs, hidden, self.code_width, hidden, layout.outputs)
        self.layers = nn.ModuleList(dense(a, b, generator) for a, b in pairwise(sizes))

    @staticmethod
    def width_of_code(features: int, hidden: int) -> int:
        return min(CODE_MOST, max(2, -(-features // 2)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) to (n, outputs), without chance: what serves."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """(n, inputs) to the code (n, code_width)."""
        return _applied(self.code_activation, self.layers[1](_applied(self.activation, self.layers[0](x))))

    def decode(self, code: Tensor) -> Tensor:
        out: Tensor = self.layers[3](_applied(self.activation, self.layers[2](code)))
        return out

    def corrupt(self, x: Tensor, layout: Layout, generator: torch.Generator) -> Tensor:
        """What training shows the network in place of `x` (n, inputs)."""
        return x

    def trained(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training's forward pass: the output (n, outputs), and what the kind's objective adds to the loss, (n,) in
        nats.
        """
        return self(x), x.new_zeros(len(x))

    def serving(self) -> list[Served]:
        """The layers in order, as `forward` applies them."""
        after = (self.activation, self.code_activation, self.activation, None)
        served = []
        for i, (layer, activation) in enumerate(zip(self.layers, after, strict=True)):
            assert isinstance(layer, nn.Linear)
            served.append(Served(layer.weight.detach(), layer.bias.detach(), activation, i == 1))
        return served


def dense(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A layer initialised from this generator alone."""
    # Without torch's own initialisation, which would draw from its global generator.
    layer: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def _applied(activation: Activation | None, x: Tensor) -> Tensor:
    return x if activation is None else activation(x)


def feature_errors(out: Tensor, x: Tensor, codes: Tensor, layout: Layout) -> Tensor:
    """(n, F) error per feature in nats: half the squared error of numbers and cyclic pairs, -log likelihood of
    categoricals.

    `out` (n, outputs), `x` (n, inputs) the clean rows, `codes` (n, C) int64. Weighted by feature, not by column.
    """
    errors = out.new_zeros(len(out), layout.features)
    values = len(layout.value_columns)
    if values:
        squares = 0.5 * (out[:, :values] - x[:, torch.from_numpy(layout.value_columns)]) ** 2
        errors = errors.index_add(1, torch.from_numpy(layout.value_features), squares)
    for block in layout.categorical:
        start = layout.first_logit(block)
        logits = out[:, start : start + block.levels]
        nll = nn.functional.cross_entropy(logits, codes[:, block.code], reduction="none")
        errors = errors.index_add(1, torch.tensor([block.feature]), nll[:, None])
    return errors
