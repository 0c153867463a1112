"""The far tail of the errors, as a generalised Pareto distribution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field


class Tail(BaseModel):
    """P(X > x) = share (1 + shape (x - start) / scale)^(-1 / shape) for errors x >= start.

    `upper_shape` is the upper confidence limit of the shape; None if it is not known how well the shape was fitted.
    Source: Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017, section 3.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: float = Field(ge=0)
    shape: float
    scale: float = Field(gt=0)
    share: float = Field(gt=0, le=1)
    upper_shape: float | None = Field(default=None, lt=1)

    def survival(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) float64 P(X > error) of (n,) float64 errors, none below `start`."""
        return self._survival(errors, self.shape, self.scale)

    def upper_survival(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) float64, the upper confidence limit of `survival`; never below it, and falling with the error.

        It is the larger of `survival` and the tail that has the upper limit of the shape and the same mean excess: the
        mean is well known from the excesses, while the shape, which rules the far tail, is not.
        """
        fitted = self.survival(errors)
        if self.upper_shape is None:
            return fitted
        scale = self.scale * (1.0 - self.upper_shape) / (1.0 - self.shape)
        return np.maximum(fitted, self._survival(errors, self.upper_shape, scale))

    def _survival(self, errors: npt.NDArray[np.float64], shape: float, scale: float) -> npt.NDArray[np.float64]:
        excess = (errors - self.start) / scale
        if abs(shape) < 1e-9:
            return self.share * np.exp(-excess)
        inner = np.maximum(1.0 + shape * excess, 0.0)
        with np.errstate(divide="ignore"):
            return self.share * inner ** (-1.0 / shape)

    def error_at(self, p: float) -> float:
        """The error that is exceeded with probability `p`, for 0 < p <= share."""
        ratio = p / self.share
        if abs(self.shape) < 1e-9:
            return self.start - self.scale * float(np.log(ratio))
        return float(self.start + self.scale / self.shape * (ratio**-self.shape - 1.0))
