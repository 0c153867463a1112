"""The compiled scanner reads what the typed decoder reads, or leaves it alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.core.events.decode import Decoded, JsonDecoder, Limits
from worker.core.events.entity_names import PackedNames
from worker.core.events.event_time import milliseconds, stamps
from worker.core.events.json_scalar_kernel import read_number, read_time
from worker.core.events.spec import FeatureSpec

SPEC = FeatureSpec.model_validate(
    {
        "features": [
            {"field": "n", "kind": "numeric"},
            {"field": "net.bytes", "kind": "numeric"},
            {"field": "net.more.deep", "kind": "boolean"},
            {"field": "flag", "kind": "boolean"},
            {"field": "net.proto", "kind": "categorical"},
            {"field": "host", "kind": "categorical"},
            {"field": "ts", "kind": "cyclic", "period": "day"},
            {"field": "must", "kind": "categorical", "missing": "reject"},
        ],
        "entity": "host",
        "time": "at",
    }
)
PATHS = ["n", "net", "bytes", "more", "deep", "flag", "proto", "host", "ts", "must", "at", "x", "ne", ""]


def same(values: list[bytes | None], spec: FeatureSpec = SPEC, max_bytes: int = 1_000) -> None:
    decoder = JsonDecoder(spec, Limits(max_bytes=max_bytes))
    slow = decoder._by_struct(values)
    for _ in range(2):  # the second time with scalars that are known
        told(decoder.decode(values), slow)


def told(found: Decoded, slow: Decoded) -> None:
    assert found.index.tolist() == slow.index.tolist()
    assert found.rejects == slow.rejects
    assert found.tombstones == slow.tombstones
    assert found.times.tobytes() == slow.times.tobytes()
    assert found.names.all() == slow.names.all()
    assert [found.names.at(row) for row in range(len(found.index))] == slow.names.all()
    if isinstance(found.names, PackedNames):
        sizes = [-1 if name is None else len(name) for name in slow.names.all()]
        for most in (0, 3, 1_000):
            assert found.names.all_within(most) == all(0 < size <= most for size in sizes)
    for column, wanted in zip(found.columns.values, slow.columns.values, strict=True):
        assert column.dtype == wanted.dtype
        assert [repr(value) for value in column.tolist()] == [repr(value) for value in wanted.tolist()]


DIGITS = st.text("0123456789", min_size=1, max_size=21)
NUMBERS = st.builds(
    lambda sign, whole, part, power: f"{sign}{whole}{part}{power}",
    st.sampled_from(["", "", "-", "+", "--"]),
    DIGITS | st.sampled_from(["0", "", "00", "9007199254740993"]),
    st.just("") | DIGITS.map(lambda digits: f".{digits}") | st.sampled_from([".", "..1"]),
    st.just("") | st.builds(lambda e, d: f"{e}{d}", st.sampled_from(["e", "E-", "e+", "e--"]), st.integers(0, 330)),
)
TIMES = st.builds(
    lambda at, form, zone: at.strftime("%Y-%m-%dT%H:%M:%S") + form.format(at.microsecond) + zone,
    st.datetimes(datetime(1969, 1, 1), datetime(2201, 1, 1)),
    st.sampled_from(["", ".{:06d}", ".{:d}", ".{:09d}", ".", ",{:06d}"]),
    st.sampled_from(["", "Z", "z", "+00:00", "-05:30", "+23:59", "+24:00", "+0100", "+01:00:00", " ", "Z "]),
)
TEXTS = st.text(max_size=6).map(json.dumps) | st.text(max_size=6).map(lambda t: json.dumps(t, ensure_ascii=False))
SCALARS = NUMBERS | TEXTS | TIMES.map(json.dumps) | st.sampled_from(["true", "false", "null", "nul", "True", "NaN", ""])
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t\r ", "\f", "\0"])
KEYS = st.sampled_from(PATHS).map(json.dumps) | st.sampled_from(['"n', "n", '"\\u006e"', '"ä"'])


def listed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    commas = st.sampled_from([",", ",", ",", ",,", " , "])
    return st.builds(
        lambda comma, space, items: f"[{space}{comma.join(items)}]", commas, SPACE, st.lists(inner, max_size=3)
    )


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.builds(lambda key, a, b, value, c: f"{key}{a}:{b}{value}{c}", KEYS, SPACE, SPACE, inner, SPACE)
    return st.lists(member, max_size=6).map(lambda members: "{" + ",".join(members) + "}")


VALUES = st.recursive(SCALARS, lambda inner: listed(inner) | nested(inner), max_leaves=12)
GOOD = """{"n": 1.5, "net": {"bytes": 7, "proto": "tcp"}, "flag": true, "ts": "2026-01-01T06:00:00Z", "must": 1,
    "host": "a"}"""


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A record with some bytes changed, cut out or doubled."""
    text = draw(nested(SCALARS) | nested(VALUES) | st.just(GOOD))
    if draw(st.booleans()):  # else most would be rejected for its absence
        text = text.replace("{", '{"must": 1, ' if text.strip() != "{}" else '{"must": 1', 1)
    value = bytearray(text.encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"{", b"}", b"]", b",", b":", b"\n"])
        )
    return bytes(value)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.none() | mangled(), max_size=4))
