"""The far tail of the errors, as a generalised Pareto distribution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field


class Tail(BaseModel):
    """P(X > x) = share (1 + shape (x - start) / scale)^(-1 / shape) for errors x >= start.

    Source: Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017, section 3.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: float = Field(ge=0)
    shape: float
    scale: float = Field(gt=0)
    share: float = Field(gt=0, le=1)

    def survival(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) float64 P(X > error) of (n,) float64 errors, none below `start`."""
        excess = (errors - self.start) / self.scale
        if abs(self.shape) < 1e-9:
            return self.share * np.exp(-excess)
        inner = np.maximum(1.0 + self.shape * excess, 0.0)
        with np.errstate(divide="ignore"):
            return self.share * inner ** (-1.0 / self.shape)

    def error_at(self, p: float) -> float:
        """The error that is exceeded with probability `p`, for 0 < p <= share."""
        ratio = p / self.share
        if abs(self.shape) < 1e-9:
            return self.start - self.scale * float(np.log(ratio))
        return float(self.start + self.scale / self.shape * (ratio**-self.shape - 1.0))
