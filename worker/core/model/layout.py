"""The layout of an encoded row: the one description of where each feature lies, in a model's input and output alike.

A record is encoded feature by feature: the feature's value columns, then its mask column if it has one. A row holds the
columns of `window` records, the newest first. The value columns of the newest record, without masks, are the row's
*own* columns: they are what the models reconstruct or predict, and so what an error is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from worker.core.events.spec import FeatureSpec
from worker.core.model.error_kernel import CODE, OUT, OWN, START, UNSEEN, WIDTH
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary

Transform = Scaling | Vocabulary | None
"""How one feature is encoded: a number is scaled, a category or boolean has levels, a time has a fixed encoding."""


@dataclass(frozen=True, slots=True)
class Block:
    """The columns of one feature.

    `start` and `width` are the value columns in the input; with `has_mask`, the column after them marks a missing
    value. `own` is the place of the first of them among the row's own columns, and `out` their first place in the
    reconstruction: among the logits for a categorical, else among the values. A categorical has `levels` levels (0
    otherwise), its code stands in column `code` of `Encoded.codes` (-1 otherwise), and `unseen` is the level that
    training never shows (-1 for none).
    """

    feature: int
    kind: Literal["numeric", "categorical", "cyclic"]
    start: int
    width: int
    has_mask: bool
    own: int
    out: int
    levels: int = 0
    code: int = -1
    unseen: int = -1

    @property
    def own_slice(self) -> slice:
        """The feature's part of the row's own columns."""
        return slice(self.own, self.own + self.width)


@dataclass(frozen=True)
class Layout:
    """One block per column of the spec, in its order. All index arrays are int64."""

    blocks: tuple[Block, ...]
    window: int

    @property
    def features(self) -> int:
        return len(self.blocks)

    @cached_property
    def width(self) -> int:
        """Columns of one record, masks included."""
        return sum(block.width + block.has_mask for block in self.blocks)

    @property
    def inputs(self) -> int:
        """Columns of a row: those of all records in its window."""
        return self.width * self.window

    @property
    def outputs(self) -> int:
        """Columns of a reconstruction: the values of numbers and times, then the logits of each categorical."""
        return len(self.own_columns)

    @cached_property
    def numeric_features(self) -> npt.NDArray[np.int64]:
        """(K,): the numeric features."""
        return np.array([block.feature for block in self.blocks if block.kind == "numeric"], np.int64)

    @cached_property
    def numeric_starts(self) -> npt.NDArray[np.int64]:
        """(K,): the one column of each numeric feature."""
        return np.array([block.start for block in self.blocks if block.kind == "numeric"], np.int64)

    @cached_property
    def categorical(self) -> tuple[Block, ...]:
        """In the order of their codes."""
        return tuple(block for block in self.blocks if block.kind == "categorical")

    @cached_property
    def own_columns(self) -> npt.NDArray[np.int64]:
        """(outputs,): the row's own columns, feature by feature, as columns of the input."""
        return _columns(self.blocks)

    @cached_property
    def value_columns(self) -> npt.NDArray[np.int64]:
        """(V,): the columns of the input that are reconstructed by value, in the order of the output."""
        return _columns(block for block in self.blocks if block.kind != "categorical")

    @cached_property
    def value_features(self) -> npt.NDArray[np.int64]:
        """(V,): the feature of each of `value_columns`."""
        values = [block for block in self.blocks if block.kind != "categorical"]
        return np.repeat([block.feature for block in values], [block.width for block in values]).astype(np.int64)

    def first_logit(self, block: Block) -> int:
        """The column of the output where a categorical's logits begin."""
        return len(self.value_columns) + block.out

    def lagged(self, columns: npt.NDArray[np.int64], records: int) -> npt.NDArray[np.int64]:
        """These columns of one record, for the newest `records` of the window: (records * len(columns),)."""
        return (np.arange(records)[:, None] * self.width + columns).ravel()

    @cached_property
    def table(self) -> npt.NDArray[np.int64]:
        """(F, 6): the blocks as the compiled functions take them; `error_kernel` names the columns."""
        table = np.empty((self.features, 6), np.int64)
        for block, row in zip(self.blocks, table, strict=True):
            row[START], row[WIDTH], row[CODE], row[UNSEEN] = block.start, block.width, block.code, block.unseen
            row[OWN], row[OUT] = block.own, block.out
        return table


def layout_of(spec: FeatureSpec, transforms: Sequence[Transform], masked: Sequence[bool]) -> Layout:
    """The layout of a spec whose features are encoded by `transforms`; `masked`: values were missing in training."""
    blocks: list[Block] = []
    start = own = values = logits = 0
    for i, (feature, transform, mask) in enumerate(zip(spec.columns, transforms, masked, strict=True)):
        if isinstance(transform, Vocabulary):
            width, unseen = transform.levels, -1 if transform.unseen is None else transform.unseen
            code = sum(block.kind == "categorical" for block in blocks)
            blocks.append(Block(i, "categorical", start, width, False, own, logits, width, code, unseen))
            logits += width
        else:
            kind: Literal["numeric", "cyclic"] = "numeric" if isinstance(transform, Scaling) else "cyclic"
            width = 1 if kind == "numeric" else 2
            blocks.append(Block(i, kind, start, width, mask and feature.missing == "mask", own, values))
            values += width
        start += width + blocks[-1].has_mask
        own += width
    return Layout(tuple(blocks), spec.window)


def _columns(blocks: Iterator[Block] | Sequence[Block]) -> npt.NDArray[np.int64]:
    return np.array([block.start + i for block in blocks for i in range(block.width)], np.int64)