@example([GOOD.encode()])
@example([b'{"must":1,"net":{"bytes":1}}', b'{"must":1,"x":{"bytes":2}}', b'{"must":1,"more":{"bytes":3}, "bytes":4}'])
@example(
    [b'{"must":1,"host":"\\u0041"}', b'{"must":1,"\\u006e":5}', b'{"must":1,"host":"a\\"","n":2}', b'{"must":"\\/"}']
)
@example(
    [b'{"must":1,"net":{"bytes":1},"net":{"proto":"x"}}', b'{"must":1,"n":1,"n":null}', b'{"must":1,"n":1}{"must":1}']
)
@example([b'{"must":' + b"[" * 20 + b"]" * 20 + b"}", b'{"must":1,"x":' + b"[" * 15 + b"]" * 15 + b"}\n\n"])
@example(
    [b'{"must":-0,"host":-0,"n":-0.0}', b'{"must":0,"host":7.0,"n":0e5}', b'{"must":1e400}', b'{"must":"1","host":1}']
)
@example([b'{"must":"' + b"x" * 1_000 + b'"}', None, b"", b'{"must":false,"host":true,"at":1e12}'])
@example(
    [b'{"must":1,"at":1e300}', b'{"must":1,"ts":-99999999999}', b'{"must":1,"at":"2026-01-01T00:00:00+', b'{"must":1']
)
def test_whatever_comes_it_is_what_the_typed_decoder_makes_of_it(values: list[bytes | None]) -> None:
    same(values)


@settings(max_examples=500, deadline=None)
@given(NUMBERS | st.floats().map(repr) | st.floats().map(lambda value: f"{value:.17g}") | st.integers().map(str))
def test_a_number_has_the_bits_that_the_typed_decoder_gives_it(written: str) -> None:
    same([f'{{"n": {written}, "must": {written}, "at": {written}}}'.encode()])


@settings(max_examples=400, deadline=None)
@given(TIMES | st.datetimes(datetime(1960, 1, 1), datetime(2300, 1, 1)).map(str))
@example("2024-02-29T00:00:00Z")
@example("2100-02-29T00:00:00Z")
@example("2023-02-29T00:00:00Z")
@example("2026-01-01T00:00:00.1234567Z")
def test_a_time_has_the_bits_that_python_gives_it(written: str) -> None:
    raw = bytearray(f'"{written}"\0'.encode())
    read = read_time(np.frombuffer(raw, np.uint8), 1, len(raw) - 2)
    assert np.isnan(read) or read * 1000.0 == milliseconds(written)
    same([f'{{"must": 1, "ts": "{written}", "at": "{written}"}}'.encode()])


def test_the_usual_forms_are_read_by_the_scanner() -> None:
    forms = ["2026-01-01T06:00:00Z", "2026-01-01 06:00:00.5", "2026-01-01T06:00:00.123456+02:00"]
    for form in forms:
        raw = bytearray(f"{form}\0".encode())
        wanted = datetime.fromisoformat(form)
        stamp = (wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)).timestamp()
        assert read_time(np.frombuffer(raw, np.uint8), 0, len(form)) == stamp
    for written in ("1", "-12.5e3", "0.1", "9007199254740992", "17.000000000000001"):
        assert read_number(np.frombuffer(bytearray(f"{written}\0".encode()), np.uint8), 0)[0] == len(written)
    scanner = JsonDecoder(SPEC, Limits())._scanner
    assert scanner is not None
    plain = [GOOD, '{"must": 0.30000000000000004, "net": {"x": [1, {"n": "t"}, []]}, "at": 1767247200.1234567}\n']
    assert scanner.scan([value.encode() for value in plain], 1_000).plain.all()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_numbers_are_stamped_as_one_by_one(values: list[float]) -> None:
    found, fine = stamps(np.array(values))
    for value, stamp, good in zip(values, found.tolist(), fine.tolist(), strict=True):
        if good:
            assert stamp == milliseconds(value)
        else:
            with pytest.raises(ValueError, match="time"):
                milliseconds(value)


def test_more_scalars_than_it_remembers_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.core.events.json_scanner._MAX_TOKENS", 8)
    monkeypatch.setattr("worker.core.events.json_scanner._MAX_INEXACT", 2)
    decoder = JsonDecoder(SPEC, Limits())
    for batch in range(20):
        values: list[Any] = [f'{{"must": "v{i % 11}", "n": 0.{i:017d}}}'.encode() for i in range(batch, 3 * batch)]
        told(decoder.decode(values), decoder._by_struct(values))


def test_a_field_read_in_two_ways_is_left_to_the_typed_decoder() -> None:
    spec = FeatureSpec.model_validate({"features": [{"field": "a", "kind": "categorical"}], "time": "a"})
    assert JsonDecoder(spec, Limits())._scanner is None
    same([b'{"a": "2026-01-01T00:00:00Z"}', b'{"a": 5}', b'{"a": "no time"}'], spec)


def test_a_path_of_empty_names_is_found() -> None:
    spec = FeatureSpec.model_validate(
        {"features": [{"field": ".a.", "kind": "numeric"}, {"field": "a", "kind": "numeric"}]}
    )
    same([b'{"": {"a": {"": 1}}, "a": 2}', b'{"a": 3}'], spec)
