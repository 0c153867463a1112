"""`offbeat profile` on files: the configuration is written, and every failure has a clear text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from training.profile.proposal import parse_settings
from worker.core.events.decode import Limits, decoder_for

LINES = [
    {
        "id": f"e{i}",
        "time": f"2026-01-01T00:{i // 60 % 60:02d}:{i % 60:02d}Z",
        "src": {"ip": f"10.0.0.{i % 20}", "bytes": 1e6 if i % 100 == 7 else float(i * 37 % 100)},
        "protocol": ["tcp", "udp", None][i % 3],
        "ok": i % 4 == 0,
        "is_fraud": i % 50 == 0,
    }
    for i in range(600)
]


def offbeat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "worker.cli", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "my events.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def test_a_file_becomes_the_configuration_that_a_user_would_write(events: Path) -> None:
    done = offbeat("profile", str(events))
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == {
        "stream": "my-events",
        "kafka": {"bootstrap_servers": "localhost:9092"},
        "redis": {"url": "redis://localhost:6379/0"},
        "event": {"entity": "src.ip", "time": "time"},
        "features": [
            {"field": "src.ip", "kind": "categorical"},
            {"field": "src.bytes", "kind": "numeric", "transform": "log"},
            {"field": "protocol", "kind": "categorical"},
            {"field": "ok", "kind": "boolean"},
        ],
        "threshold": {"alert_rate": 0.01},
    }
    assert "about 864 a day at 1 events/s" in done.stdout
    assert "# - {field: id, kind: categorical}" in done.stdout
    assert "# - {field: is_fraud, kind: boolean}  # leaking" in done.stdout
    assert "# redis: an assumption" in done.stdout
    for text in (
        "src.bytes",
        "600 records",
        "left out: id: an identifier",
        "left out: is_fraud: leaking",
        "left out: time: a time: the sample covers 9.98 minutes",
        "alert_rate: 0.01 of all events: about 6 flagged in a sample of 600",
    ):
        assert text in done.stderr
    decoder = decoder_for("json", parse_settings(done.stdout).spec, Limits())
    decoded = decoder.decode(events.read_bytes().splitlines())
    assert len(decoded.index) == 600 and not decoded.rejects


def test_json_is_one_document_and_its_configuration_loads(events: Path, tmp_path: Path) -> None:
    output = tmp_path / "offbeat.yaml"
    done = offbeat("profile", str(events), "--json", "--label", "is_fraud", "--stream", "named", "-o", str(output))
    assert done.returncode == 0 and done.stderr == ""
    result = json.loads(done.stdout)
    assert list(result) == ["source", "rows", "fields", "warnings", "suggestions", "configuration"]
    fields = {field["field"]: field for field in result["fields"]}
    assert "is_fraud" not in fields
    assert fields["src.bytes"]["transform"] == "log"
    assert fields["protocol"]["missing"] == pytest.approx(1 / 3, abs=1e-6)
    assert fields["protocol"]["types"] == {"text": 400} and fields["protocol"]["distinct"] == 2
    assert fields["id"]["feature"] is None and "identifier" in fields["id"]["left_out"]
    assert {"field": "id", "code": "unique", "text": "an identifier: no value repeats"} in result["warnings"]
    suggestions = result["suggestions"]
    assert (suggestions["stream"], suggestions["entity"], suggestions["time"]) == ("named", "src.ip", "time")
    assert suggestions["events_per_second"] == pytest.approx(1.0)
    assert suggestions["flagged_per_day"] == pytest.approx(864.0)
    assert parse_settings(json.dumps(result["configuration"])) == parse_settings(output.read_text("utf-8"))
    assert parse_settings(output.read_text("utf-8")).stream == "named"


def test_fields_of_an_object_that_is_often_null_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"src": null, "x": 1.5}\n{"src": {"ip": "a"}, "x": 2.5}\n{"src": {"ip": "b"}, "x": 1.5}\n')
    result = json.loads(offbeat("profile", str(path), "--json").stdout)
    assert [w["text"] for w in result["warnings"] if w["code"] == "clash"] == [
        "src is null in some events and an object with src.ip in others; the worker rejects one of the two"
    ]
    assert [feature["field"] for feature in result["configuration"]["features"]] == ["x"]
    [left_out] = [field["left_out"] for field in result["fields"] if field["field"] == "src.ip"]
    assert left_out.startswith("src is null or absent in 33.3% of the events, and the worker rejects")
    path.write_text('{"src": 5, "x": 1.5}\n{"src": {"ip": "a"}, "x": 2.5}\n{"src": {"ip": "b"}, "x": 1.5}\n')
    result = json.loads(offbeat("profile", str(path), "--json").stdout)
    assert [feature["field"] for feature in result["configuration"]["features"]] == ["x", "src.ip"]
    [dead] = [w["text"] for w in result["warnings"] if w["code"] == "dead-letters"]
    assert dead.startswith("1 of 3 records would become dead letters")


def test_help_has_examples_and_loads_nothing_heavy() -> None:
    done = offbeat("profile", "--help")
    assert done.returncode == 0 and "Examples:" in done.stdout
    code = (
        "import sys; from worker.cli import cli; cli.main(['profile', '--help'], standalone_mode=False); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'confluent_kafka', 'pyarrow', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "FILE or --topic: neither present; allowed: exactly one"),
        (["{events}", "--topic", "t"], "FILE or --topic: both present"),
        (["--topic", "t"], "--bootstrap-servers: required with --topic"),
        (["{events}", "--bootstrap-servers", "h:1"], "only allowed with --topic"),
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["{events}", "--label", "z"], "--label: my events.jsonl has no column 'z'; it has: id, time, src.ip"),
        (["{events}", "--rows", "0"], "Invalid value for '--rows'"),
        (["{events}", "--stream", "a b"], "stream: 'a b' is not allowed: letters, digits"),
        (["{events}", "-o", "{folder}/no/where.yaml"], "where.yaml: No such file or directory"),
        (["--topic", "t", "--bootstrap-servers", "h:1", "-X", "sasl.password:hunter2"], "not KEY=VALUE"),
        (["--topic", "t", "--bootstrap-servers", "h:1", "-X", "group.id=x"], "-X: group.id may not be set"),
        (["--topic", "t", "--bootstrap-servers", "h:1", "-X", "no.such=hunter2"], 'property: "no.such"'),
    ],
)
def test_each_error_has_one_text_and_exit_code_2(events: Path, arguments: list[str], text: str) -> None:
    filled = [argument.format(events=events, folder=events.parent) for argument in arguments]
    done = offbeat("profile", *filled)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr and "hunter2" not in done.stderr and done.stdout == ""


def test_only_the_first_rows_are_read(events: Path) -> None:
    result = json.loads(offbeat("profile", str(events), "--rows", "60", "--json").stdout)
    assert result["rows"] == 60
