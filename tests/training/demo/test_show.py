"""What the demo prints while it runs: severe alerts, the number of the others, and where the page and the log are."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from training.demo.show import Screen


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> tuple[Screen, io.StringIO]:
    screen, text = Screen(quiet=False), io.StringIO()
    monkeypatch.setattr(screen, "_console", Console(file=text, width=200, highlight=False))
    return screen, text


def alert(severity: str) -> dict[str, Any]:
    feature = {"field": "flag", "actual": "S0", "expected": [{"value": "SF", "probability": 0.9}]}
    return {"severity": severity, "score": 58.7, "p_value": 2e-5, "entity": "telnet", "features": [feature]}


def test_severe_alerts_are_shown_and_the_others_counted(printed: tuple[Screen, io.StringIO]) -> None:
    screen, text = printed
    for severity in ("minor", "major", "warning", "critical", "minor"):
        screen.alert(alert(severity), anomalous=True)
    lines = text.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["major", "critical"]
    assert "flag S0, expected SF  ✓ labelled anomaly" in lines[0]
    screen.version({"event": "fine_tune", "version": 3})
    assert text.getvalue().splitlines()[2:] == ["         and 2 minor and 1 warning alerts", "   model fine-tuned v3"]
    screen.others()
    assert len(text.getvalue().splitlines()) == 4


def test_a_switch_is_shown_once_for_all_partitions(printed: tuple[Screen, io.StringIO]) -> None:
    screen, text = printed
    for partition in range(4):
        screen.version({"event": "switched", "version": 2, "partition": partition})
    assert text.getvalue().splitlines() == ["   model worker switched to v2"]


def test_a_quiet_screen_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=True)
    screen.say("text")
    screen.alert(alert("critical"), anomalous=None)
    screen.alert(alert("minor"), anomalous=None)
    screen.summary({"events": 1}, ["text"], ["text"], "text")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_the_summary_ends_with_what_was_wrong_and_where_the_page_is(printed: tuple[Screen, io.StringIO]) -> None:
    screen, text = printed
    screen.summary(
        {"roc_auc": 0.91, "recall": None}, ["Found: 3."], ["Few versions came."], "page: http://127.0.0.1:1/"
    )
    lines = [line for line in text.getvalue().splitlines() if line.strip()]
    assert lines[-3:] == ["Found: 3.", "Few versions came.", "page: http://127.0.0.1:1/"]
    assert any("roc auc" in line and "0.91" in line for line in lines)
