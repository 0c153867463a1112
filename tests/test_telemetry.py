"""Counters and derived rates; and only telemetry's own methods write them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.steps import NOW_MS, decoded, encoded, held_back, output, scored, step
from worker.ports.log import TopicPartition
from worker.telemetry import Health, Telemetry

ROOT = Path(__file__).parents[1]
OWNER = Path("worker/telemetry.py")
MUTATORS = {
    "add",
    "append",
    "clear",
    "discard",
    "extend",
    "observe",
    "pop",
    "popitem",
    "setdefault",
    "subtract",
    "update",
}
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


def test_the_observed_rate_follows_the_last_events() -> None:
    telemetry = Telemetry("flows", wall_ms=lambda: NOW_MS)
    assert telemetry.observed_rate is None
    for flagged in (True, False):
        rows = scored([flagged] * 50_000, [0] * 50_000)
        telemetry.count_step(50_000, decoded(0), step(rows, encoded([], [])))
    assert telemetry.observed_rate == pytest.approx(1 / 3)  # 0.5 x 50,000 of 0.5 x 50,000 + 50,000


def test_the_summary_is_json_with_the_alerts_by_severity() -> None:
    telemetry = Telemetry("flows")
    telemetry.count_commit(
        [
            output("anomaly", "open", "major"),
            output("anomaly", "closed", "major"),
            output("anomaly", "open", "minor"),
        ]
    )
    summary = json.loads(json.dumps(telemetry.summary()))
    assert (summary["alerts"], summary["alerts_by_severity"]) == (3, {"major": 2, "minor": 1})


def test_a_step_counts_its_rows_and_what_was_held_back() -> None:
    telemetry = Telemetry("flows", wall_ms=lambda: NOW_MS)
    rows = scored([True, False, True], [0, 0, 0])
    telemetry.count_step(7, decoded(2, "not_json", "field"), step(rows, encoded([], []), [held_back()]))
    counts = telemetry.summary()
    assert (counts["records"], counts["scored"], counts["flagged"], counts["tombstones"]) == (7, 3, 2, 2)
    assert (counts["rejects"], counts["held_back"]) == ({"not_json": 1, "field": 1}, {"cooldown": 1})


def test_the_slowest_recovering_partition_is_blind_for_longest() -> None:
    telemetry = Telemetry("flows", monotonic=lambda: 100.0)
    assert telemetry.blind_now == 0.0
    first, second = TopicPartition("flows", 0), TopicPartition("flows", 1)
    telemetry.set_health(Health(blind_since={first: 97.0, second: 40.0}))
    assert telemetry.blind_now == 60.0
