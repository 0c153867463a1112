"""The command line. Each command imports its heavy parts itself; training's commands need the training package."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from worker.errors import ConfigError, OffbeatError

_TRAINING = {  # command: (module, short help)
    "demo": ("training.cli", "The whole pipeline on this machine, with nothing else installed."),
    "evaluate": ("training.evaluate.cli", "Score a file as a stream, and compare the scores with its labels."),
    "profile": ("training.profile.cli", "Look at a sample of a file or topic, and write a configuration."),
    "train": ("training.history.cli", "Train a first model from a file or from the topic's history."),
    "trainer": ("training.cli", "The trainer service: first model, fine-tuning, thresholds."),
}
_LEVELS = click.Choice(["debug", "info", "warning", "error"])


class _Commands(click.Group):
    """Adds `models` and training's commands by name, and imports each only when it is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *_TRAINING, "models"])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name == "models":
            return _import_command("worker.models_cli", "models")
        if name in _TRAINING:
            try:
                return _import_command(_TRAINING[name][0], name)
            except ModuleNotFoundError as error:
                if error.name != "training" and not str(error.name).startswith("training."):
                    raise
                raise ConfigError(
                    f"offbeat {name}: the training package is not installed here; pip install 'offbeat[training]'"
                ) from None
        return super().get_command(context, name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        rows += [
            *((name, text) for name, (_, text) in _TRAINING.items()),
            ("models", "The registry: list, show, promote, roll back, export, import."),
        ]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


def _import_command(module: str, name: str) -> click.Command:
    command: click.Command = getattr(importlib.import_module(module), name)
    return command


def _version() -> str:
    try:
        return version("offbeat")
    except PackageNotFoundError:
        return "unknown"


@click.group(
    cls=_Commands,
    epilog="Examples:\n\n  offbeat demo\n\n  offbeat run -c offbeat.yaml --with-trainer\n\n"
    "  offbeat models list -c offbeat.yaml",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(_version(), prog_name="offbeat")
def cli() -> None:
    """offbeat: anomaly alerts from a Kafka stream, exactly once, from an autoencoder that keeps learning.

    Exit codes: 0 done, 2 usage or configuration, 3 a dependency unreachable at start, 4 refused by Kafka for good,
    5 dead-letter limit reached, 6 state or offset lost and the policy is to stop, 1 anything else.
    """


config_option = click.option(
    "-c",
    "--config",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration, a YAML file.",
)
level_option = click.option(
    "--log-level", type=_LEVELS, default="info", show_default=True, help="The least level that is logged to stderr."
)


@cli.command(
    epilog="Examples:\n\n  offbeat run -c offbeat.yaml\n\n"
    "  OFFBEAT_KAFKA__GROUP=test offbeat run -c offbeat.yaml --with-trainer"
)
@config_option
@click.option("--with-trainer", is_flag=True, help="Also start the trainer, as a child process.")
@level_option
def run(config: Path, with_trainer: bool, log_level: str) -> None:
    """The worker: read events, score them, publish alerts, commit."""
    from worker.config.load import load

    settings = load(config)
    from worker.compose import run_worker

    command = ["trainer", "-c", str(config), "--log-level", log_level] if with_trainer else None
    run_worker(settings, command, log_level)


@cli.group(epilog="Examples:\n\n  offbeat schema config > offbeat.schema.json\n\n  offbeat schema alert")
def schema() -> None:
    """JSON Schemas of the configuration, the alert and the label."""


@schema.command("config")
def schema_config() -> None:
    """The configuration: every key with its description and its default."""
    from worker.config.settings import Settings

    _print({"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()})


@schema.command("alert")
def schema_alert() -> None:
    """The value of a record on the alerts topic."""
    from worker.core.alerts.envelope import alert_schema

    _print(alert_schema())


@schema.command("label")
def schema_label() -> None:
    """The value of a record on the labels topic, which this version does not read yet."""
    from worker.core.alerts.labels import label_schema

    _print(label_schema())


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def main() -> None:
    """The entry point: an error becomes one text on stderr and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except OffbeatError as error:
        click.echo(f"offbeat: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
