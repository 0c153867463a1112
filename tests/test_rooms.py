"""Who may import whom: the walls between the rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 300
STDLIB_IN_CORE = {
    "__future__", "base64", "collections", "contextlib", "dataclasses", "datetime", "enum", "functools", "hashlib",
    "heapq", "hmac", "io", "itertools", "json", "math", "operator", "re", "typing", "urllib.parse", "zipfile", "zlib",
}  # fmt: skip
"""What computes. Clocks, environment, logging, files, sockets, threads and randomness are not here."""
CORE = {*STDLIB_IN_CORE, "numpy", "numba", "torch", "pydantic", "msgspec", "safetensors", "river", "worker.core"}
CLIENTS = {"confluent_kafka", "redis", "prometheus_client", "http"}
COMPILER = ("worker/core/compiled.py", "pathlib")
"""Compiled code is cached by the text of its modules."""
COMPOSE = {"worker/compose.py", "worker/models_cli.py"}
"""The composition roots: only they know which adapters stand behind the ports."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)


def within(name: str, allowed: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in allowed)


def breaches(root: Path) -> list[str]:
    """Every import through a wall, and every module that has outgrown its room."""
    found = []
    for path in sorted([*root.glob("worker/**/*.py"), *root.glob("training/**/*.py")]):
        name = path.relative_to(root).as_posix()
        names = set(imports(path))
        for imported in sorted(names):
            if name.startswith("worker/core/"):
                wrong = not within(imported, CORE) and (name, imported) != COMPILER
            elif name.startswith("worker/"):
                wrong = within(imported, {"training"})
                if not name.startswith("worker/adapters/") and name not in COMPOSE:
                    wrong = wrong or within(imported, {"worker.adapters", *CLIENTS})
            else:
                wrong = within(imported, CLIENTS)
            if wrong:
                found.append(f"{name} imports {imported}")
        clients = {client for client in CLIENTS if any(within(imported, {client}) for imported in names)}
        if name.startswith("worker/adapters/") and len(clients - {"http"}) > 1:
            found.append(f"{name} has more than one client: {sorted(clients)}")
        lines = len(path.read_text("utf-8").splitlines())
        if lines > LONGEST:
            found.append(f"{name} has {lines} lines")
    return found


def test_no_import_goes_through_a_wall() -> None:
    assert breaches(ROOT) == []


@pytest.mark.parametrize(
    ("module", "text", "breach"),
    [
        ("worker/core/a.py", "import time", "worker/core/a.py imports time"),
        ("worker/core/a.py", "from worker.ports.log import Output", "worker/core/a.py imports worker.ports.log"),
        ("worker/core/a.py", "def f():\n    import os", "worker/core/a.py imports os"),
        ("worker/a.py", "import training.learn.fit", "worker/a.py imports training.learn.fit"),
        ("worker/a.py", "from worker.adapters import http", "worker/a.py imports worker.adapters"),
        ("worker/a.py", "import redis", "worker/a.py imports redis"),
        (
            "worker/adapters/a.py",
            "import redis\nimport confluent_kafka",
            "worker/adapters/a.py has more than one client",
        ),
        ("training/a.py", "from confluent_kafka import Consumer", "training/a.py imports confluent_kafka"),
        ("training/demo/a.py", "import redis", "training/demo/a.py imports redis"),
        ("training/a.py", "\n" * 301, "training/a.py has 301 lines"),
    ],
)
def test_a_planted_breach_is_found(tmp_path: Path, module: str, text: str, breach: str) -> None:
    path = tmp_path / module
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert [found for found in breaches(tmp_path) if found.startswith(breach)]
