"""Compiled functions: the few loops that no array operation can do, in modules named `*_kernel`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# Functions of one kernel end up inside those of another, yet the cache on disk looks only at a function's own file.
_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*_kernel.py"))))


def compiled(signature: str, *, inline: bool = False, unlocked: bool = False) -> Callable[[Any], Any]:
    """Compiled at import for one signature, cached on disk where some cache directory can be written.

    `inline`: into whatever calls it, which an array among the arguments makes dear else. `unlocked`: without Python's
    lock, for what other threads wait for.
    """

    def wrap(function: Any) -> Any:
        function.__qualname__ += f"_{_SOURCES.hexdigest()[:16]}"  # which names the file of the cache
        try:
            return numba.njit(signature, cache=True, forceinline=inline, nogil=unlocked)(function)
        except RuntimeError:  # no place for a cache, as in a read-only container
            return numba.njit(signature, forceinline=inline, nogil=unlocked)(function)

    return wrap
