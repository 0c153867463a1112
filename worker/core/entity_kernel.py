"""The sequential part of entity statistics, compiled: one pass over a batch, record by record, without Python objects.

An entity's records follow one another inside a batch too, so this cannot be vectorised; in Python it would be the
slowest part of the data path by far.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.compiled import compiled

HEAD, TAIL, USED, FREE, EVICTED, LATE = range(6)
"""Places in `meta`: oldest and newest slot, live slots, slots on the free stack, and this batch's counts."""
WARM = 8
"""Values of an entity before its own deviation is trusted: to clip with, and to compare with."""
CLIP_DEVIATIONS = 5.0
FORGOTTEN = 1e-12
"""Weight of the past below which it is dropped: 40 half-lives."""
_RELATIVE_FLOOR = 1e-3
_TINY = 1e-9


@compiled("void(i8[::1], i8[::1], i8[::1], i8)", inline=True)
def _unlink(before: Any, after: Any, meta: Any, slot: int) -> None:
    if before[slot] >= 0:
        after[before[slot]] = after[slot]
    else:
        meta[HEAD] = after[slot]
    if after[slot] >= 0:
        before[after[slot]] = before[slot]
    else:
        meta[TAIL] = before[slot]


@compiled("void(i8[::1], i8[::1], i8[::1], i8)", inline=True)
def _append(before: Any, after: Any, meta: Any, slot: int) -> None:
    before[slot] = meta[TAIL]
    after[slot] = -1
    if meta[TAIL] >= 0:
        after[meta[TAIL]] = slot
    else:
        meta[HEAD] = slot
    meta[TAIL] = slot


@compiled("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1])", inline=True)
def _evict(before: Any, after: Any, meta: Any, free: Any, code_of: Any, slot_of: Any, last_offset: Any,
           evicted: Any) -> None:  # fmt: skip
    slot = meta[HEAD]
    _unlink(before, after, meta, slot)
    if code_of[slot] >= 0:
        slot_of[code_of[slot]] = -1
        code_of[slot] = -1
    last_offset[slot] = -1
    free[meta[FREE]] = slot
    meta[FREE] += 1
    meta[USED] -= 1
    evicted[meta[EVICTED]] = slot
    meta[EVICTED] += 1


@compiled("void(f8[::1], f8[::1], f8[::1], i8[::1], i8, f8, f8, f8[::1], f8[::1], f8[::1])", inline=True)
def _learn(weight: Any, mean: Any, m2: Any, seen: Any, r: int, x: float, share: float,
           mean_out: Any, deviation_out: Any, change_out: Any) -> None:  # fmt: skip
    """One value of one rate: what was known before it, then the update (West, CACM 22(9), 1979, with weights)."""
    if weight[r] < FORGOTTEN:
        weight[r] = mean[r] = m2[r] = 0.0
        seen[r] = 0
    deviation = math.sqrt(m2[r] / weight[r]) if seen[r] >= 2 else math.nan
    floored = max(deviation, _RELATIVE_FLOOR * abs(mean[r]), _TINY) if seen[r] >= 2 else math.nan
    mean_out[r] = mean[r] if seen[r] >= 1 else math.nan
    deviation_out[r] = deviation
    change_out[r] = (x - mean[r]) / floored if seen[r] >= WARM else math.nan
    if math.isnan(x):
        return
    if seen[r] >= WARM:
        most = CLIP_DEVIATIONS * floored
        x = min(max(x, mean[r] - most), mean[r] + most)
    weight[r] += share
    delta = x - mean[r]
    mean[r] += share / weight[r] * delta
    m2[r] += share * delta * (x - mean[r])
    seen[r] += 1


@compiled("i8(i8[::1], i8, i8[::1], i8[::1], i8[::1])")
def number(slots: Any, newcomers: int, code_of: Any, codes: Any, slot_of: Any) -> Any:
    """Number the entities of a batch, and return how many they are.

    `slots` (n,) of those known, -1 - k for the newcomer k, whose number is k. To `codes` (n,) goes each record's
    entity, to `slot_of` (at least entities,) its slot, -1 for newcomers, to `code_of` (slots,) the inverse.
    """
    count = newcomers
    slot_of[:newcomers] = -1
    for i in range(len(slots)):
        slot = slots[i]
        if slot < 0:
            codes[i] = -1 - slot
            continue
        if code_of[slot] < 0:
            code_of[slot] = count
            slot_of[count] = slot
            count += 1
        codes[i] = code_of[slot]
    return count


