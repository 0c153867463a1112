"""A network's layers in the form that serves: on tiles, padded, and with tanh replaced by a cheaper equivalent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worker.core.model.autoencoder import Activation, DenseLayer
from worker.core.model.tiles import TILE, round_up


@dataclass(frozen=True, slots=True)
class ServingLayer:
    """One layer; its output times `gain` plus `shift` is the output of the network's own layer.

    `weight` (1, padded in, padded out), `bias` (1, 1, padded out), both float32.
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


def convert(network: Sequence[DenseLayer], inputs: int, values: int) -> list[ServingLayer]:
    """Convert the layers of a network with `inputs` inputs.

    The last layer becomes two: one for the first `values` outputs, one for the logits after them. Since tanh(x) is
    2 sigmoid(2x) - 1, and torch's sigmoid takes a third of tanh's time, sigmoid is computed instead: the inner factor
    goes into the layer's own weights, the outer one and the shift into those of the next layer.
    """
    *hidden, last = network
    layers: list[ServingLayer] = []
    width, gain, shift = inputs, 1.0, 0.0
    for dense in hidden:
        layers.append(_convert_layer(dense, width, gain, shift))
        width, gain, shift = layers[-1].weight.shape[2], layers[-1].gain, layers[-1].shift
    for outputs in (slice(values), slice(values, None)):
        half = replace(last, weight=last.weight[outputs], bias=last.bias[outputs])
        layers.append(_convert_layer(half, width, gain, shift))
    return layers


def _convert_layer(dense: DenseLayer, width: int, gain: float, shift: float) -> ServingLayer:
    """`width` padded inputs, which times `gain` plus `shift` are the inputs of the network's own layer."""
    weight, bias = dense.weight * gain, dense.bias + dense.weight.sum(1) * shift
    if dense.activation is torch.tanh:
        return ServingLayer(*_pad(2.0 * weight, 2.0 * bias, width), torch.sigmoid_, dense.is_code, 2.0, -1.0)
    return ServingLayer(*_pad(weight, bias, width), dense.activation, dense.is_code, 1.0, 0.0)


def _pad(weight: Tensor, bias: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """A weight (out, in) and a bias (out,) as (1, width, padded out) and (1, 1, padded out), with zeros added."""
    outputs = round_up(weight.shape[0])
    full, base = torch.zeros(1, width, outputs), torch.zeros(1, 1, outputs)
    full[0, : weight.shape[1], : weight.shape[0]] = weight.T
    base[0, 0, : len(bias)] = bias
    return full, base
