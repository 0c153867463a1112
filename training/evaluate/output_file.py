"""A file that appears whole or not at all, and is known to be writable before a long run begins."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from worker.errors import ConfigError


class OutputFile:
    """Writes beside the file, and takes its name only once everything is on disk. Until then an older file stays.

    `option` names the command's option in errors.
    """

    def __init__(self, option: str, path: Path) -> None:
        """Raises ConfigError if the file cannot be written."""
        self._option, self._path = option, path.resolve()
        if self._path.exists() and not self._path.is_file():
            raise ConfigError(f"{option}: {path} is not a regular file; allowed: a file, or a name that is not in use")
        try:
            if self._path.exists() and not os.access(self._path, os.W_OK):
                raise PermissionError(13, "Permission denied")
            number, name = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".part", dir=self._path.parent)
        except OSError as error:
            raise self._failed(error) from None
        os.close(number)
        self._part = Path(name)

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._part.unlink(missing_ok=True)

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write the whole file. Raises ConfigError if that fails; the older file is then still there."""
        try:
            with self._part.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner can read.
            os.chmod(self._part, self._path.stat().st_mode if self._path.exists() else 0o666 & ~_umask())
            os.replace(self._part, self._path)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> ConfigError:
        return ConfigError(f"{self._option}: {self._path}: cannot be written: {error.strerror or error}")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
