"""Compiled functions: the few loops that no array operation can do, in modules named `*_kernel`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

# A kernel contains the functions and constants of other modules, but numba's cache on disk only checks whether the
# function's own file has changed. We therefore key the cache by a hash over all of the core.
_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))))


def compiled(signature: Any, *, inline: bool = False) -> Callable[[Any], Any]:
    """Compile a function at import for one signature, with a cache on disk if some cache directory is writable.

    `signature` is a string such as `"i8(u1[::1], i8)"` or a numba signature, which can contain `group_type`s. The
    compiled function releases the GIL, so that other threads go on.

    `inline=True` inlines the function into its callers: an array argument makes a real call expensive. Kernels must
    not allocate arrays, so they are compiled without numba's reference counting (an atomic operation per array
    argument and call, which took a third of the JSON scanner's time).
    """

    def wrap(function: Any) -> Any:
        # numba names a function's cache file after its qualified name: a new hash means a new file.
        function.__qualname__ += f"_{_SOURCES.hexdigest()[:16]}"
        options: dict[str, Any] = {"forceinline": inline, "nogil": True, "_nrt": False}
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:  # no directory for a cache, as in a read-only container
            return numba.njit(signature, **options)(function)

    return wrap


def group_type(group: Any, **fields: Any) -> Any:
    """The numba type of a `collections.namedtuple` that groups arguments, given the numba type of each field.

    A kernel reads the fields of a group at no cost; each call from Python takes about a microsecond more per group.
    """
    assert tuple(fields) == group._fields, f"{group.__name__}: {tuple(fields)}"
    types: Any = numba.types
    return types.BaseTuple.from_types(tuple(fields.values()), group)
