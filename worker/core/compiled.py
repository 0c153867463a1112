"""Compiled functions: the few loops that no array operation can do, in modules named `*_kernel`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# Functions of one kernel end up inside those of another, yet the cache on disk looks only at a function's own file.
_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*_kernel.py"))))


def compiled(signature: str, *, inline: bool = False) -> Callable[[Any], Any]:
    """Compiled at import for one signature, cached on disk where some cache directory can be written; runs without
    Python's lock, so that other threads go on.

    `inline`: into whatever calls it, which an array among the arguments makes dear else. None may make arrays: then
    none counts references to them, an atomic operation for each argument of each call, a third of the scanner's time.
    """

    def wrap(function: Any) -> Any:
        function.__qualname__ += f"_{_SOURCES.hexdigest()[:16]}"  # which names the file of the cache
        options: dict[str, Any] = {"forceinline": inline, "nogil": True, "_nrt": False}
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:  # no place for a cache, as in a read-only container
            return numba.njit(signature, **options)(function)

    return wrap
