"""A warm start on a new encoder: the champion's weights, adapted so that the network's output stays the same.

A new scaling is folded into the first and the last layer. A category keeps its weights wherever its level has moved,
and a new category begins with those of `other`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worker.core.model.autoencoder import Autoencoder
from worker.core.model.detector import Detector
from worker.core.model.encoder import Encoder
from worker.core.model.kinds import KINDS
from worker.core.model.layout import Block
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary


def rebase(champion: Detector, encoder: Encoder, generator: torch.Generator) -> Autoencoder:
    """The champion's network for rows of `encoder`, a newer fit of the same feature spec."""
    old = champion.encoder
    network = KINDS[champion.kind](encoder.layout, generator)
    state = {name: tensor.clone() for name, tensor in champion.network.state_dict().items()}
    columns, scale, shift = _map_inputs(old, encoder)
    first = state["layers.0.weight"].view(-1, old.layout.window, old.layout.width)
    # Column by column: z_old = scale z_new + shift.
    folded = torch.where(columns >= 0, first[..., columns.clamp_min(0)] * scale, 0.0)
    moved = torch.where(columns >= 0, first[..., columns.clamp_min(0)] * shift, 0.0)
    state["layers.0.bias"] = state["layers.0.bias"] + moved.sum((1, 2))
    state["layers.0.weight"] = folded.reshape(len(folded), -1)
    rows, factor, offset = _map_outputs(old, encoder)
    state["layers.3.weight"] = state["layers.3.weight"][rows] * factor[:, None]
    state["layers.3.bias"] = state["layers.3.bias"][rows] * factor + offset
    network.load_state_dict(state)
    return network


def _rescaling(old: Encoder, new: Encoder, feature: int) -> tuple[float, float]:
    """(a, b) with z_old = a z_new + b for a number; (1, 0) for all other features, which have no scale."""
    before, after = old.transforms[feature], new.transforms[feature]
    if not isinstance(before, Scaling) or not isinstance(after, Scaling):
        return 1.0, 0.0
    return after.spread / before.spread, (after.centre - before.centre) / before.spread


def _map_levels(old: Encoder, new: Encoder, block: Block) -> list[int]:
    """For each level of the new block, the old block's level whose weights it takes."""
    before, after = old.transforms[block.feature], new.transforms[block.feature]
    assert isinstance(before, Vocabulary) and isinstance(after, Vocabulary)
    if after.buckets:
        return list(range(after.levels))
    places = {text: level for level, text in enumerate(before.top)}
    other = len(before.top)
    return [places.get(text, other) for text in after.top] + [other, other + 1, other + 2]


def _map_inputs(old: Encoder, new: Encoder) -> tuple[Tensor, Tensor, Tensor]:
    """For each column of a new record: the old column (-1 for none, int64), its scale and its shift (float32)."""
    columns, scale, shift = [], [], []
    for before, after in zip(old.layout.blocks, new.layout.blocks, strict=True):
        a, b = _rescaling(old, new, after.feature)
        inside = _map_levels(old, new, after) if after.kind == "categorical" else list(range(after.width))
        columns += [before.start + i for i in inside]
        scale += [a] * after.width
        shift += [b] * after.width
        if after.has_mask:
            columns.append(before.start + before.width if before.has_mask else -1)
            scale.append(1.0)
            shift.append(0.0)
    return torch.tensor(columns), torch.tensor(scale), torch.tensor(shift)


def _map_outputs(old: Encoder, new: Encoder) -> tuple[Tensor, Tensor, Tensor]:
    """For each new output: the old output, and the factor and offset that bring it to the new scale."""
    rows = list(range(len(new.layout.value_columns)))
    factor, offset = [], []
    for feature in new.layout.value_features.tolist():
        a, b = _rescaling(old, new, feature)
        factor.append(1.0 / a)
        offset.append(-b / a)
    for before, block in zip(old.layout.categorical, new.layout.categorical, strict=True):
        rows += [old.layout.first_logit(before) + level for level in _map_levels(old, new, block)]
        factor += [1.0] * block.levels
        offset += [0.0] * block.levels
    return torch.tensor(rows), torch.tensor(factor), torch.tensor(offset)
