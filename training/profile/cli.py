"""The command `offbeat profile`, mounted by `worker.cli`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.config.refused_properties import REFUSED
from worker.errors import ConfigError

_WIDTH = 140

if TYPE_CHECKING:
    from rich.console import Console

    from training.profile.profile import Source


@click.command(
    epilog="Examples:\n\n  offbeat profile events.csv --label is_fraud -o offbeat.yaml\n\n"
    "  offbeat profile --topic flows --bootstrap-servers broker:9092 > offbeat.yaml\n\n"
    "  offbeat profile --topic flows --bootstrap-servers broker:9093 -X security.protocol=SASL_SSL "
    "-X sasl.mechanism=PLAIN -X sasl.username=me -X sasl.password=…\n\n"
    "  offbeat profile events.parquet --json | jq .warnings"
)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--topic", help="A Kafka topic instead of a file; its records are JSON objects.")
@click.option("--bootstrap-servers", help="The topic's brokers, host:port, separated by commas.")
@click.option(
    "-X",
    "properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="A property of the Kafka client; may be repeated. Secrets are neither shown nor written.",
)
@click.option(
    "--from",
    "begin",
    type=click.Choice(["newest", "earliest"]),
    default="newest",
    show_default=True,
    help="Which records of the topic to read.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=50_000,
    show_default=True,
    help="Size of the sample: the first rows of the file, or records spread over the topic's partitions.",
)
@click.option("--label", metavar="COLUMN", help="The column that says which events are anomalies; never a feature.")
@click.option("--stream", metavar="NAME", help="The stream's name. Default: the name of the file or topic.")
@click.option("-o", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write the configuration here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the configuration.")
def profile(
    file: Path | None,
    topic: str | None,
    bootstrap_servers: str | None,
    properties: tuple[str, ...],
    begin: str,
    rows: int,
    label: str | None,
    stream: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Read a sample of FILE (CSV, Parquet, JSON lines) or of a topic, and write a configuration that runs.

    The configuration goes to stdout, or to the file named by -o; the table of fields and the warnings go to stderr.
    """
    if (file is None) == (topic is None):
        raise ConfigError(f"FILE or --topic: {'both' if file else 'neither'} present; allowed: exactly one")
    if topic is None and (bootstrap_servers or properties):
        raise ConfigError("--bootstrap-servers, -X: only allowed with --topic")
    if topic is not None and not bootstrap_servers:
        raise ConfigError("--bootstrap-servers: required with --topic; host:port, separated by commas")
    client_properties = _parse_properties(properties)
    from rich.console import Console

    # A pipe has no width of its own, so a fixed one is used.
    console = Console(stderr=True, highlight=False, quiet=as_json, width=None if sys.stderr.isatty() else _WIDTH)
    if file is not None:
        source = _from_file(file, rows, label)
    else:
        source = _from_topic(str(topic), str(bootstrap_servers), client_properties, rows, begin == "newest", label)
    _write(source, stream or _stream_name(file.stem if file is not None else str(topic)), output, as_json, console)


def _parse_properties(options: tuple[str, ...]) -> dict[str, str]:
    """Parse KEY=VALUE options. Raises ConfigError; its text never contains a value, which may be a secret."""
    properties = {}
    for place, text in enumerate(options, 1):
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"-X: option {place} is not KEY=VALUE, such as security.protocol=SSL")
        if name in REFUSED or name.endswith("_cb"):
            reason = REFUSED.get(name, "callbacks cannot come from a command line")
            raise ConfigError(f"-X: {name} may not be set: {reason}")
        properties[name] = value
    return properties


def _stream_name(text: str) -> str:
    """A valid name for a stream: at most 180 letters, digits, dots, underscores and dashes."""
    return re.sub(r"[^a-zA-Z0-9._-]+", "-", text).strip("-.")[:180] or "events"


def _from_file(file: Path, rows: int, label: str | None) -> Source:
    from training.profile.profile import Source
    from training.profile.proposal import TRIED_RECORDS
    from training.tables.json_records import read_first_lines
    from training.tables.table import read_table

    return Source(
        file.name, read_table(file, label, rows=rows), values=read_first_lines(file, min(rows, TRIED_RECORDS))
    )


def _from_topic(
    topic: str, bootstrap: str, properties: dict[str, str], rows: int, newest: bool, label: str | None
) -> Source:
    from rich.console import Console
    from rich.progress import Progress

    from training.profile.topic_sample import SampleRequest, read_sample

    request = SampleRequest(topic, bootstrap, properties, rows, newest)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(f"reading {topic}", total=None)
        return read_sample(request, label, lambda done, total: bar.update(task, completed=done, total=total))


def _write(source: Source, stream: str, output: Path | None, as_json: bool, console: Console) -> None:
    from rich.text import Text

    from training.profile.profile import profile
    from training.profile.proposal import parse_settings
    from training.profile.report import document, fields_table, one_line, summary
    from training.profile.text import commented_yaml

    result = profile(source, stream)
    text = commented_yaml(result)
    parse_settings(text)
    console.print(fields_table(result))
    for line in summary(result):
        console.print(Text(one_line(line)), soft_wrap=True)
    if output is not None:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise ConfigError(f"-o: {output}: {error.strerror}") from None
    if as_json:
        click.echo(json.dumps(document(result)))
    elif output is None:
        click.echo(text, nl=False)
