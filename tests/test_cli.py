"""The command line: help for each command, valid schemas, and for each error one text and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.config.test_settings import BASE, FULL


def offbeat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "worker.cli", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["schema"],
        ["models"],
        ["models", "import"],
        ["demo"],
        ["trainer"],
        ["evaluate"],
        ["train"],
        ["profile"],
    ],
)
def test_every_command_has_help_with_examples_or_options(command: list[str]) -> None:
    done = offbeat(*command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    if command != ["models", "import"]:
        assert "Examples:" in done.stdout


def test_schemas_are_valid_and_accept_the_examples() -> None:
    schemas = {name: json.loads(offbeat("schema", name).stdout) for name in ("config", "alert", "label")}
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(FULL), schemas["config"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"stream": "s", "features": []}, schemas["config"])
    jsonschema.validate({"alert_id": "x.0.1.anomaly.open", "verdict": "anomaly"}, schemas["label"])
    described = schemas["config"]["$defs"]["KafkaSettings"]["properties"]
    assert all("description" in field for field in described.values())


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [(["schema", "config"], ("torch", "confluent_kafka", "redis")), (["models", "list", "--help"], ("torch", "numba"))],
)
def test_help_and_schemas_import_no_heavy_libraries(command: list[str], unwanted: tuple[str, ...]) -> None:
    code = (
        f"import sys; from worker.cli import cli; cli.main({command}, standalone_mode=False); "
        f"sys.exit(any(m in sys.modules for m in {unwanted}))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "Missing option '-c'"),
        (["fly"], 2, "No such command 'fly'"),
        (["run", "-c", "nowhere.yaml"], 2, "nowhere.yaml: No such file or directory"),
        (["demo", "--data", "nowhere.csv"], 2, "nowhere.csv: no such file"),
        (["demo", "--data", "x.txt"], 2, "unknown file extension '.txt'; allowed: .csv, .parquet"),
    ],
)
def test_an_error_has_one_text_and_its_exit_code(arguments: list[str], code: int, message: str) -> None:
    done = offbeat(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_kafka_at_start_is_exit_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(BASE + 'kafka: {bootstrap_servers: "127.0.0.1:1"}\nhttp: {port: 0}\n')
    code = (
        "import sys, worker.compose as c; c.START_S = 1.0; from worker.cli import main; "
        f"sys.argv = ['offbeat', 'run', '-c', {str(path)!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "kafka.bootstrap_servers: no broker answered at 127.0.0.1:1 within 1 s" in done.stderr
