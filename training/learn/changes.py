"""Finds what has changed for good inside the rows that a version learns from: a new level that takes over, a number
whose values lie elsewhere, a field that goes missing.

The model learns such a change like anything else, and after a few versions it is normal. So that it is not swallowed
without a word, each version carries the changes that its rows show. A change is found by comparing the rows before and
after the row where it seems to begin: the minimum of a cumulative sum of log-likelihood ratios (Page, "Continuous
inspection schemes", Biometrika 41, 1954).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns
from worker.core.model.bundle import Change
from worker.core.model.encoder import Encoder
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary

BEFORE_LEAST, AFTER_LEAST = 200, 32
"""With fewer rows before or after it, nothing is called a change for good."""
RARE, COMMON = 0.001, 0.05
"""A level is new if at most the first share of the rows had it before, and at least the second has it since."""
_BY_CHANCE = 1e-6
"""What is less probable than this is no accident: that a level of its share is not met in as many rows before the
change, or that a rare one is met as often in those after it.
"""
_PARTS = 10
_BODY, _RANGE = (0.1, 0.9), (0.01, 0.99)
_APART = 0.05
"""New levels of one field that begin within this share of the rows are one change."""
_SHOWN, _TEXT_MOST = 8, 60
_FACTORS = (60.0, 100.0, 1e3, 3.6e3, 1e6, 1e9)
"""Minutes, percent, thousands, hours, millions, thousands of millions: what units differ by."""
_NEAR_FACTOR = 0.15

_Mask = npt.NDArray[np.bool_]


def find_changes(encoder: Encoder, columns: Columns, times: npt.NDArray[np.int64] | None = None) -> tuple[Change, ...]:
    """The changes in n rows in the order of time, in the order of the features. `times` (n,) are their times in ms.

    Times of day and hashed categories are not looked at, because they have no levels and no range of their own.
    """
    if len(columns) < BEFORE_LEAST + AFTER_LEAST:
        return ()
    encoded, changes = encoder.transform(columns), list[Change]()
    codes = {block.feature: encoded.codes[:, block.code] for block in encoder.layout.categorical}
    values = columns.newest().values
    for feature, (name, transform) in enumerate(zip(encoder.spec.names, encoder.transforms, strict=True)):
        if isinstance(transform, Scaling):
            changes += _goes_missing(name, np.isnan(values[feature]), times)
            changes += _moves(name, values[feature], times)
        elif isinstance(transform, Vocabulary) and not transform.buckets:
            texts = [*map(_shortened, transform.top), "other values", "missing", "unseen values"]
            changes += _takes_over(name, codes[feature], texts, times)
    return tuple(changes)


def select_new(
    changes: Sequence[Change], told: Sequence[Change], old_times: npt.NDArray[np.int64] | None
) -> tuple[Change, ...]:
    """Those of the `changes` that the parent has not `told`. `old_times` (n,) are of the rows that it knew already.

    A change is the same if the parent told one of the same field and it began among those rows: the begin may move a
    little, because each version learns from another sample of them.
    """
    known = {change.field for change in told}
    newest = int(old_times.max()) if old_times is not None and len(old_times) else None

    def is_told(change: Change) -> bool:
        began_before = change.since is None or newest is None or change.since <= newest
        return change.field in known and began_before

    return tuple(change for change in changes if not is_told(change))


def _begin(inside: _Mask, before: float = RARE, after: float | None = None) -> int:
    """The row from which on `inside` (n,) most probably holds in a share `after` of the rows, and in a share `before`
    until then. By default `after` is the share in all rows, between 5 and 95 %.
    """
    share = after if after is not None else float(np.clip(inside.mean(), COMMON, 1.0 - COMMON))
    steps = np.where(inside, np.log(share / before), np.log((1.0 - share) / (1.0 - before)))
    return int(np.argmin(np.concatenate([[0.0], np.cumsum(steps)])))


def _is_new(inside: _Mask, begin: int, among: int = 1) -> bool:
    """Whether what holds in the rows `inside` (n,) was absent before row `begin`, and is common since then.

    It is no accident either, though it is one of `among` things that could have been found.
    """
    before, after = inside[:begin], inside[begin:]
    if len(before) < BEFORE_LEAST or len(after) < AFTER_LEAST or before.mean() > RARE:
        return False
    lasts = after[-max(len(after) // 4, AFTER_LEAST // 2) :].mean()
    share = after.mean()
    if share < COMMON or lasts <= RARE or (1.0 - share) ** len(before) > _BY_CHANCE:
        return False
    count = after.sum()
    gain = count * np.log(share / RARE) + (len(after) - count) * np.log(max(1.0 - share, RARE) / (1.0 - RARE))
    return bool(gain >= np.log(among / _BY_CHANCE))


def _is_gone(inside: _Mask, begin: int) -> bool:
    """Whether what holds in the rows `inside` (n,) was common before row `begin`, and is hardly met since."""
    share, since = inside[:begin].mean(), inside[begin:]
    return bool(share >= COMMON and since.mean() <= RARE and (1.0 - share) ** len(since) <= _BY_CHANCE)


def _takes_over(
    name: str, codes: npt.NDArray[np.int64], texts: list[str], times: npt.NDArray[np.int64] | None
) -> list[Change]:
    """The new levels of a categorical, from the level of each row (n,); levels that begin together are one change."""
    n = len(codes)
    common = np.flatnonzero(np.bincount(codes, minlength=len(texts)) >= COMMON * AFTER_LEAST)
    begins = {level: _begin(codes == level) for level in common.tolist()}
    new = sorted((at, level) for level, at in begins.items() if _is_new(codes == level, at, len(texts)))
    groups: list[list[tuple[int, int]]] = []
    for at, level in new:
        if groups and at - groups[-1][-1][0] <= _APART * n:
            groups[-1].append((at, level))
        else:
            groups.append([(at, level)])
    changes = []
    for group in groups:
        begin, levels = group[0][0], [level for _, level in group]
        gone = [level for level in common.tolist() if _is_gone(codes == level, begin)]
        share = float(np.isin(codes[begin:], levels).mean())
        before, after = [texts[level] for level in gone], [texts[level] for level in levels]
        spelling = {text.casefold() for text in before} == {text.casefold() for text in after}
        changes.append(
            Change(
                field=name,
                before=f"no longer {_listed(before)}" if gone else "hardly ever met",
                after=f"{_listed(after)} in {share:.0%} of the events",
                since=_time_at(times, begin),
                hint="the same levels in another spelling" if spelling else "",
            )
        )
    return changes


def _goes_missing(name: str, missing: _Mask, times: npt.NDArray[np.int64] | None) -> list[Change]:
    begin = _begin(missing)
    if not _is_new(missing, begin):
        return []
    after = f"missing in {missing[begin:].mean():.0%} of the events"
    return [Change(field=name, before="hardly ever missing", after=after, since=_time_at(times, begin), hint="")]


def _moves(name: str, column: npt.NDArray[np.float64], times: npt.NDArray[np.int64] | None) -> list[Change]:
    """The change of a number whose values, (n,) and nan where missing, lie elsewhere from some row on.

    The 10 to 90 % ranges before and after must not overlap, and the median since then, and that of the newest quarter,
    must lie outside the 1 to 99 % range before.
    """
    present = np.flatnonzero(np.isfinite(column))
    values = column[present]
    begin = _move_begin(values) if len(values) >= BEFORE_LEAST + AFTER_LEAST else None
    if begin is None or begin < BEFORE_LEAST or len(values) - begin < AFTER_LEAST:
        return []
    before, after = values[:begin], values[begin:]
    (low, high), last = np.quantile(before, _RANGE), float(np.median(after[-max(len(after) // 4, 1) :]))
    was, now = float(np.median(before)), float(np.median(after))
    if not (now > high and last > high) and not (now < low and last < low):
        return []
    return [
        Change(
            field=name,
            before=f"median {was:.4g}, 98 % from {low:.4g} to {high:.4g}",
            after=f"median {now:.4g}",
            since=_time_at(times, int(present[begin])),
            hint=_unit_hint(was, now),
        )
    ]


def _move_begin(values: npt.NDArray[np.float64]) -> int | None:
    """The row from which on the values (n,) lie elsewhere, or None: sought at the borders between ten blocks, refined
    by what lies on the other side of the gap.
    """
    for border in np.linspace(0, len(values), _PARTS + 1).astype(np.intp)[1:-1].tolist():
        (low, high), (next_low, next_high) = (np.quantile(part, _BODY) for part in np.split(values, [border]))
        if high < next_low:
            return _begin(values > (high + next_low) / 2.0, COMMON, 1.0 - COMMON)
        if next_high < low:
            return _begin(values < (next_high + low) / 2.0, COMMON, 1.0 - COMMON)
    return None


def _unit_hint(was: float, now: float) -> str:
    """What the ratio of two medians suggests."""
    if was == 0.0 or now == 0.0 or (was < 0.0) != (now < 0.0):
        return ""
    ratio = max(now / was, was / now)
    factor = next((f for f in _FACTORS if abs(ratio / f - 1.0) <= _NEAR_FACTOR), None)
    if factor is None:
        return ""
    return f"about {factor:,.0f} times {'larger' if abs(now) > abs(was) else 'smaller'}: perhaps another unit"


def _shortened(text: str) -> str:
    """A level as it is told: quoted, and cut where it is long, because it goes into logs and onto the status page."""
    return repr(text if len(text) <= _TEXT_MOST else text[: _TEXT_MOST - 1] + "…")


def _listed(texts: list[str]) -> str:
    shown = ", ".join(texts[:_SHOWN])
    return shown if len(texts) <= _SHOWN else f"{shown} and {len(texts) - _SHOWN} more"


def _time_at(times: npt.NDArray[np.int64] | None, row: int) -> int | None:
    return None if times is None else int(times[row])
