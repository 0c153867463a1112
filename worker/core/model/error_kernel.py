"""Errors per feature in nats and one error per row, compiled. Each row is computed by itself and in one order, so that
its bits do not depend on the other rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worker.core.compiled import Flags, Floats, Floats32, Ints, compiled

# Columns of the table of features, (F, 6) int64.
START = 0  # where the feature's columns of x begin
WIDTH = 1  # how many they are
CODE = 2  # its place among the codes, -1 for a number or time
OUT = 3  # where its reconstruction begins, among the values or among the logits
OWN = 4  # where its residuals begin
UNSEEN = 5  # the level that training never shows, -1 for none
PART_MOST = 50.0
"""The most that one feature adds to an error, in nats: ten standard deviations, at which inputs are clipped."""
LEAST_PROBABILITY = 0.005
LEAST = 1e-3
"""The least error of a member, in nats per feature: below it, all rows are equally normal."""
LOGIT_BOUND = 80.0
_MOST, _RAREST, _HALF, _NONE = np.float32(PART_MOST), np.float32(LEAST_PROBABILITY), np.float32(0.5), np.float32(0.0)
_ONE, _UNSEEN_RARITY = np.float32(1.0), np.float32(1_000.0)


@compiled("void(f4[:,::1], i8[:,::1], f4[:,::1], f4[:,::1], i8[:,::1], f4[:,::1])")
def network_parts(
    x: Floats32, codes: Ints, values: Floats32, odds: Floats32, features: Ints, feature_errors: Floats32
) -> None:
    """The autoencoder's errors to `feature_errors` (n, F), from 0 to `PART_MOST`: half the squared error of numbers and
    times, -log likelihood of categories.

    `x` (n, inputs) and `codes` (n, C) are the rows; `values` of numbers and times and `odds`, the exponentials of the
    categories' logits, are their reconstruction (at least n rows).
    """
    for row in range(len(x)):
        for f in range(len(features)):
            at, width = features[f, OUT], features[f, WIDTH]
            error: Any = _NONE
            if features[f, CODE] < 0:
                for k in range(width):
                    off = values[row, at + k] - x[row, features[f, START] + k]
                    error += _HALF * off * off
            elif codes[row, features[f, CODE]] == features[f, UNSEEN]:
                # An unseen level is as unlikely as one seen once in a thousand rows, spread over all levels.
                error = math.log(_UNSEEN_RARITY * np.float32(width))
            else:
                total = _NONE
                for k in range(width):
                    total += odds[row, at + k]
                error = math.log(total / odds[row, at + codes[row, features[f, CODE]]])
            feature_errors[row, f] = min(max(error, _NONE), _MOST)


@compiled("void(i8[:,::1], f4[:,::1], f4[::1], i8[:,::1], f4[:,::1])")
def residual_parts(
    codes: Ints, residuals: Floats32, weight: Floats32, features: Ints, feature_errors: Floats32
) -> None:
    """The conditional errors to `feature_errors` (n, F), from 0 to `PART_MOST`: weighted squares of the residuals of
    numbers and times, -log of a category's probability.

    `codes` (n, C), `residuals` (at least n, own columns), `weight` (own columns,).
    """
    for row in range(len(feature_errors)):
        for f in range(len(features)):
            at = features[f, OWN]
            error: Any = _NONE
            if features[f, CODE] < 0:
                for k in range(at, at + features[f, WIDTH]):
                    error += weight[k] * residuals[row, k] * residuals[row, k]
            else:
                observed = _ONE - residuals[row, at + codes[row, features[f, CODE]]]
                error = -math.log(min(max(observed, _RAREST), _ONE))
            feature_errors[row, f] = min(max(error, _NONE), _MOST)


@compiled("void(f4[:,:,::1], b1[:,::1], i8[:,::1], f8[::1], f4[:,::1], f4[::1])")
def fuse(
    feature_errors: Floats32, missing: Flags, features: Ints, exponents: Floats, members: Floats32, errors: Floats32
) -> None:
    """Fuse the errors of M members: their means over the features to `members` (n, M), and the weighted geometric mean
    of these means, with the weights `exponents` (M,), to `errors` (n,).

    Only the last member scores missing values: those of the others in `feature_errors` (M, n, F) are set to 0 where a
    number or time is `missing` (n, F), since there is nothing to compare.
    """
    count = feature_errors.shape[0]
    for row in range(len(errors)):
        logs = 0.0
        for m in range(count):
            total = 0.0
            for f in range(len(features)):
                if m < count - 1 and missing[row, f] and features[f, CODE] < 0:
                    feature_errors[m, row, f] = _NONE
                total += feature_errors[m, row, f]
            member = max(total / len(features), LEAST)
            members[row, m] = member
            logs += exponents[m] * math.log(member)
        errors[row] = math.exp(logs)
