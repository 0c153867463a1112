"""Thresholds: p-values, verdicts, scores and severities from a calibrated error distribution.

A threshold is immutable and named by its digest. `training/learn/calibrate.py` makes one, and
`training/learn/move_threshold.py` moves it by making the next one.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from worker.core.model.digest import digest_of
from worker.core.model.histogram import BUCKETS, bucket_of, edges, fine_bucket_of, fine_middles
from worker.core.model.tail import Tail

Severity = Literal["critical", "major", "minor", "warning"]
TRAINING_P = 0.05
_ADDED = {"target", "evidence", "live_n", "upper_shape", "at_bound"}
_SEVERITIES: tuple[tuple[float, Severity], ...] = ((75.0, "critical"), (50.0, "major"), (25.0, "minor"))


class Provenance(BaseModel):
    """How a threshold came about. `offsets`, by "topic/partition", are those up to which live p-values were counted.

    `at_bound` says that live events call for a cut further from the calibrated one than is allowed: the errors drift.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["calibration", "merged", "operator"]
    created_at: str
    reason: str
    offsets: dict[str, int] = {}
    at_bound: bool = False


class Threshold(BaseModel):
    """One version of a bundle's threshold: an error above `cut` is anomalous.

    `histogram` holds (bucket, count) pairs of the calibration errors, and `tail` continues it beyond the largest ones
    (None if they were too few to fit one). The p-values from these two, the held-out p-values, mean the same under any
    bundle, so what live p-values show still holds when the next bundle replaces this one.

    `inflation` corrects for live events having larger errors than held-out ones, as on a stream that drifts: the odds
    of a held-out p-value are multiplied by it (1: no correction).
    `target` is the inflation that live events call for, which `inflation` approaches in bounded steps.
    `evidence` says how well the cut is known, as the number of events expected beyond it in the rows that it rests on.
    `n` is the number of calibration errors after declustering, and `live_n` that of live events, under this bundle and
    those before it, whose p-values bore the calibration out. No p-value is smaller than 1 / (20 (n + live_n)), since
    that many observations cannot tell smaller probabilities apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    bundle: str
    alert_rate: float = Field(gt=0, lt=1)
    cut: float = Field(gt=0)
    n: int = Field(gt=0)
    histogram: tuple[tuple[int, int], ...]
    tail: Tail | None
    inflation: float = Field(default=1.0, gt=0)
    target: float = Field(default=1.0, gt=0)
    evidence: float = Field(default=10.0, gt=0)
    live_n: int = Field(default=0, ge=0)
    parent: str | None = None
    provenance: Provenance

    def digest(self) -> str:
        """The threshold's name: `digest_of` its bytes."""
        return digest_of(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The same bytes as earlier releases wrote, as long as the fields added since have their defaults."""
        plain = self.model_dump(mode="json")
        for part, added in ((plain, Threshold), (plain["tail"], Tail), (plain["provenance"], Provenance)):
            for name in _ADDED.intersection(part or ()):
                if part[name] == added.model_fields[name].default:
                    del part[name]
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()

    def counts(self) -> npt.NDArray[np.int64]:
        """The histogram as (BUCKETS,) int64."""
        counts = np.zeros(BUCKETS, np.int64)
        for bucket, number in self.histogram:
            counts[bucket] += number
        return counts

    @property
    def calibration_n(self) -> int:
        """The number of observations behind the p-values."""
        return self.n + self.live_n

    @property
    def floor(self) -> float:
        """The smallest p-value."""
        return 1.0 / (20.0 * self.calibration_n)

    # `model_copy` copies what these have cached: they may depend on the histogram and the tail alone.

    @cached_property
    def _survival(self) -> npt.NDArray[np.float64]:
        """(BUCKETS + 1,) float64: the share of calibration errors at or above each bucket edge."""
        counts = self.counts()
        return np.concatenate((np.cumsum(counts[::-1])[::-1], [0])) / max(int(counts.sum()), 1)

    def p_values(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n,) float32 errors to (n,) float64 in [floor, 1]; a larger error never has a larger p-value.

        In the tail these are upper confidence limits: the fit is extrapolated as far as it is known.
        """
        return np.clip(inflate(self._held_out_p(errors, upper=True), self.inflation), self.floor, 1.0)

    def best_p(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n,) float32 errors to (n,) float64 in [0, 1], the best estimates: neither an upper limit nor a floor."""
        return inflate(self.held_out_p(errors), self.inflation)

    def held_out_p(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n,) float32 errors to (n,) float64 in [0, 1], the best estimates without inflation.

        Interpolated in the histogram, and from the Pareto distribution in the tail.
        """
        return self._held_out_p(errors, upper=False)

    def _held_out_p(self, errors: npt.NDArray[np.float32], *, upper: bool) -> npt.NDArray[np.float64]:
        x = np.asarray(errors, np.float64)
        p = np.interp(x, edges(), self._survival)
        if self.tail is not None:
            beyond = x > self.tail.start
            survival = self.tail.upper_survival if upper else self.tail.survival
            p[beyond] = np.minimum(survival(x[beyond]), self.tail.share)
            p[~beyond] = np.maximum(p[~beyond], self.tail.share)
        return p

    @cached_property
    def _p_buckets(self) -> npt.NDArray[np.int64]:
        return bucket_of(self.held_out_p(fine_middles()).astype(np.float32))

    def p_buckets(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """(n,) float32 errors to the (n,) int64 histogram buckets of their held-out p-values.

        Looked up by error in steps of 0.1 to 0.2 %: a bucket of 2 to 3 % may hold most of a light tail.
        """
        found: npt.NDArray[np.int64] = self._p_buckets[fine_bucket_of(errors)]
        return found

    def flag(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """(n,) float32 errors to (n,) bool: True for an anomaly."""
        return errors > np.float32(self.cut)

    def error_at(self, p: float) -> float:
        """The smallest bucket edge whose p-value is at most `p`; the last edge if there is none."""
        grid = edges()
        low = self.p_values(grid.astype(np.float32)) <= p
        return float(grid[int(np.argmax(low))]) if low.any() else float(grid[-1])

    def training_cut(self) -> float:
        """Events with this error or a larger one stay out of a partition's long-term sample.

        They are about the largest 5 % of the errors. That sample may keep a row for as long as the stream lives, so an
        anomaly in it would take part in every later fit.
        """
        return self.error_at(TRAINING_P)


def inflate(p: npt.NDArray[np.float64], inflation: float) -> npt.NDArray[np.float64]:
    """(n,) p-values with their odds times `inflation`: small ones grow by that factor, 0 and 1 stay."""
    corrected: npt.NDArray[np.float64] = inflation * p / (1.0 + (inflation - 1.0) * p)
    return corrected


def score_of(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) p-values, none 0, to (n,) anomaly scores from 0 to 100: min(100, -12.5 log10 p). One in a million is 75."""
    return np.minimum(100.0, np.abs(12.5 * np.log10(p)))


def severity_of(score: float) -> Severity:
    """The severity of an anomaly score: `critical` from 75, `major` from 50, `minor` from 25, else `warning`."""
    return next((name for least, name in _SEVERITIES if score >= least), "warning")
