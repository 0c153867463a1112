"""What other alert rates would have given: the flags of each version at another cut, and the alerts that they make."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluate.noise_control import published
from training.evaluate.prequential import Outcome
from training.learn.calibrate import with_inflation
from worker.core.model.threshold import Threshold

RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True, slots=True)
class AtRate:
    """The counts at one alert rate: `flagged` rows, and `alerts` after noise control.

    `recall` is the share of anomalies that are flagged, `precision` the share of flagged rows that are anomalies; None
    without labels or if undefined. `alerts_per_day` is None if the file has no event times.
    """

    alert_rate: float
    configured: bool
    flagged: int
    flagged_share: float
    alerts: int
    alerts_per_day: float | None
    recall: float | None
    precision: float | None


def at_rates(
    outcome: Outcome,
    labels: npt.NDArray[np.bool_] | None,
    *,
    alert_rate: float,
    cooldown_ms: int,
    days: float | None,
) -> list[dict[str, Any]]:
    """The counts at each of `RATES` and at the configured `alert_rate`, in ascending order, as plain values.

    `labels` (n,) are those of the scored rows; `days` is how long these last in event time. The scores are those of
    this run. A run at another rate would measure at that rate how live errors differ from held-out ones, so its cuts
    and counts would differ a little.
    """
    found = []
    for rate in sorted({*RATES, alert_rate}):
        own = rate == alert_rate
        flagged = outcome.flagged if own else flagged_at(outcome, rate)
        alerted = outcome.alerted if own else published(flagged, outcome.arrivals, cooldown_ms)
        alerts, hits = int(alerted.sum()), None if labels is None else int((flagged & labels).sum())
        found.append(
            AtRate(
                alert_rate=rate,
                configured=own,
                flagged=int(flagged.sum()),
                flagged_share=float(flagged.mean()),
                alerts=alerts,
                alerts_per_day=alerts / days if days else None,
                recall=_share(hits, 0 if labels is None else int(labels.sum())),
                precision=_share(hits, int(flagged.sum())),
            )
        )
    return [asdict(one) for one in found]


def flagged_at(outcome: Outcome, alert_rate: float) -> npt.NDArray[np.bool_]:
    """(n,) bool: the rows that their versions would have flagged at this alert rate."""
    flagged = np.zeros(len(outcome.error), np.bool_)
    for version, (_, threshold) in outcome.served.items():
        rows = outcome.version == version
        flagged[rows] = threshold_at(threshold, alert_rate).flag(outcome.error[rows])
    return flagged


def threshold_at(threshold: Threshold, alert_rate: float) -> Threshold:
    """The threshold at another alert rate: cut anew from the same calibration, with the same inflation."""
    if alert_rate == threshold.alert_rate:  # cut anew, a threshold at its bound would move a little
        return threshold
    return with_inflation(threshold.model_copy(update={"alert_rate": alert_rate}), threshold.inflation)


def _share(part: int | None, whole: int) -> float | None:
    return part / whole if part is not None and whole else None
