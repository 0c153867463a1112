"""Why events were flagged: what the model found, in the words of an alert, for a whole batch at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.core.alerts.alert import Contribution, contributions
from worker.core.events.columns import Columns
from worker.core.model.detector import Detector, Scores


def explained(
    detector: Detector, found: Scores, columns: Columns, rows: npt.NDArray[np.intp]
) -> list[list[Contribution]]:
    """Of some `rows` of what was judged, and of its columns, the features that contributed most to each one's error."""
    why, newest, encoder = detector.explain(found, rows), columns.take(rows).newest(), detector.encoder
    return contributions(
        encoder.spec.names,
        why.per_feature,
        lambda feature: (encoder.actual(feature, newest), detector.expected(feature, why.expected)),
    )
