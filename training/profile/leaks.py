"""Finds fields that leak the label, and fields that repeat another one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.data_warnings import DataWarning
from training.profile.evidence.names import words_of
from training.profile.fields import Field
from training.tables.values import drop_missing
from worker.core.events.columns import category

_LABEL_WORDS = {
    "label",
    "labels",
    "labelled",
    "labeled",
    "fraud",
    "fraudulent",
    "attack",
    "attacks",
    "anomaly",
    "anomalies",
    "anomalous",
    "outlier",
    "outliers",
    "malicious",
    "intrusion",
}
"""Words that mark a label anywhere in a field's name."""
_LABEL_NAMES = {"class", "target", "truth", "verdict", "y", "groundtruth"}
"""Words that mark a label only if they are the whole name, apart from `_FILLERS`."""
_FILLERS = {"is", "has", "ground", "the"}
_MAX_DISTINCT = 50
_MIN_ROWS = 5
"""Fewer rows than this may agree by accident."""


def looks_like_label(name: str) -> bool:
    """Whether a field's name suggests a label: label, target, class, attack, is_fraud, anomaly and so on."""
    words = words_of(name)
    rest = [word for word in words if word not in _FILLERS]
    return not _LABEL_WORDS.isdisjoint(words) or (len(rest) == 1 and rest[0] in _LABEL_NAMES)


def leaks_labels(values: Sequence[Any], labels: npt.NDArray[np.bool_]) -> bool:
    """Whether a column with few distinct values determines the labels; `values` and `labels` are (n,).

    False if one of the labels is too rare to rule out an accident.
    """
    if min(int(labels.sum()), int((~labels).sum())) < _MIN_ROWS or any(isinstance(v, list | dict) for v in values):
        return False
    texts = [category(value) for value in values]
    anomalous = {text for text, label in zip(texts, labels.tolist(), strict=True) if label}
    normal = {text for text, label in zip(texts, labels.tolist(), strict=True) if not label}
    return anomalous.isdisjoint(normal) and len(anomalous) + len(normal) <= min(_MAX_DISTINCT, len(values) // 2)


def find_duplicates(columns: Mapping[str, Sequence[Any]], fields: Mapping[str, Field]) -> list[DataWarning]:
    """A warning for each field that repeats an earlier one, as a copy or one to one.

    Fields that hardly ever change are skipped, because they may agree by accident. Fields whose values never repeat
    are reported only as copies, because any two of them correspond one to one.
    """
    first_with: dict[bytes, str] = {}
    warnings: list[DataWarning] = []
    for name, values in columns.items():
        distinct = fields[name].distinct
        if distinct is None or distinct < 2:
            continue
        texts = list(map(category, values))
        if len(texts) - max(Counter(texts).values()) < _MIN_ROWS:
            continue
        first = first_with.setdefault(_partition_digest(texts), name)
        if first == name:
            continue
        if texts == list(map(category, columns[first])):
            warnings.append(DataWarning("copy", f"a copy of {first}", name))
        elif distinct < len(drop_missing(values)):
            text = f"one to one with {first}: each value corresponds to one of its values"
            warnings.append(DataWarning("one-to-one", text, name))
    return warnings


def _partition_digest(texts: list[str | None]) -> bytes:
    """A digest of which rows have equal values. Columns that correspond one to one have the same digest."""
    places: dict[str | None, int] = {}
    codes = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
    return hashlib.blake2b(codes.tobytes(), digest_size=16).digest()
