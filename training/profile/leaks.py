"""Fields that tell the answer, and fields that tell the same as another."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.data_warnings import Caution
from training.profile.fields import Field, words_of
from training.tables.values import present
from worker.core.events.columns import category

_ANSWERS = {"label", "labels", "labelled", "labeled", "fraud", "fraudulent", "attack", "attacks", "anomaly",
            "anomalies", "anomalous", "outlier", "outliers", "malicious", "intrusion"}  # fmt: skip
"""Words that name the answer wherever they stand in a name; the next ones only where they are all of it."""
_WHOLE = {"class", "target", "truth", "verdict", "y", "groundtruth"}
_FILLERS = {"is", "has", "ground", "the"}
_FEW = 50
_ENOUGH = 5


def named_like_an_answer(name: str) -> bool:
    """Such as label, target, class, attack, is_fraud, anomaly."""
    words = words_of(name)
    return not _ANSWERS.isdisjoint(words) or (len(rest := [w for w in words if w not in _FILLERS]) == 1
                                              and rest[0] in _WHOLE)  # fmt: skip


def tells_labels(values: Sequence[Any], labels: npt.NDArray[np.bool_]) -> bool:
    """Whether a column of few values has none that goes with both labels, (n,) each.

    Only where both labels come often enough that this is no accident.
    """
    if min(int(labels.sum()), int((~labels).sum())) < _ENOUGH or any(isinstance(v, list | dict) for v in values):
        return False
    texts = [category(value) for value in values]
    odd = {text for text, label in zip(texts, labels.tolist(), strict=True) if label}
    normal = {text for text, label in zip(texts, labels.tolist(), strict=True) if not label}
    return odd.isdisjoint(normal) and len(odd) + len(normal) <= min(_FEW, len(values) // 2)


def twins(columns: Mapping[str, Sequence[Any]], fields: Mapping[str, Field]) -> list[Caution]:
    """One for each field that repeats an earlier one.

    Fields that hardly ever change are left out, which would go together by accident, and of those whose values never
    repeat all but true copies: any two of them would go one to one.
    """
    first_with: dict[bytes, str] = {}
    found: list[Caution] = []
    for name, values in columns.items():
        distinct = fields[name].distinct
        if distinct is None or distinct < 2:
            continue
        texts = list(map(category, values))
        if len(texts) - max(Counter(texts).values()) < _ENOUGH:
            continue
        first = first_with.setdefault(_codes(texts), name)
        if first == name:
            continue
        if texts == list(map(category, columns[first])):
            found.append(Caution("copy", f"a copy of {first}", name))
        elif distinct < len(present(values)):
            found.append(Caution("one-to-one", f"one to one with {first}: each value goes with one of its", name))
    return found


def _codes(texts: list[str | None]) -> bytes:
    """A digest of which rows have equal values: the same for every column that is one to one with it."""
    places: dict[str | None, int] = {}
    codes = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
    return hashlib.blake2b(codes.tobytes(), digest_size=16).digest()
