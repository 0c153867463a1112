"""Calibration: from errors of a block that training never saw to a threshold version, and its later bounded steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.tail import fit_tail
from worker.core.histogram import BUCKETS, count, edges
from worker.core.threshold import Provenance, Tail, Threshold

TAIL_SHARE = 0.05
TAIL_ERRORS = 50
STEP = 0.05
WITHIN = 1.5
LEAST_CHANGE = 0.01
LEAST_EXPECTED = 10.0
_LEAST_ERRORS = 32


def calibrate(
    errors: npt.NDArray[np.float32],
    *,
    bundle: str,
    alert_rate: float,
    created_at: str,
    parent: str | None = None,
    reason: str = "calibration block",
) -> Threshold:
    """A threshold from (n,) float32 errors in time order, anomalous ones included.

    n in the threshold counts clusters, since errors that follow each other above the tail's start are one observation
    (declustering by runs, Coles 2001, section 5.3.2). Raises ValueError with fewer than 32 errors.
    """
    if len(errors) < _LEAST_ERRORS:
        raise ValueError(f"{len(errors)} errors are too few to calibrate on; at least {_LEAST_ERRORS}")
    wide = errors.astype(np.float64)
    share = _tail_share(len(errors), alert_rate)
    tail = fit_tail(wide, share)
    counts = count(errors)
    repeats = _repeats(wide, float(np.quantile(wide, 1.0 - share)))
    return _threshold(
        counts,
        tail,
        n=max(1, len(errors) - repeats),
        bundle=bundle,
        alert_rate=alert_rate,
        parent=parent,
        provenance=Provenance(kind="calibration", created_at=created_at, reason=reason),
    )


def merge(
    threshold: Threshold,
    anchor: Threshold,
    counts: npt.NDArray[np.int64],
    n: int,
    *,
    created_at: str,
    offsets: dict[str, int],
) -> Threshold | None:
    """A bounded step of `threshold` towards what (BUCKETS,) live `counts` of `n` errors say; None where none is due.

    The cut moves by at most 5 % a step and stays within a factor 1.5 of the anchor's, the bundle's own calibration:
    a threshold that chases a drift hides it. Too few counts (fewer than 10 expected beyond the cut) or a change
    below 1 % are no step.
    """
    if n * threshold.alert_rate < LEAST_EXPECTED:
        return None
    share = _tail_share(n, threshold.alert_rate)
    tail = fit_tail(_spread(counts), share)
    wanted = _cut(counts, tail, threshold.alert_rate)
    step = float(np.clip(wanted, threshold.cut * (1.0 - STEP), threshold.cut * (1.0 + STEP)))
    cut = float(np.clip(step, anchor.cut / WITHIN, anchor.cut * WITHIN))
    if abs(cut / threshold.cut - 1.0) < LEAST_CHANGE:
        return None
    if cut != wanted:
        # The shape is the live one, its place as far as the cut was let go: so p at the cut stays the alert rate.
        counts = _shifted(counts, round(32 * float(np.log2(cut / wanted))))
        tail = fit_tail(_spread(counts), share)
    bound = "; at the bound of the bundle's calibration: the errors drift" if cut != step else ""
    return _threshold(
        counts,
        tail,
        n=n,
        bundle=threshold.bundle,
        alert_rate=threshold.alert_rate,
        parent=threshold.digest(),
        provenance=Provenance(
            kind="merged",
            created_at=created_at,
            reason=f"live histograms ask for {wanted:.4g}{bound}",
            offsets=offsets,
        ),
        cut=cut,
    )


def _threshold(
    counts: npt.NDArray[np.int64],
    tail: Tail | None,
    *,
    n: int,
    bundle: str,
    alert_rate: float,
    parent: str | None,
    provenance: Provenance,
    cut: float | None = None,
) -> Threshold:
    filled = np.flatnonzero(counts)
    return Threshold(
        bundle=bundle,
        alert_rate=alert_rate,
        cut=cut if cut is not None else _cut(counts, tail, alert_rate),
        n=n,
        histogram=tuple((int(bucket), int(counts[bucket])) for bucket in filled),
        tail=tail,
        parent=parent,
        provenance=provenance,
    )


def _cut(counts: npt.NDArray[np.int64], tail: Tail | None, alert_rate: float) -> float:
    """The error that a share `alert_rate` exceeds: from the tail where it reaches that far, else from the histogram."""
    if tail is not None and alert_rate <= tail.share:
        return tail.error_at(alert_rate)
    survival = np.concatenate((np.cumsum(counts[::-1])[::-1], [0])) / counts.sum()
    # The lowest bucket edge beyond which no more than the wanted share lies: ties stay below the cut.
    return float(edges()[int(np.argmax(survival <= alert_rate))])


def _tail_share(n: int, alert_rate: float) -> float:
    """Where the Pareto tail begins: 50 errors beyond it, and only past the cut where the data reach that far.

    A fit over more of the tail would let a few contaminated errors bend the cut.
    """
    return min(TAIL_SHARE, max(TAIL_ERRORS / n, alert_rate / 2.0))


def _shifted(counts: npt.NDArray[np.int64], buckets: int) -> npt.NDArray[np.int64]:
    """Every error times 2^(buckets / 32), to a bucket's width; what would leave the range stays at its end."""
    moved = np.zeros_like(counts)
    np.add.at(moved, np.clip(np.arange(BUCKETS) + buckets, 0, BUCKETS - 1), counts)
    return moved


def _spread(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Errors again from counts, spread evenly inside each bucket; at most 200,000, thinned evenly."""
    grid = edges()
    total = int(counts.sum())
    positions = (np.arange(min(total, 200_000)) + 0.5) * (total / min(total, 200_000))
    errors: npt.NDArray[np.float64] = np.interp(positions, np.concatenate(([0], np.cumsum(counts))), grid)
    return errors


def _repeats(errors: npt.NDArray[np.float64], start: float) -> int:
    """How many errors above `start` directly follow another: they count as the same observation."""
    above = errors > start
    return int((above[1:] & above[:-1]).sum())
