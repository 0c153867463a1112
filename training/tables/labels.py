"""Labels as files have them: yes or no in many words, or the kind of each anomaly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from worker.errors import ConfigError

TRUE = {"1", "true", "yes", "anomaly", "attack", "outlier"}
FALSE = {"", "0", "false", "no", "none", "null", "-", "normal", "normal.", "benign", "ok", "inlier"}
MOST_KINDS = 200
_NAMED = 5


def parse_labels(values: list[Any], column: str) -> tuple[npt.NDArray[np.bool_], list[str | None] | None]:
    """Return (n,) bool, True for an anomaly, and the kind of each anomaly, None for a normal row; or None for all kinds
    if the column holds none.

    Numbers and booleans are anomalies unless 0. Missing values and the texts in `FALSE` are normal, those in `TRUE`
    anomalies. If there are none of the latter, any other text is an anomaly of that kind; else it is normal. Raises
    ConfigError if the texts say neither which rows are anomalies nor which are normal, and for more than 200 kinds.
    """
    texts = {value.strip() for value in values if isinstance(value, str)}
    known = {text.lower() for text in texts} & (TRUE | FALSE)
    strange = sorted(text for text in texts if text.lower() not in known)
    if not strange or known & TRUE:
        return np.array([_is_anomalous(value) for value in values], np.bool_), None
    named = ", ".join(map(repr, strange[:_NAMED])) + ", …" * (len(strange) > _NAMED)
    if not known and all(isinstance(value, str) for value in values):
        raise ConfigError(
            f"--label: {column!r} holds {named}, and nothing says which rows are normal; allowed for normal rows: "
            f"missing, 0, {', '.join(sorted(FALSE - {'', '0'}))}"
        )
    if len(strange) > MOST_KINDS:
        raise ConfigError(
            f"--label: {column!r} holds {len(strange):,} kinds, such as {named}; allowed: at most {MOST_KINDS}"
        )
    kinds = [_kind(value) for value in values]
    return np.array([kind is not None for kind in kinds], np.bool_), kinds


def _is_anomalous(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in TRUE
    return isinstance(value, bool | int | float) and value != 0


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return None if value.strip().lower() in FALSE else value.strip()
    return str(value) if _is_anomalous(value) else None
