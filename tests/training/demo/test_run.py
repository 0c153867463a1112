"""The whole demo on a few events: the real worker and trainer, an embedded broker, and Redis or its stand-in."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from training.cli import demo
from training.demo import run
from training.demo.show import Screen

ROWS = 300


def write_csv(path: Path) -> None:
    lines = ["size,place,label"]
    lines += [f"{100 + row % 7 if row != 250 else 90_000},{'ab'[row % 2]},{int(row == 250)}" for row in range(ROWS)]
    path.write_text("\n".join(lines) + "\n")


def test_the_demo_says_where_its_page_and_log_are_and_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[bytes] = []

    class Visiting(Screen):
        """Opens the page as soon as its address is printed."""

        def say(self, text: str) -> None:
            super().say(text)
            if text.startswith("status page: "):
                with urllib.request.urlopen(text.split()[2], timeout=10.0) as answer:
                    answers.append(answer.read())

    monkeypatch.setattr(run, "Screen", Visiting)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    write_csv(tmp_path / "events.csv")
    options = run.Options(1.0, None, tmp_path / "events.csv", "label", None, None, json=False)
    summary: dict[str, Any] = run.run_demo(options)
    printed = capsys.readouterr().out
    assert b"offbeat" in answers[0]
    assert printed.count(summary["page"]) == 2
    assert printed.count(summary["log"]) == 2
    log = Path(summary["log"])
    assert log.parent == tmp_path
    assert '"event": "listening"' in log.read_text()
    assert (summary["events"], summary["scored"]) == (ROWS, ROWS)
    assert "Recall: of the 1 anomalies it flagged" in printed


def test_staying_up_without_saying_where_is_refused() -> None:
    done = CliRunner().invoke(demo, ["--stay", "--json"])
    assert done.exit_code == 2
    assert "--stay: not with --json" in done.output
