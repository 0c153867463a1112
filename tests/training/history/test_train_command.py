"""`offbeat train` on the command line: output, exit codes and help."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.scenarios.stream import events
from tests.training.history.case import Case, few
from training.history.cli import train
from worker.cli import cli


def test_json_is_one_document_on_stdout_and_logs_go_to_stderr(case: Case) -> None:
    done = case.call("--from", str(case.file(few())), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["version"], document["serves"], document["rows_read"]) == (1, 1, 300)
    assert document["seconds"] > 0
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in logged] == ["history_read", "promoted"]
    model = case.serving()
    assert model is not None
    assert model.versions.bundle == document["digest"]


def test_a_terminal_sees_progress_and_a_summary(case: Case) -> None:
    file = case.file([{**row, "bad": row["duration"] == 60.0} for row in events(400, every=10)])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worker.cli", "train", "-c", str(case.path), "--from", str(file), "--label", "bad"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # how Linux reports the end of a terminal
                break
        assert process.stdout is not None
        output = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0, shown
    assert b"reading" in shown
    assert b"training" in shown
    lines = output.splitlines()
    assert lines[0] == f"rows read      400 from {file}"
    assert "anomalous      40 left out because of their label" in lines
    assert "serves now     version 1" in lines


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--from", "a.csv", "--rows", "5"], "a file (--from) is read completely"),
        (["--from", "a.csv", "--since", "2026-01-01T00:00:00Z"], "a file (--from) is read completely"),
        (["--label", "bad"], "it requires --from"),
        (["--replace", "--no-promote"], "mutually exclusive"),
        (["--since", "yesterday"], "'yesterday' is not a time with a zone, such as 2026-01-01T00:00:00Z"),
        (["--since", "2026-01-01"], "is not a time with a zone"),
        (["--rows", "0"], "Invalid value for '--rows'"),
    ],
)
def test_a_wrong_command_line_is_refused(case: Case, arguments: list[str], text: str) -> None:
    done = CliRunner().invoke(train, ["-c", str(case.path), *arguments])
    assert done.exit_code == 2
    assert text in " ".join(done.output.split())


def test_a_missing_file_is_exit_code_2(case: Case) -> None:
    done = case.call("--from", "nowhere.csv")
    assert done.returncode == 2
    assert done.stderr == "offbeat: nowhere.csv: no such file\n"


def test_help_has_examples() -> None:
    done = CliRunner().invoke(cli, ["train", "--help"])
    assert done.exit_code == 0
    assert "Examples:" in done.output
    assert "offbeat train -c offbeat.yaml --from events.csv --label is_fraud" in done.output
