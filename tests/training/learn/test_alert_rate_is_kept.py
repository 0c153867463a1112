"""The whole life of a threshold, without a model: the share flagged in any window with 30 expected is the alert rate.

Rows have a latent value each, and every version sees it with noise of its own. Rows are folded into a partition's
state, calibrated on its held-out sample, and followed by the code of trainer and evaluation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.learn.calibrate import calibrate
from training.learn.carry_over import carry_over
from training.learn.live_counts import LiveCounts
from training.learn.move_threshold import follow, is_due
from worker.core.events.columns import Columns
from worker.core.events.event_time import EventTimes
from worker.core.events.spec import FeatureSpec
from worker.core.model.serving_model import Versions
from worker.core.model.threshold import Threshold, score_of, severity_of
from worker.core.state.partition_state import PartitionState, ScoredRows
from worker.core.state.reservoir import draw_uniform, held_out

Floats = npt.NDArray[np.float64]
SPEC = FeatureSpec.model_validate({"features": [{"field": "x", "kind": "numeric"}]})
FIRST = 2_048
LOOK = 10_000
"""Events between two looks at the live p-values: ten seconds of a stream of 1,000 a second."""
AGREEMENT = 0.95
"""The correlation of a row's latent value with what a version sees."""


def ndtri(u: Floats) -> Floats:
    """(n,) float64 normal quantiles of (n,) probabilities."""
    return np.asarray(torch.special.ndtri(torch.from_numpy(u)).numpy())


def ndtr(z: Floats) -> Floats:
    """(n,) float64, the inverse of `ndtri`."""
    return np.asarray(torch.special.ndtr(torch.from_numpy(z)).numpy())


SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "exponential": lambda u: 0.5 - np.log1p(-u),
    "heavy": lambda u: (1.0 - u) ** -0.35,
    "light": lambda u: 1.0 + 0.2 * np.sqrt(u) + 0.1 * np.sqrt(-np.log1p(-u)),
    "equal in steps": lambda u: np.ceil(4.0 * (0.5 - np.log1p(-u))) / 4.0,
}


class Life:
    """One partition and its versions. `growth` is the factor by which errors grow over a million events."""

    def __init__(self, shape: str, rate: float, per_version: int, seed: int, growth: float = 1.0) -> None:
        self.shape, self.rate, self.per_version, self.growth = SHAPES[shape], rate, per_version, growth
        self.seed = np.uint64(1_000_003 * seed + 17)
        self.state = PartitionState(SPEC, f"life-{seed}", 0, 0, 0)
        self.sources = [("life", self.state)]
        self.live = LiveCounts()
        self.version = 0
        self.at_bound = 0

    def errors(self, offsets: npt.NDArray[np.int64], version: int) -> npt.NDArray[np.float32]:
        latent = ndtri(draw_uniform(self.seed, offsets))
        noise = ndtri(draw_uniform(self.seed + np.uint64(7_919 * (version + 1)), offsets))
        u = ndtr(np.sqrt(AGREEMENT) * latent + np.sqrt(1.0 - AGREEMENT) * noise)
        return np.asarray(self.shape(np.clip(u, 1e-15, 1 - 1e-15)) * self.growth ** (offsets / 1e6), np.float32)

    def calibrate(self, offsets: npt.NDArray[np.int64]) -> Threshold:
        errors = self.errors(offsets, self.version)
        return calibrate(errors, bundle="b", alert_rate=self.rate, created_at="2026-01-01T00:00:00Z")

    def run(self, count: int) -> npt.NDArray[np.bool_]:
        """(count,) bool: the events that were flagged."""
        flagged = np.zeros(count, np.bool_)
        rows = np.arange(FIRST)
        self.threshold = self.calibrate(rows[rows // 64 % 4 == 3])
        self.adopt(first=True)
        while self.state.next_offset < count:
            start = self.state.next_offset
            stop = min(count, start + LOOK, (start // self.per_version + 1) * self.per_version)
            flagged[start:stop] = self.fold(np.arange(start, stop))
            fresh = self.live.fresh(self.sources, str(self.version))
            if stop % self.per_version == 0:
                self.next_version(follow(self.threshold, fresh))
            elif is_due(self.threshold, fresh):
                self.threshold = follow(self.threshold, fresh)
                self.live.take(self.sources, str(self.version))
            self.at_bound += self.threshold.provenance.at_bound
        return flagged

    def next_version(self, champion: Threshold) -> None:
        recent = self.state.recent.offsets
        block = recent[held_out(self.state.seed, recent)]
        if len(block) < 128:  # as the trainer does
            return
        self.version += 1
        new, old = (self.errors(block, version) for version in (self.version, self.version - 1))
        self.threshold = carry_over(self.calibrate(block), new, champion, old)
        self.adopt()

    def adopt(self, *, first: bool = False) -> None:
        self.state.adopt(Versions(str(self.version), "t"))
        self.live.begin(self.sources, str(self.version), first=first)

    def fold(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        errors = self.errors(offsets, self.version)
        flagged, buckets = self.threshold.flag(errors), self.threshold.p_buckets(errors)
        columns = Columns((offsets.astype(np.float64),))
        self.state.fold(
            ScoredRows(offsets, EventTimes(offsets, offsets, 0), columns, errors, buckets, flagged, ~flagged), ()
        )
        self.state.next_offset = int(offsets[-1]) + 1
        return flagged


def windows(flagged: npt.NDArray[np.bool_], rate: float) -> Floats:
    """The share flagged over the alert rate, by windows with 30 expected."""
    length = int(30 / rate)
    count = len(flagged) // length
    return np.asarray(flagged[: count * length].reshape(count, length).mean(1) / rate)


@pytest.mark.parametrize("shape", SHAPES)
def test_long_lived_versions_of_a_stationary_stream(shape: str) -> None:
    """Chance alone leaves 97 % of such windows within a factor of 1.5. Here a cut alone rests on two held-out rows."""
    ratios = np.concatenate(
        [windows(Life(shape, 0.001, 200_000, seed).run(900_000)[30_000:], 0.001) for seed in (1, 2)]
    )
    assert np.mean((ratios > 1 / 1.5) & (ratios < 1.5)) >= 0.9
    assert ratios.max() < 3.0
    assert ratios.mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("shape", SHAPES)
def test_short_lived_versions_of_a_stationary_stream(shape: str) -> None:
    ratios = windows(Life(shape, 0.005, 1_000, 3).run(120_000)[6_000:], 0.005)
    assert np.mean((ratios > 1 / 1.5) & (ratios < 1.5)) >= 0.85
    assert ratios.mean() == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("shape", ["exponential", "heavy"])
def test_a_stream_that_drifts_stays_within_a_factor_of_three(shape: str) -> None:
    """Errors double every million events."""
    ratios = windows(Life(shape, 0.001, 200_000, 4, growth=2.0).run(900_000)[30_000:], 0.001)
    assert ratios.max() < 3.0
    assert ratios.min() > 1 / 3.0


def test_an_absurd_event_is_critical_within_the_first_hour_of_a_fast_stream() -> None:
    life = Life("exponential", 0.001, 200_000, 5)
    life.run(600_000)  # ten minutes at 1,000 a second
    absurd = np.array([150.0], np.float32)
    assert severity_of(float(score_of(life.threshold.p_values(absurd))[0])) == "critical"
    assert life.threshold.calibration_n > 50_000
