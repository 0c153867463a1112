"""Autoencoders over mixed rows: one network and one loss; `worker.core.model.kinds` has a small class per kind.

The output describes the event itself: one column per number, two per time, and one logit per level of each categorical.
With a window, the records before the event are inputs only.
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
class DenseLayer:
    """A layer's `weight` (out, in) and `bias` (out,), float32, the activation after them, and whether its output is the
    code.
    """

    weight: Tensor
    bias: Tensor
    activation: Activation | None
    is_code: bool


class Autoencoder(nn.Module):
    """Layers: input, hidden, code, hidden, output. Hidden layers have 16 to 64 units, the code has 2 to 16."""

    kind = "undefined"
    activation: Activation | None = staticmethod(torch.tanh)
    code_activation: Activation | None = staticmethod(torch.tanh)

    def __init__(self, layout: Layout, generator: torch.Generator | None = None) -> None:
        super().__init__()
        hidden = min(HIDDEN_MOST, max(16, 2 * layout.features))
        self.code_width = self.width_of_code(layout.features, hidden)
        sizes = (layout.inputs, hidden, self.code_width, hidden, layout.outputs)
        self.layers = nn.ModuleList(make_linear(a, b, generator) for a, b in pairwise(sizes))

    @staticmethod
    def width_of_code(features: int, hidden: int) -> int:
        """Units of the code, for this many features and hidden units."""
        return min(CODE_MOST, max(2, -(-features // 2)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) float32 to (n, outputs), deterministically: the pass that serves."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """(n, inputs) to the code (n, code_width)."""
        return _activate(self.code_activation, self.layers[1](_activate(self.activation, self.layers[0](x))))

    def decode(self, code: Tensor) -> Tensor:
        """(n, code_width) to the output (n, outputs)."""
        out: Tensor = self.layers[3](_activate(self.activation, self.layers[2](code)))
        return out

    def corrupt(self, x: Tensor, layout: Layout, generator: torch.Generator) -> Tensor:
        """The (n, inputs) rows that the network is shown in training instead of the clean ones `x`."""
        return x

    def training_pass(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The forward pass in training: the output (n, outputs), and the kind's own term of the loss, (n,) in nats."""
        return self(x), x.new_zeros(len(x))

    def dense_layers(self) -> list[DenseLayer]:
        """The layers in the order in which `forward` applies them."""
        activations = (self.activation, self.code_activation, self.activation, None)
        dense = []
        for i, (layer, activation) in enumerate(zip(self.layers, activations, strict=True)):
            assert isinstance(layer, nn.Linear)
            dense.append(DenseLayer(layer.weight.detach(), layer.bias.detach(), activation, i == 1))
        return dense


def make_linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with Xavier weights that are drawn from this generator alone."""
    # skip_init leaves out torch's own initialisation, which would draw from its global generator.
    layer: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def _activate(activation: Activation | None, x: Tensor) -> Tensor:
    return x if activation is None else activation(x)


def feature_errors(out: Tensor, x: Tensor, codes: Tensor, layout: Layout) -> Tensor:
    """The reconstruction error of each feature: (n, F) nats, float32.

    It is half the squared error of a number or time, and the negative log likelihood of a categorical's level. Each
    feature counts once, however many columns it has. `out` (n, outputs) float32 is the network's output, `x` (n,
    inputs) float32 the clean rows, `codes` (n, C) int64 the levels.
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
