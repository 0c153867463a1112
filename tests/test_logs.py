"""Logging: one JSON object per line, with stream and instance, and no secret wherever one could be."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from worker import logs
from worker.logs import HIDDEN, redact_secrets

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    kept = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.configure(**kept)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def lines(output: io.StringIO) -> Lines:
    logs.configure("info", stream="flows", instance="pod-1", output=output)
    return lambda: [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_stream_and_instance(lines: Lines) -> None:
    structlog.get_logger().info("batch", records=5_000, share=0.25, text="a\nb")
    [line] = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "batch",
        "level": "info",
        "stream": "flows",
        "instance": "pod-1",
        "records": 5_000,
        "share": 0.25,
        "text": "a\nb",
    }


def test_below_the_level_nothing_is_written(lines: Lines) -> None:
    structlog.get_logger().debug("quiet")
    structlog.get_logger().warning("heard")
    assert [line["event"] for line in lines()] == ["heard"]


def test_an_event_may_name_its_own_stream(lines: Lines) -> None:
    structlog.get_logger().info("other", stream="payments")
    assert lines()[0]["stream"] == "payments"


def test_values_of_any_kind_are_readable_json(lines: Lines) -> None:
    structlog.get_logger().info("odd", nan=float("nan"), n=np.int64(3), raw=b"\xff", nested={1: (None, True)})
    [line] = lines()
    assert (line["nan"], line["n"], line["raw"]) == ("nan", "3", "b'\\xff'")
    assert line["nested"] == {"1": [None, True]}


def test_the_standard_librarys_loggers_come_out_the_same_way(lines: Lines) -> None:
    logging.getLogger("redis").warning("cannot reach %s", "redis://u:hunter2@host/0")
    logging.getLogger("redis").info("chatter")
    [line] = lines()
    assert line["event"] == f"cannot reach redis://{HIDDEN}@host/0"
    assert (line["level"], line["instance"]) == ("warning", "pod-1")


@pytest.mark.parametrize("foreign", [False, True])
def test_a_traceback_is_kept_without_its_secrets(lines: Lines, foreign: bool) -> None:
    log: Any = logging.getLogger("x") if foreign else structlog.get_logger()
    try:
        raise ValueError("refused: sasl.password=hunter2, host=h")
    except ValueError:
        log.exception("failed")
    [line] = lines()
    assert "ValueError: refused: sasl.password=***, host=h" in line["exception"]
    assert "Traceback" in line["exception"]


def test_an_unknown_level_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="'loud'; allowed: debug, info, warning, error"):
        logs.configure("loud", stream="s", instance="i")


def test_a_terminal_gets_plain_lines(output: io.StringIO) -> None:
    logs.configure("info", stream="flows", instance="pod-1", output=output, as_json=False)
    structlog.get_logger().info("ready", password="hunter2")
    assert output.getvalue().count("\n") == 1
    assert "ready" in output.getvalue()
    assert "hunter2" not in output.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(output.getvalue())


def redact(**event: Any) -> Any:
    return redact_secrets(None, "info", event)


@pytest.mark.parametrize(
    "name",
    ["password", "sasl.password", "SSL_KEY_PASSWORD", "client_secret", "api_key", "auth_token", "hmac_key"],
)
def test_the_value_of_a_secret_name_is_hidden_at_any_depth(name: str) -> None:
    assert redact(**{name: "hunter2"}) == {name: HIDDEN}
    assert redact(kafka=[{name: ["hunter2"]}]) == {"kafka": [{name: HIDDEN}]}
    assert redact(**{name: None}) == {name: None}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://user:hu@nter2@host", "rediss://***@host"),
        ("tried http://a:hunter2@x and http://b:hunter2@y", "tried http://***@x and http://***@y"),
        ("{'sasl.password': 'hunter2', 'a': 1}", "{'sasl.password': ***, 'a': 1}"),
        ('{"client_secret": "hunter2 hunter2"}', '{"client_secret": ***}'),
        ("?token=hunter2&x=1", "?token=***&x=1"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("api-key = hunter2", "api-key = ***"),
        ('secret="hun\\"ter2" x', "secret=*** x"),
        ("secret='hun'ter2 x", "secret=*** x"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("mail me@host about http://host/a@b", "mail me@host about http://host/a@b"),
        ("the key of entity 10.0.0.7 at 12:00", "the key of entity 10.0.0.7 at 12:00"),
    ],
)
def test_credentials_inside_texts_are_hidden_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(error=text) == {"error": shown}
    assert redact(error=ValueError(text)) == {"error": shown}
    assert redact(event=text) == {"event": shown}


def test_an_object_is_shown_by_its_own_text() -> None:
    assert redact(value=SecretStr("hunter2")) == {"value": "**********"}


@given(st.text(st.characters(exclude_categories=("Z", "C"), exclude_characters="/,;&*"), min_size=4))
def test_no_password_survives_in_a_url_or_a_setting(password: str) -> None:
    line = redact(a=f"redis://user:{password}@host/0", b=f"sasl.password={password}", c={"password": password})
    assert line == {
        "a": f"redis://{HIDDEN}@host/0",
        "b": f"sasl.password={HIDDEN}",
        "c": {"password": HIDDEN},
    }


def test_no_text_makes_the_search_for_secrets_slow() -> None:
    """A quadratic search would take minutes here."""
    text = "a" * 300_000 + "password" * 30_000 + " " + "x://" * 30_000
    assert redact(text=text) == {"text": text}