@compiled(
    "void(i8[::1], i8[::1], i8[::1], i8[::1], f8[:,::1], f8[::1], i8[::1], i8, i8,"
    "i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1],"
    "i8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1],"
    "b1[::1], f8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1])"
)
def advance(
    codes: Any, times: Any, clock: Any, offsets: Any, values: Any, half_lives: Any, half_life_of: Any,
    capacity: int, idle_ms: int,
    slot_of: Any, code_of: Any, before: Any, after: Any, free: Any, evicted: Any, meta: Any, last_time: Any,
    last_clock: Any, last_offset: Any,
    seen: Any, count: Any, weight: Any, mean: Any, m2: Any,
    fresh: Any, gap: Any, count_out: Any, mean_out: Any, deviation_out: Any, change_out: Any,
) -> None:  # fmt: skip
    """Fold n records in order into the slots' state; the `*_out` arrays get what was known before each.

    `codes` (n,) number the entities of this batch, `slot_of` (codes,) their slots or -1, `code_of` (slots,) the
    inverse; both are kept true while entities are evicted and come back. `free` is a stack of free slots, `evicted`
    (live slots + n,) gets those that were evicted, in order.
    """
    meta[EVICTED] = 0
    meta[LATE] = 0
    decay = np.empty(len(half_lives))
    for i in range(len(codes)):
        while meta[HEAD] >= 0 and last_clock[meta[HEAD]] < clock[i] - idle_ms:
            _evict(before, after, meta, free, code_of, slot_of, last_offset, evicted)
        slot = slot_of[codes[i]]
        fresh[i] = slot < 0
        if slot < 0:
            if meta[USED] >= capacity:
                _evict(before, after, meta, free, code_of, slot_of, last_offset, evicted)
            meta[FREE] -= 1
            meta[USED] += 1
            slot = free[meta[FREE]]
            slot_of[codes[i]] = slot
            code_of[slot] = codes[i]
            last_time[slot] = times[i]
            count[slot] = 0.0
            weight[slot] = 0.0
            mean[slot] = 0.0
            m2[slot] = 0.0
            seen[slot] = 0
            gap[i] = math.nan
        else:
            _unlink(before, after, meta, slot)
            gap[i] = max(times[i] - last_time[slot], 0) / 1000.0
        _append(before, after, meta, slot)
        last_clock[slot] = clock[i]
        last_offset[slot] = offsets[i]
        behind = last_time[slot] - times[i]
        if behind > 0:
            meta[LATE] += 1
        else:
            last_time[slot] = times[i]
        for h in range(len(half_lives)):
            # A late record changes nothing about now; it weighs what it would weigh had it come in time.
            decay[h] = 2.0 ** (-abs(behind) / half_lives[h])
            share = decay[h] if behind > 0 else 1.0
            if behind < 0:
                count[slot, h] *= decay[h]
            count_out[i, h] = count[slot, h]
            count[slot, h] += share
        for r in range(len(half_life_of)):
            factor = decay[half_life_of[r]]
            share = factor if behind > 0 else 1.0
            if behind < 0:
                weight[slot, r] *= factor
                m2[slot, r] *= factor
            _learn(weight[slot], mean[slot], m2[slot], seen[slot], r, values[i, r], share,
                   mean_out[i], deviation_out[i], change_out[i])  # fmt: skip


def idle_arrays(slots: int, rates: int, half_lives: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of so many free slots, by name."""
    return {
        "code_of": np.full(slots, -1, np.int64),
        "before": np.full(slots, -1, np.int64),
        "after": np.full(slots, -1, np.int64),
        "last_time": np.zeros(slots, np.int64),
        "last_clock": np.zeros(slots, np.int64),
        "last_offset": np.full(slots, -1, np.int64),
        "seen": np.zeros((slots, rates), np.int64),
        "count": np.zeros((slots, half_lives)),
        "weight": np.zeros((slots, rates)),
        "mean": np.zeros((slots, rates)),
        "m2": np.zeros((slots, rates)),
    }
