"""Thresholds: p-values, verdicts, scores and severities from a calibrated error distribution. Immutable, named by
digest.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from worker.core.model.digest import digest_of
from worker.core.model.histogram import BUCKETS, bucket_of, edges

Severity = Literal["critical", "major", "minor", "warning"]
_SEVERITIES: tuple[tuple[float, Severity], ...] = ((75.0, "critical"), (50.0, "major"), (25.0, "minor"))


class Tail(BaseModel):
    """A generalised Pareto tail above `start`: P(X > x) = share (1 + shape (x - start) / scale)^(-1 / shape).

    Source: Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017, section 3.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: float = Field(ge=0)
    shape: float
    scale: float = Field(gt=0)
    share: float = Field(gt=0, le=1)

    def survival(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) P(X > error) for errors at or above `start`."""
        excess = (errors - self.start) / self.scale
        if abs(self.shape) < 1e-9:
            return self.share * np.exp(-excess)
        inner = np.maximum(1.0 + self.shape * excess, 0.0)
        with np.errstate(divide="ignore"):
            return self.share * inner ** (-1.0 / self.shape)

    def error_at(self, p: float) -> float:
        """The error whose survival is `p`, for p below `share`."""
        ratio = p / self.share
        if abs(self.shape) < 1e-9:
            return self.start - self.scale * float(np.log(ratio))
        return float(self.start + self.scale / self.shape * (ratio**-self.shape - 1.0))


class Provenance(BaseModel):
    """Where a threshold comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["calibration", "merged", "operator"]
    created_at: str
    reason: str
    offsets: dict[str, int] = {}


class Threshold(BaseModel):
    """One version: the histogram, its tail, the cut and their provenance.

    `inflation` corrects for live events being harder than held-out ones of the past, as on a stream that drifts: the
    odds of a p-value are multiplied by it (1: no correction). The live p-values of any version are comparable, so that
    what they teach outlives the version.
    `n` is the number of calibration errors after declustering; p-values are floored at 1 / (20 n), since fewer
    observations cannot tell smaller probabilities apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    bundle: str
    alert_rate: float = Field(gt=0, lt=1)
    cut: float = Field(gt=0)
    n: int = Field(gt=0)
    histogram: tuple[tuple[int, int], ...]
    tail: Tail | None
    inflation: float = Field(default=1.0, gt=0)
    parent: str | None = None
    provenance: Provenance

    def digest(self) -> str:
        """The threshold's name: `digest_of` its bytes."""
        return digest_of(self.to_bytes())

    def to_bytes(self) -> bytes:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    def counts(self) -> npt.NDArray[np.int64]:
        """The histogram as (BUCKETS,) int64."""
        counts = np.zeros(BUCKETS, np.int64)
        for bucket, number in self.histogram:
            counts[bucket] += number
        return counts

    @property
    def floor(self) -> float:
        return 1.0 / (20.0 * self.n)

    @cached_property
    def _survival(self) -> npt.NDArray[np.float64]:
        counts = self.counts()
        return np.concatenate((np.cumsum(counts[::-1])[::-1], [0])) / max(int(counts.sum()), 1)

    def p_values(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n,) float64 in [floor, 1], never rising with the error."""
        return np.clip(inflated(self.held_out_p(errors), self.inflation), self.floor, 1.0)

    def held_out_p(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n,) float64 in [0, 1] before correction and floor: interpolated in the histogram, Pareto in the tail."""
        x = np.asarray(errors, np.float64)
        p = np.interp(x, edges(), self._survival)
        if self.tail is not None:
            beyond = x > self.tail.start
            p[beyond] = np.minimum(self.tail.survival(x[beyond]), self.tail.share)
            p[~beyond] = np.maximum(p[~beyond], self.tail.share)
        return p

    @cached_property
    def _p_buckets(self) -> npt.NDArray[np.int64]:
        grid = edges()
        return bucket_of(self.held_out_p(np.sqrt(grid[:-1] * grid[1:]).astype(np.float32)).astype(np.float32))

    def p_buckets(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """(n,) int64: the histogram bucket of each error's held-out p-value, to an error bucket's width."""
        found: npt.NDArray[np.int64] = self._p_buckets[bucket_of(errors)]
        return found

    def flagged(self, errors: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """(n,) bool: judged anomalous."""
        return errors > np.float32(self.cut)

    def error_at(self, p: float) -> float:
        """The smallest error with a p-value of at most `p`, to a bucket's width."""
        grid = edges()
        low = self.p_values(grid.astype(np.float32)) <= p
        return float(grid[int(np.argmax(low))]) if low.any() else float(grid[-1])


def inflated(p: npt.NDArray[np.float64], inflation: float) -> npt.NDArray[np.float64]:
    """Odds times `inflation`: small p-values by that factor, 0 and 1 stay."""
    corrected: npt.NDArray[np.float64] = inflation * p / (1.0 + (inflation - 1.0) * p)
    return corrected


def score_of(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The anomaly score, 0 to 100: min(100, -12.5 log10 p), so that one in a million is 75."""
    return np.minimum(100.0, np.abs(12.5 * np.log10(p)))


def severity_of(score: float) -> Severity:
    return next((name for least, name in _SEVERITIES if score >= least), "warning")
