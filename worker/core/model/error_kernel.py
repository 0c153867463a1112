"""From what the models computed to nats per feature and one error per row, compiled: each row by itself, in one order,
so that its bits do not depend on its neighbours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worker.core.compiled import compiled

START, WIDTH, CODE, OUT, OWN, UNSEEN = range(6)
"""Columns of a table of features: where a feature's columns of x begin and how many they are, its place among the codes
(-1 for a number or time), where its reconstruction begins among the values or the logits and its residuals among all,
and the level that training never shows (-1 for none).
"""
PART_MOST = 50.0
"""Most that one feature can add to an error, in nats: ten standard deviations, the clip of the inputs."""
LEAST_PROBABILITY = 0.005
LEAST = 1e-3
"""Nats per feature; below it, a member says nothing more about a row's being normal."""
LOGIT_BOUND = 30.0
_MOST, _RAREST, _HALF, _NONE = np.float32(PART_MOST), np.float32(LEAST_PROBABILITY), np.float32(0.5), np.float32(0.0)
_ONE, _UNSEEN_RARITY = np.float32(1.0), np.float32(1_000.0)


@compiled("void(f4[:,::1], i8[:,::1], f4[:,::1], f4[:,::1], i8[:,::1], f4[:,::1])")
def network_parts(x: Any, codes: Any, values: Any, odds: Any, features: Any, parts: Any) -> None:
    """Half the squared error of numbers and times, -log likelihood of categories: to `parts` (n, F), from 0 to
    `PART_MOST`. `x` (n, inputs), `codes` (n, C); of the reconstruction, at least n rows, the `values` of numbers and
    times, and the exponentials of categories' logits, `odds`.
    """
    for row in range(len(x)):
        for f in range(len(features)):
            at, width = features[f, OUT], features[f, WIDTH]
            part: Any = _NONE
            if features[f, CODE] < 0:
                for k in range(width):
                    off = values[row, at + k] - x[row, features[f, START] + k]
                    part += _HALF * off * off
            elif codes[row, features[f, CODE]] == features[f, UNSEEN]:
                # An unseen level is as unlikely as one seen once in a thousand rows, shared among the levels.
                part = math.log(_UNSEEN_RARITY * np.float32(width))
            else:
                total = _NONE
                for k in range(width):
                    total += odds[row, at + k]
                part = math.log(total / odds[row, at + codes[row, features[f, CODE]]])
            parts[row, f] = min(max(part, _NONE), _MOST)


@compiled("void(i8[:,::1], f4[:,::1], f4[::1], i8[:,::1], f4[:,::1])")
def residual_parts(codes: Any, residuals: Any, weight: Any, features: Any, parts: Any) -> None:
    """Weighted squares of numbers' and times' residuals, -log of a category's probability: to `parts` (n, F), from 0 to
    `PART_MOST`. `residuals` (at least n, own columns), `weight` (own columns,).
    """
    for row in range(len(parts)):
        for f in range(len(features)):
            at = features[f, OWN]
            part: Any = _NONE
            if features[f, CODE] < 0:
                for k in range(at, at + features[f, WIDTH]):
                    part += weight[k] * residuals[row, k] * residuals[row, k]
            else:
                observed = _ONE - residuals[row, at + codes[row, features[f, CODE]]]
                part = -math.log(min(max(observed, _RAREST), _ONE))
            parts[row, f] = min(max(part, _NONE), _MOST)


@compiled("void(f4[:,:,::1], b1[:,::1], i8[:,::1], f8[::1], f4[:,::1], f4[::1])")
def fuse(parts: Any, missing: Any, features: Any, exponents: Any, members: Any, errors: Any) -> None:
    """`parts` (M, n, F) of M members, the last of which judges missing values: their means over the features to
    `members` (n, M), and the means' weighted geometric mean to `errors` (n,). Parts of the other members are set to 0
    where a number or time is missing: there is nothing to compare.
    """
    count = parts.shape[0]
    for row in range(len(errors)):
        logs = 0.0
        for m in range(count):
            total = 0.0
            for f in range(len(features)):
                if m < count - 1 and missing[row, f] and features[f, CODE] < 0:
                    parts[m, row, f] = _NONE
                total += parts[m, row, f]
            member = max(total / len(features), LEAST)
            members[row, m] = member
            logs += exponents[m] * math.log(member)
        errors[row] = math.exp(logs)
