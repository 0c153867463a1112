"""A feature list from a table: what `offbeat demo --data` uses where no configuration says it."""

from __future__ import annotations

import math
from typing import Any

from training.tables import Table

_MAX_FEATURES = 500
_SKEWED = 3.0


def infer_features(table: Table) -> list[dict[str, Any]]:
    """Features as a configuration writes them: booleans, numbers (heavy tails get `log`), everything else by category.

    Columns with one value, and texts that never repeat, say nothing and are left out.
    """
    features = []
    for name, values in table.columns.items():
        present = [value for value in values if value is not None]
        distinct = set(map(str, present[:20_000]))
        if len(distinct) < 2:
            continue
        if all(isinstance(value, bool) for value in present):
            features.append({"field": name, "kind": "boolean"})
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
            features.append({"field": name, "kind": "numeric", **_transform(present)})
        elif len(distinct) < 0.5 * min(len(present), 20_000):
            features.append({"field": name, "kind": "categorical"})
    return features[:_MAX_FEATURES]


def _transform(values: list[float]) -> dict[str, str]:
    finite = sorted(float(value) for value in values[:20_000] if math.isfinite(value))
    if not finite or finite[0] < 0:
        return {}
    middle, high, top = (finite[int(q * (len(finite) - 1))] for q in (0.5, 0.9, 0.999))
    heavy = top - middle > _SKEWED * 3 * max(high - middle, 1e-12) and top > 100
    return {"transform": "log"} if heavy else {}
