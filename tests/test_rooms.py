"""Who may import whom: the walls between the rooms, the floors inside them, and the size of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_MODULE = 300
LONGEST_FUNCTION = 60
STDLIB_IN_CORE = {
    "__future__", "base64", "collections", "contextlib", "dataclasses", "datetime", "enum", "functools", "hashlib",
    "heapq", "hmac", "io", "itertools", "json", "math", "operator", "re", "typing", "urllib.parse", "zipfile", "zlib",
}  # fmt: skip
"""Modules that only compute. Clocks, environment, logging, files, sockets, threads and randomness are not here."""
LIBRARIES_IN_CORE = {"numpy", "numba", "torch", "pydantic", "msgspec", "safetensors", "river"}
CLIENTS = {"confluent_kafka", "redis", "prometheus_client", "http"}
ROOTS = {"worker/compose.py", "worker/models_cli.py"}
"""The composition roots of the worker: only they know which adapters stand behind the ports."""
EXCEPTIONS = {
    ("worker/core/compiled.py", "pathlib"),  # the cache of compiled code is keyed by the text of the modules
}

FLOORS = {
    "worker.core": [
        ["compiled"], ["events"], ["model"], ["state"], ["alerts", "step"],
    ],
    "worker": [
        ["core", "errors", "lifecycle", "logs"],
        ["config", "ports", "log_histogram", "decode_ahead"],
        ["telemetry"],
        ["partitions", "outputs"],
        ["health"],
        ["collaborators", "trainer_process"],
        ["loop"],
        ["adapters"],
        ["compose"],
        ["cli", "models_cli"],
    ],
    "training": [
        ["tables"],
        ["learn", "history"],
        ["profile", "report"],
        ["evaluate"],
        ["trainer"],
        ["service", "demo"],
        ["cli"],
    ],
}  # fmt: skip
"""Inside each package, a module or folder may import its own floor's and those before it, never one after it."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)


def within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def through_a_wall(path: str, imported: str) -> bool:
    """Whether a module of this path may not import this, by the table of rooms."""
    if (path, imported) in EXCEPTIONS:
        return False
    if path.startswith("worker/core/"):
        return not within(imported, STDLIB_IN_CORE | LIBRARIES_IN_CORE | {"worker.core"})
    if path.startswith("training/"):
        return within(imported, CLIENTS)
    if within(imported, {"training"}):
        return True
    if path.startswith("worker/ports/"):
        return within(imported, {"worker"}) and not within(imported, {"worker.core", "worker.ports"})
    if path.startswith("worker/adapters/") or path in ROOTS:
        return False
    return within(imported, {"worker.adapters"} | CLIENTS)


def floor_of(package: str, module: str) -> int | None:
    """The floor that a dotted name stands on inside a package; None if the name is not in the package's plan."""
    if not within(module, {package}) or module == package:
        return None
    room = module.removeprefix(f"{package}.").split(".")[0]
    return next((i for i, rooms in enumerate(FLOORS[package]) if room in rooms), None)


def upward(path: str, imported: str) -> bool:
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for package in FLOORS:
        own, other = floor_of(package, module), floor_of(package, imported)
        if own is not None and other is not None and other > own:
            return True
    return False


def unplanned(path: str) -> bool:
    """Whether a module stands in no room of the plan."""
    module = path.removesuffix(".py").replace("/", ".")
    if module.endswith("__init__"):
        return False
    package = "worker.core" if path.startswith("worker/core/") else path.split("/")[0]
    return floor_of(package, module) is None


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{node.name} has {lines} lines"


def breaches(root: Path) -> list[str]:
    """Every import through a wall or to a floor above, and all that has outgrown its room."""
    found = []
    for path in sorted([*root.glob("worker/**/*.py"), *root.glob("training/**/*.py")]):
        name = path.relative_to(root).as_posix()
        names = sorted(set(imports(path)))
        found += [f"{name} imports {imported}" for imported in names if through_a_wall(name, imported)]
        found += [f"{name} imports {imported} from a floor above" for imported in names if upward(name, imported)]
        if unplanned(name):
            found.append(f"{name} stands in no room of the plan")
        clients = {client for client in CLIENTS if any(within(imported, {client}) for imported in names)}
        if name.startswith("worker/adapters/") and len(clients - {"http"}) > 1:
            found.append(f"{name} has more than one client: {sorted(clients)}")
        lines = len(path.read_text("utf-8").splitlines())
        if lines > LONGEST_MODULE:
            found.append(f"{name} has {lines} lines")
        found += [f"{name}: {function}" for function in long_functions(path)]
    return found


def test_every_import_keeps_to_the_walls_and_floors() -> None:
    assert breaches(ROOT) == []


@pytest.mark.parametrize(
    ("module", "text", "breach"),
    [
        ("worker/core/events/a.py", "import time", "worker/core/events/a.py imports time"),
        (
            "worker/core/state/a.py",
            "from worker.ports.log import Output",
            "worker/core/state/a.py imports worker.ports",
        ),
        ("worker/core/state/a.py", "def f():\n    import os", "worker/core/state/a.py imports os"),
        (
            "worker/core/events/a.py",
            "import worker.core.model.tiles",
            "worker/core/events/a.py imports worker.core.model",
        ),
        (
            "worker/core/model/a.py",
            "import worker.core.state.windows",
            "worker/core/model/a.py imports worker.core.state",
        ),
        (
            "worker/core/state/a.py",
            "import worker.core.alerts.alert",
            "worker/core/state/a.py imports worker.core.alerts",
        ),
        ("worker/core/state/a.py", "import worker.core.step", "worker/core/state/a.py imports worker.core.step"),
        ("worker/core/other/a.py", "", "worker/core/other/a.py stands in no room"),
        ("worker/ports/a.py", "import worker.telemetry", "worker/ports/a.py imports worker.telemetry"),
        (
            "worker/partitions/a.py",
            "import worker.loop",
            "worker/partitions/a.py imports worker.loop from a floor above",
        ),
        ("worker/partitions/a.py", "import worker.health.status", "worker/partitions/a.py imports worker.health"),
        ("worker/loop.py", "import training.learn.fit", "worker/loop.py imports training.learn.fit"),
        ("worker/loop.py", "from worker.adapters import http", "worker/loop.py imports worker.adapters"),
        ("worker/loop.py", "import redis", "worker/loop.py imports redis"),
        (
            "worker/health/a.py",
            "def f():\n    from worker.adapters import http",
            "worker/health/a.py imports worker.ad",
        ),
        (
            "worker/adapters/a.py",
            "import redis\nimport confluent_kafka",
            "worker/adapters/a.py has more than one client",
        ),
        ("training/learn/a.py", "import confluent_kafka", "training/learn/a.py imports confluent_kafka"),
        ("training/learn/a.py", "import training.evaluate.cli", "training/learn/a.py imports training.evaluate.cli"),
        ("training/learn/a.py", "\n" * 301, "training/learn/a.py has 301 lines"),
        ("training/learn/a.py", "def f():\n" + "    x = 1\n" * 60, "training/learn/a.py: f has 61 lines"),
    ],
)
def test_a_planted_breach_is_found(tmp_path: Path, module: str, text: str, breach: str) -> None:
    path = tmp_path / module
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert [found for found in breaches(tmp_path) if found.startswith(breach)]
