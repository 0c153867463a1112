"""Records to columns: every value ends up in exactly one place, every bad field has its reason, nothing raises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.events.decode import JsonDecoder, Limits, decoder_for
from worker.core.events.spec import FeatureSpec

SPEC = FeatureSpec.model_validate(
    {
        "features": [
            {"field": "n", "kind": "numeric"},
            {"field": "net.bytes", "kind": "numeric"},
            {"field": "flag", "kind": "boolean"},
            {"field": "net.proto", "kind": "categorical"},
            {"field": "ts", "kind": "cyclic", "period": "day"},
            {"field": "must", "kind": "numeric", "missing": "reject"},
        ],
        "entity": "host",
        "time": "ts",
    }
)
GOOD = {
    "n": 1.5,
    "net": {"bytes": 7, "proto": "tcp"},
    "flag": True,
    "ts": "2026-01-01T06:00:00Z",
    "must": 1,
    "host": "a",
}


def decoder() -> JsonDecoder:
    made = decoder_for("json", SPEC, Limits())
    assert isinstance(made, JsonDecoder)
    return made


def one(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_a_good_record_becomes_a_row() -> None:
    decoded = decoder().decode([one()])
    n, size, flag, proto, ts, must = decoded.columns.values
    assert (n[0], size[0], flag[0], proto[0], must[0]) == (1.5, 7.0, 1.0, "tcp", 1.0)
    assert ts[0] == 1_767_247_200.0
    assert decoded.times[0] == 1_767_247_200_000.0
    assert decoded.names.at(0) == "a"
    assert not decoded.rejects


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]", "not a JSON object but a list"),
        (b"3", "not a JSON object but a number"),
        (b"[" * 10_000, "nested deeper than 64"),
        (b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested deeper than 64"),
        (b'{"n": 1e400}', "not JSON: Number out of range"),
        (b'{"n": NaN}', "not JSON"),
        (b'{"n": Infinity}', "not JSON"),
        (b'{"n": ' + b"9" * 400 + b"}", "n: a number out of range"),
        (b"x" * 1_000_001, "too large: 1000001 bytes, the limit is 1000000"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (one(n="12"), "n: text where a number is expected"),
        (one(n=True), "n: true or false where a number is expected"),
        (one(flag=1), "flag: a number where true or false is expected"),
        (one(net=5), "net: a number where an object is expected"),
        (one(net=None), "net: null where an object is expected"),
        (one(net={"proto": ["tcp"]}), "net.proto: a list where a single value is expected"),
        (one(ts="yesterday"), "ts: not a time in ISO 8601"),
        (one(must=None), "must: missing"),
        (one(host={"name": 1}), "host: an object where a single value is expected"),
    ],
)
def test_a_bad_record_is_a_reject_with_its_reason(value: bytes, reason: str) -> None:
    decoded = decoder().decode([one(), value, one()])
    assert decoded.index.tolist() == [0, 2]
    assert [reject.index for reject in decoded.rejects] == [1]
    assert any(text.startswith(reason) for text in decoded.rejects[0].reasons), decoded.rejects[0].reasons


@pytest.mark.parametrize("kind", [{"kind": "rate", "half_life": "60s"}, {"kind": "delta"}, {"kind": "unchanged"}])
def test_a_feature_of_a_numbers_past_reads_numbers_alone(kind: dict[str, str]) -> None:
    features = [{"field": "n", **kind}, {"field": "n", "kind": "numeric"}]
    spec = FeatureSpec.model_validate({"features": features, "entity": "host"})
    values = [b'{"n": 1.5}', b'{"n": "on"}', b'{"n": null}', b'{"n": true}']
    decoded = decoder_for("json", spec, Limits()).decode(values)
    for column in decoded.columns.values:
        np.testing.assert_array_equal(column, [1.5, np.nan])
    assert [reject.reasons for reject in decoded.rejects] == [
        ("n: text where a number is expected",),
        ("n: true or false where a number is expected",),
    ]
    words = FeatureSpec.model_validate({"features": [features[0], {"field": "n", "kind": "categorical"}]})
    with pytest.raises(ValueError, match=f"n: cannot be read as {kind['kind']} and as categorical at once"):
        decoder_for("json", words, Limits())


def test_each_field_gives_its_own_reason() -> None:
    (reject,) = decoder().decode([one(n="x", flag="y", net={"proto": {}})]).rejects
    assert [reason.split(":")[0] for reason in reject.reasons] == ["n", "flag", "net.proto"]


def test_missing_and_null_are_missing_and_tombstones_are_counted() -> None:
    decoded = decoder().decode([b'{"must": 1}', one(n=None, flag=None), None])
    assert np.isnan(decoded.columns.values[0]).tolist() == [True, True]
    assert np.isnan(decoded.columns.values[2]).tolist() == [True, True]
    assert decoded.columns.values[3][0] is None
    assert np.isnan(decoded.times[0])
    assert decoded.names.at(0) is None
    assert decoded.tombstones == 1


def test_numbers_as_times_are_seconds_or_milliseconds() -> None:
    decoded = decoder().decode([one(ts=1_767_247_200), one(ts=1_767_247_200_000)])
    assert decoded.times.tolist() == [1_767_247_200_000.0] * 2


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner, max_size=4),
    max_leaves=8,
)
VALUES = st.lists(
    st.none() | st.binary(max_size=12) | JSON.map(lambda plain: json.dumps(plain).encode()) | st.just(one()),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(0, 12))
def test_anything_is_decoded_rejected_or_skipped_whatever_the_batches(values: list[bytes | None], cut: int) -> None:
    whole = decoder().decode(values)
    found = sorted([*whole.index.tolist(), *(reject.index for reject in whole.rejects)])
    assert found == [i for i, value in enumerate(values) if value is not None]
    assert whole.tombstones == values.count(None)
    assert all(reject.reasons for reject in whole.rejects)
    halves = [decoder().decode(values[:cut]), decoder().decode(values[cut:])]
    assert [*halves[0].index, *(i + min(cut, len(values)) for i in halves[1].index)] == whole.index.tolist()
    for i, column in enumerate(whole.columns.values):
        joined = np.concatenate([half.columns.values[i] for half in halves])
        assert [repr(value) for value in joined] == [repr(value) for value in column]


def test_contradicting_paths_are_refused() -> None:
    spec = SPEC.model_copy(update={"entity": "net"})
    with pytest.raises(ValueError, match=r"net is used as a value and, in net\.bytes, as an object"):
        decoder_for("json", spec, Limits())
