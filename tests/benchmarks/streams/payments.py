"""Card payments: thirty categories of merchants fix the size of an amount, over three days."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.draws import Random, arrivals, iso, number_of, pick, pick_given, spread, with_holes

BY_HOUR = [1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 13, 14, 13, 11, 11, 12, 14, 15, 13, 10, 7, 4, 2]
TYPICAL = {
    "bakery": 6, "kiosk": 5, "coffee": 4.5, "canteen": 8, "parking": 3.5, "transit": 2.9, "cinema": 24, "pharmacy": 19,
    "grocer": 38, "supermarket": 52, "florist": 28, "books": 22, "clothes": 70, "shoes": 85, "sport": 95, "toys": 40,
    "fuel": 68, "restaurant": 47, "hotel": 260, "airline": 420, "rail": 58, "car rental": 310, "furniture": 540,
    "electronics": 330, "jeweller": 780, "dentist": 190, "garage": 370, "insurance": 115, "tuition": 950,
    "utilities": 140,
}  # fmt: skip
"""The median amount of each category of merchants."""
ONLINE_ONLY, SHOP_ONLY = ("airline", "insurance", "utilities", "tuition"), ("fuel", "bakery", "kiosk", "coffee")
RATES = {"debit": 0.002, "credit": 0.009, "business": 0.016, "prepaid": 0.012}
COUNTRIES: dict[str, dict[str, float]] = {
    "debit": {"DE": 97, "AT": 3},
    "credit": {"DE": 82, "AT": 8, "US": 6, "GB": 4},
    "business": {"DE": 90, "GB": 10},
    "prepaid": {"DE": 70, "LT": 30},
}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 3, [float(weight) for weight in BY_HOUR], "2025-06-24")
    shares = {name: 8 / (rank + 2) for rank, name in enumerate(rng.permutation(list(TYPICAL)).tolist())}
    category = pick(rng, shares, n)
    kind = pick(rng, {"debit": 62, "credit": 31, "business": 6, "prepaid": 1}, n)
    channel = pick(rng, {"chip": 35, "contactless": 42, "online": 22, "magstripe": 1}, n)
    channel[np.isin(category.astype(str), ONLINE_ONLY)] = "online"
    in_shop = np.isin(category.astype(str), SHOP_ONLY) & (channel == "online")
    channel[in_shop] = "contactless"
    magstripe = channel == "magstripe"
    kind[magstripe & (kind == "debit")] = "credit"
    amount = spread(rng, number_of(category, TYPICAL), 0.42, n).round(2)
    fee = (amount * number_of(kind, RATES) * spread(rng, 1.0, 0.03, n) + 0.04).round(3)
    can_split = (amount > 150) & (channel == "online")
    parts = np.where(can_split & (rng.random(n) < 0.3), pick(rng, {3: 70, 6: 24, 12: 6}, n), 1)
    merchant = [f"{c[:3]}-{m:02d}" for c, m in zip(category, rng.zipf(1.6, n) % 40, strict=True)]
    columns: dict[str, Any] = {
        "payment_id": [f"p{rng.integers(1 << 50):013x}" for _ in range(n)],
        "created": iso(times),
        "merchant.id": merchant,
        "merchant.category": category,
        "card.type": kind,
        "card.country": pick_given(rng, kind, COUNTRIES),
        "card.age_months": with_holes(rng, rng.integers(0, 60, n), 0.03),
        "channel": channel,
        "amount.gross": amount,
        "amount.fee": fee,
        "amount.parts": parts.astype(int),
        "risk.score": (100 * rng.beta(1.2, 14, n)).round(),
        "auth.ms": spread(rng, np.where(channel == "online", 900.0, 240.0), 0.2, n).round(),
        "auth.pin": channel == "chip",
        "auth.approved": rng.random(n) < 0.97,
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    return [nested(event) for event in events], truth


def kinds() -> list[Kind]:
    """What is planted."""
    small = ("bakery", "kiosk", "coffee", "canteen", "parking", "transit")

    def far_out(event: Flat, _: Flat, rng: Random) -> None:
        _pay(event, float(rng.uniform(15_000, 60_000)))

    def of_another(event: Flat, _: Flat, rng: Random) -> None:
        _pay(event, float(rng.uniform(180, 420)))

    def fee(event: Flat, _: Flat, rng: Random) -> None:
        event["amount.fee"] = round(event["amount.fee"] * float(rng.uniform(8, 12)), 3)

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["merchant.category"] = str(rng.choice(["casino", "crypto exchange"]))

    def mismatch(event: Flat, _: Flat, rng: Random) -> None:
        event["channel"] = "online"

    def stripe(event: Flat, _: Flat, rng: Random) -> None:
        event["channel"] = "magstripe"

    def split(event: Flat, _: Flat, rng: Random) -> None:
        event["amount.parts"] = int(rng.integers(36, 61))

    def waits(event: Flat, _: Flat, rng: Random) -> None:
        event["auth.ms"] = float(round(event["auth.ms"] * float(rng.uniform(3.5, 5.0))))

    return [
        Kind("amount far out", far_out),
        Kind("amount of another category", of_another, lambda e: e["merchant.category"] in small),
        Kind("fee does not follow the amount", fee, lambda e: 20 < e["amount.gross"] < 200),
        Kind("unseen category", unseen),
        Kind("category that is never sold online", mismatch, lambda e: e["merchant.category"] in SHOP_ONLY),
        Kind("rare channel never seen with the card", stripe, lambda e: e["card.type"] == "debit"),
        Kind("many parts", split),
        Kind("authorization moderately slow", waits, lambda e: e["channel"] != "online"),
    ]


def _pay(event: Flat, amount: float) -> None:
    """Another amount, with the fee that belongs to it."""
    event["amount.gross"] = round(amount, 2)
    event["amount.fee"] = round(amount * RATES[event["card.type"]] + 0.04, 3)
