"""Telemetry is written by its own methods alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWNER = Path("worker/telemetry.py")
MUTATORS = {"add", "append", "clear", "discard", "extend", "observe", "pop", "popitem", "setdefault", "subtract",
            "update"}  # fmt: skip
"""Methods that change a counter, a mapping or a histogram in place."""


def writes(path: Path) -> Iterator[str]:
    """Every statement that changes an attribute of a telemetry object."""
    tree = ast.parse(path.read_text("utf-8"))
    names = {"telemetry", "_telemetry"} | {
        node.arg for node in ast.walk(tree) if isinstance(node, ast.arg) and _annotation(node) == "Telemetry"
    }
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            targets = [node.func.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr"):
            targets = [ast.Attribute(node.args[0], "attribute")]
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                if _is_attribute_of(part, names):
                    yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"  # type: ignore[attr-defined]


def _annotation(argument: ast.arg) -> str:
    return ast.unparse(argument.annotation).strip("'\"") if argument.annotation is not None else ""


def _is_attribute_of(target: ast.expr, names: set[str]) -> bool:
    """Whether `target` is an attribute, or an item of an attribute, of an object with one of these names."""
    if isinstance(target, ast.Subscript):
        return _is_attribute_of(target.value, names)
    if not isinstance(target, ast.Attribute):
        return False
    owner = target.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return name in names or _is_attribute_of(owner, names)


def test_no_module_but_its_own_writes_telemetry() -> None:
    modules = [path for path in sorted(ROOT.glob("worker/**/*.py")) if path.relative_to(ROOT) != OWNER]
    assert len(modules) > 50
    assert [breach for path in modules for breach in writes(path)] == []


@pytest.mark.parametrize(
    "text",
    [
        "self._telemetry.records += 1",
        "telemetry.model = model",
        "collaborators.telemetry.health = Health()",
        "telemetry.rejects['empty'] += 1",
        "self._telemetry.rejects.update(['empty'])",
        "telemetry.batch_seconds.observe(1.0)",
        "telemetry.scored, other = 1, 2",
        "telemetry.batch_seconds.total = 0.0",
        "setattr(telemetry, 'records', 1)",
        "del telemetry.alerts['anomaly', 'open', 'major']",
        "def count(now: Telemetry) -> None:\n    now.records += 1",
    ],
)
def test_a_planted_write_is_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(text)
    assert len(list(writes(path))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "self._telemetry = telemetry",
        "self._telemetry.count_turn(0.1)",
        "lag = telemetry.health.lag.get(source)",
        "self.records += 1",
        "def show(now: Telemetry) -> int:\n    return now.records",
    ],
)
def test_reading_and_counting_are_no_writes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(text)
    assert list(writes(path)) == []
