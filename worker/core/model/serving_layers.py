"""A network's layers as they serve: on tiles, padded, and with what is cheaper in place of what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worker.core.model.autoencoder import Activation, Served
from worker.core.model.tiles import TILE, padded


@dataclass(frozen=True, slots=True)
class Layer:
    """What it gives times `gain` plus `shift` is what the network's own layer would give.

    `weight` (1, padded in, padded out), `bias` (1, 1, padded out).
    """

    weight: Tensor
    bias: Tensor
    activation: Activation | None
    is_code: bool
    gain: float
    shift: float

    def __call__(self, x: Tensor) -> Tensor:
        """(T, 256, padded in) to (T, 256, padded out)."""
        tiles = len(x)
        out = torch.baddbmm(self.bias.expand(tiles, TILE, -1), x, self.weight.expand(tiles, -1, -1))
        return out if self.activation is None else self.activation(out)


def stacked(network: Sequence[Served], inputs: int, values: int) -> list[Layer]:
    """The layers of a network with so many inputs; the last in two, for the values and for the logits after them.

    tanh(x) is 2 sigmoid(2x) - 1, and torch's sigmoid takes a third of the time: both factors go into the weights.
    """
    *hidden, last = network
    layers: list[Layer] = []
    rows, gain, shift = inputs, 1.0, 0.0
    for served in hidden:
        layers.append(_layer(served, rows, gain, shift))
        rows, gain, shift = layers[-1].weight.shape[2], layers[-1].gain, layers[-1].shift
    for side in (slice(values), slice(values, None)):
        part = replace(last, weight=last.weight[side], bias=last.bias[side])
        layers.append(_layer(part, rows, gain, shift))
    return layers


def _layer(served: Served, rows: int, gain: float, shift: float) -> Layer:
    """On `rows` padded inputs, which times `gain` plus `shift` are those of the network's own layer."""
    weight, bias = served.weight * gain, served.bias + served.weight.sum(1) * shift
    if served.activation is torch.tanh:
        return Layer(*_padded(2.0 * weight, 2.0 * bias, rows), torch.sigmoid_, served.is_code, 2.0, -1.0)
    return Layer(*_padded(weight, bias, rows), served.activation, served.is_code, 1.0, 0.0)


def _padded(weight: Tensor, bias: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """A layer's weight (out, in) and bias (out,) as (1, rows, padded out) and (1, 1, padded out), zeros beyond."""
    wide = padded(weight.shape[0])
    full, base = torch.zeros(1, rows, wide), torch.zeros(1, 1, wide)
    full[0, : weight.shape[1], : weight.shape[0]] = weight.T
    base[0, 0, : len(bias)] = bias
    return full, base
