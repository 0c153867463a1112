"""A few faults on real services, as part of every test run. `make chaos` injects many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import run, table

NAMES = ["kill -9: offsets_sent", "Redis killed and started", "kill -9: named", "SIGTERM"]


@pytest.mark.timeout(400)
def test_faults_leave_no_trace(tmp_path: Path) -> None:
    verdict, blind, surprises = run(5, NAMES, tmp_path)
    print(table(blind), verdict, sep="\n")
    assert verdict.wanted > 100
    assert verdict.good, verdict
    assert not surprises
