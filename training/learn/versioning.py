"""Makes a version from rows: fit, calibrate on held-out rows, compare with the champion, pack a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as installed

import numpy as np
import numpy.typing as npt

from training.learn.calibrate import calibrate
from training.learn.carry_over import carry_over
from training.learn.changes import find_changes, select_new
from training.learn.fit import Fitted, fit
from training.learn.gate import compare
from training.learn.move_threshold import follow
from worker.config.settings import Settings
from worker.core.events.columns import Columns
from worker.core.model.bundle import Bundle, Change, pack
from worker.core.model.detector import Detector
from worker.core.model.threshold import Threshold

CALIBRATE_EVERY = 4
"""One in this many blocks of a first model's rows is held out to calibrate on."""
BLOCKS = 32
SPLIT_LEAST = 256
"""With fewer rows, the first model is fitted and calibrated on all of them."""
_LIBRARIES = ("torch", "numpy", "safetensors")


@dataclass(frozen=True, slots=True)
class Trained:
    """A version; it may be promoted if there are no `refusals`, which are the gate's reasons.

    `changes` are those of the stream that the parent has not told yet; the bundle's manifest holds all.
    """

    bundle: Bundle
    threshold: Threshold
    refusals: list[str]
    changes: tuple[Change, ...] = ()


def train_version(
    settings: Settings,
    rows: Columns,
    *,
    calibrate_on: Columns | None,
    version: int,
    parent: tuple[Bundle, Threshold] | None,
    ranges: dict[str, list[int]],
    seed: int,
    created_at: str,
    fresh: npt.NDArray[np.bool_] | None = None,
    times: npt.NDArray[np.int64] | None = None,
    live: npt.NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train on `rows` in time order; without `calibrate_on`, every fourth block of them is held out to calibrate on.

    With a `parent` it is a warm start that passes the gate; the first model of a stream has nothing to be compared
    with. `fresh` (n,) bool marks the rows that are new to the parent, all by default; `times` (n,) are the rows' event
    times in ms, to date changes. `live`, as in `follow`, first moves the parent's threshold; what is known of that is
    carried over to the new one.
    """
    history = rows
    if calibrate_on is None:
        rows, calibrate_on = split(rows)
    before = parent[0].detector() if parent is not None else None
    fitted = fit(
        settings.spec,
        rows,
        kind=settings.model.kind,
        seed=seed + version,
        parent=before,
        fresh=fresh,
        held_out=calibrate_on,
        progress=progress,
    )
    detector = fitted.detector()
    errors = detector.errors(detector.encoder.transform(calibrate_on))
    alert_rate = settings.threshold.alert_rate
    threshold = calibrate(
        errors,
        bundle="",  # not known before the gate's figures are in it
        alert_rate=alert_rate,
        created_at=created_at,
        parent=parent[1].digest() if parent else None,
    )
    if parent is not None and before is not None:
        champion = follow(parent[1], live) if live is not None else parent[1]
        threshold = carry_over(threshold, errors, champion, before.errors(before.encoder.transform(calibrate_on)))
    refusals, metrics = _gate(parent, before, detector, threshold, calibrate_on)
    changes = find_changes(fitted.encoder, history, times)
    metrics |= {"rows": float(len(rows)), "calibration_rows": float(len(errors))}
    bundle = _pack(fitted, version, parent, created_at, ranges, metrics, seed, changes)
    return Trained(
        bundle,
        threshold.model_copy(update={"bundle": bundle.digest}),
        refusals,
        _untold(changes, parent, None if times is None or fresh is None else times[~fresh]),
    )


def _pack(
    fitted: Fitted,
    version: int,
    parent: tuple[Bundle, Threshold] | None,
    created_at: str,
    ranges: dict[str, list[int]],
    metrics: dict[str, float],
    seed: int,
    changes: tuple[Change, ...],
) -> Bundle:
    return pack(
        version=version,
        kind=fitted.kind,
        encoder=fitted.encoder,
        tensors=fitted.tensors,
        parent=parent[0].digest if parent else None,
        created_at=created_at,
        data=ranges,
        metrics={"loss": fitted.loss, **metrics},
        libraries={name: installed(name) for name in _LIBRARIES},
        seed=seed,
        changes=changes,
    )


def _untold(
    changes: tuple[Change, ...], parent: tuple[Bundle, Threshold] | None, old_times: npt.NDArray[np.int64] | None
) -> tuple[Change, ...]:
    return select_new(changes, parent[0].manifest.changes if parent is not None else (), old_times)


def split(rows: Columns) -> tuple[Columns, Columns]:
    """Rows to fit and rows to calibrate on, by alternating blocks of time, so that both cover the whole span."""
    n = len(rows)
    if n < SPLIT_LEAST:
        return rows, rows
    place = np.arange(n)
    aside = place // -(-n // BLOCKS) % CALIBRATE_EVERY == CALIBRATE_EVERY - 1
    return rows.take(place[~aside]), rows.take(place[aside])


def _gate(
    parent: tuple[Bundle, Threshold] | None,
    champion: Detector | None,
    challenger: Detector,
    threshold: Threshold,
    block: Columns,
) -> tuple[list[str], dict[str, float]]:
    if parent is None or champion is None:
        return [], {}
    result = compare(champion, parent[1], challenger, threshold, block)
    return result.refusals, result.metrics
