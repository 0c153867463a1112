"""Every rejected record has a code, which labels a metric, and reasons for a person."""

from __future__ import annotations

from typing import get_args

import pytest

from worker.core.events.decode import decoder_for
from worker.core.events.rejects import Limits, Reject, RejectCode, reject
from worker.core.events.spec import FeatureSpec

LIMITS = Limits(max_bytes=40, max_depth=3)
KINDS = {"n": "numeric", "net.up": "boolean", "at": "time", "host": "entity"}
FIELDS = ("n: text where a number is expected", "net: a number where an object is expected")
CASES: list[tuple[bytes, RejectCode, tuple[str, ...]]] = [
    (b'"' + b"x" * 39 + b'"', "too_large", ("too large: 41 bytes, the limit is 40",)),
    (b" \n", "empty", ("empty",)),
    (b'{"x": [[[]]]}', "too_deep", ("nested deeper than 3",)),
    (b'{"n": "\xff"}', "not_utf8", ("not UTF-8",)),
    (b'{"n": }', "not_json", ("not JSON: JSON is malformed: invalid character (byte 6)",)),
    (b"[1]", "not_an_object", ("not a JSON object but a list",)),
    (
        b'{"n": "1", "net": 5}',
        "field",
        FIELDS,
    ),
]


@pytest.mark.parametrize(("value", "code", "reasons"), CASES, ids=[code for _, code, _ in CASES])
def test_a_record_is_rejected_by_the_first_thing_that_is_wrong(
    value: bytes, code: RejectCode, reasons: tuple[str, ...]
) -> None:
    assert reject(7, value, ValueError("refused"), KINDS, LIMITS) == Reject(7, code, reasons)


def test_there_is_a_case_for_each_code() -> None:
    assert {code for _, code, _ in CASES} == set(get_args(RejectCode))


def test_without_a_fault_of_its_own_a_record_has_the_decoders_reason() -> None:
    assert reject(0, b'{"n": 1}', ValueError("refused"), KINDS, LIMITS).reasons == ("not readable: refused",)


def test_brackets_in_strings_do_not_nest() -> None:
    assert reject(0, b'{"n": "[[[[\\"[["}', ValueError(), KINDS, LIMITS).code == "field"


@pytest.mark.parametrize("values", [[b"{}"], [b'{"x": "\xc3\xa4"}', b"{}", b'{"empty": 1}']])
def test_a_field_with_the_name_of_a_code_is_a_field(values: list[bytes]) -> None:
    spec = FeatureSpec.model_validate({"features": [{"field": "empty", "kind": "numeric", "missing": "reject"}]})
    for rejected in decoder_for("json", spec, Limits()).decode(values).rejects:
        assert (rejected.code, rejected.reasons) == ("field", ("empty: missing",))
