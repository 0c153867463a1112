"""Clicks on advertisements of thirty campaigns, over one day."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.draws import Random, arrivals, heavy, number_of, pick, pick_given, spread, with_holes

BY_HOUR = [5.0, 3, 2, 1, 1, 2, 4, 6, 7, 8, 8, 9, 10, 9, 9, 9, 10, 11, 13, 15, 16, 15, 12, 8]
SITES: dict[str, dict[str, float]] = {
    "display": {"news": 45, "recipes": 25, "weather": 22, "forum": 8},
    "video": {"clips": 85, "news": 14, "lectures": 1},
    "search": {"finder": 100},
    "native": {"news": 60, "forum": 30, "recipes": 10},
}
DEVICES: dict[str, dict[str, float]] = {
    "phone": {"Android": 62, "iOS": 38},
    "tablet": {"iOS": 75, "Android": 25},
    "desktop": {"Windows": 76, "macOS": 20, "Linux": 4},
    "tv": {"TvOS": 60, "webOS": 40},
}
WIDTHS = {"phone": 390.0, "tablet": 820.0, "desktop": 1_680.0, "tv": 3_840.0}
LANGUAGES: dict[str, dict[str, float]] = {
    "DE": {"de": 93, "en": 6, "tr": 1},
    "FR": {"fr": 95, "en": 5},
    "PL": {"pl": 97, "en": 3},
    "CH": {"de": 62, "fr": 30, "it": 8},
    "LU": {"fr": 80, "de": 20},
}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 1, BY_HOUR, "2025-12-02")
    number = np.minimum(rng.zipf(1.35, n) - 1, 29)
    price = np.exp(np.linspace(np.log(0.03), np.log(9.0), 30))[rng.permutation(30)]
    form = pick(rng, {"search": 40, "display": 34, "native": 18, "video": 8}, n)
    device = pick(rng, {"phone": 60, "desktop": 31, "tablet": 8.5}, n)
    device[(form == "video") & (rng.random(n) < 0.1)] = "tv"
    country = pick(rng, {"DE": 60, "FR": 22, "PL": 13, "CH": 4.6, "LU": 0.4}, n)
    bid = price[number] * spread(rng, 1.0, 0.12, n)
    cost = bid * rng.beta(40, 8, n)
    pages = np.minimum(rng.geometric(0.45, n), 15)
    stay = pages * heavy(rng, 17.0, 0.35, n)
    shown = spread(rng, number_of(device, WIDTHS), 0.05, n)
    columns: dict[str, Any] = {
        "click_id": [f"{rng.integers(1 << 62):016x}" for _ in range(n)],
        "t": (times / 1000).round(3),
        "campaign": [f"c{c:02d}" for c in number],
        "ad.format": form,
        "ad.bid": bid.round(4),
        "ad.cost": cost.round(4),
        "ad.signed": np.ones(n, bool),
        "site.kind": pick_given(rng, form, SITES),
        "user.country": country,
        "user.language": pick_given(rng, country, LANGUAGES),
        "user.clicks_last_minute": 1 + rng.poisson(0.08, n),
        "device.type": device,
        "device.os": pick_given(rng, device, DEVICES),
        "device.width": shown.round(),
        "visit.pages": pages,
        "visit.seconds": with_holes(rng, stay.round(1), 0.06),
        "visit.ms_to_click": spread(rng, np.where(form == "video", 9_000.0, 2_600.0), 0.4, n).round(),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(price), rng)
    return [nested(event) for event in events], truth


def kinds(price: Any = None) -> list[Kind]:
    """What is planted, given the ordinary price of each campaign."""

    def cheap(event: Flat) -> bool:
        return price is not None and price[int(event["campaign"][1:])] < 0.5

    def bids(event: Flat, _: Flat, rng: Random) -> None:
        event["ad.bid"] = round(float(rng.uniform(4, 8)), 4)
        event["ad.cost"] = round(event["ad.bid"] * 0.83, 4)

    def costs(event: Flat, _: Flat, rng: Random) -> None:
        event["ad.cost"] = round(event["ad.bid"] * float(rng.uniform(2.5, 5.0)), 4)

    def floods(event: Flat, _: Flat, rng: Random) -> None:
        event["user.clicks_last_minute"] = int(rng.integers(12, 60))

    def width(event: Flat, _: Flat, rng: Random) -> None:
        event["device.width"] = float(rng.integers(1_500, 1_900))

    def system(event: Flat, _: Flat, rng: Random) -> None:
        event["device.os"] = "Windows"

    def speaks(event: Flat, _: Flat, rng: Random) -> None:
        event["user.language"] = "it"

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["site.kind"] = str(rng.choice(["parked", "toolbar"]))

    def unsigned(event: Flat, _: Flat, rng: Random) -> None:
        event["ad.signed"] = False

    def at_once(event: Flat, _: Flat, rng: Random) -> None:
        event["visit.ms_to_click"] = float(rng.integers(40, 130))

    phone = Kind("width wrong for the device", width, lambda e: e["device.type"] == "phone")
    return [
        Kind("bid wrong for the campaign", bids, cheap),
        Kind("cost above the bid", costs),
        Kind("many clicks in a minute", floods),
        phone,
        Kind("system never seen on the device", system, lambda e: e["device.type"] in ("phone", "tablet")),
        Kind("rare language never seen in the country", speaks, lambda e: e["user.country"] in ("DE", "PL", "FR")),
        Kind("unseen kind of site", unseen),
        Kind("not signed", unsigned),
        Kind("clicked moderately fast", at_once),
    ]
