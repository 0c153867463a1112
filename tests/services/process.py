"""Service processes that end with the test run, even if it is killed."""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

PR_SET_PDEATHSIG = 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require(program: str, package: str) -> str:
    """The path of a program. If it is missing, the test fails; it is never skipped."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is not installed; the tests run on real services. Debian: apt-get install {package}")
    return path


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, preexec_fn=_die_with_parent)


def await_answer(answers: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if answers():
            return
        time.sleep(0.05)
    pytest.fail(f"{what} did not start:\n" + log.read_text("utf-8", "replace")[-3_000:])
