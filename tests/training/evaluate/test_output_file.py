"""An output file appears whole or not at all, and one that cannot be written is refused at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.evaluate.output_file import OutputFile
from worker.errors import ConfigError


def test_it_appears_whole_with_the_usual_rights(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    mask = os.umask(0o022)
    try:
        with OutputFile("--scores", path) as file:
            assert not path.exists()
            file.write([b"one\n", b"two\n"])
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"one\ntwo\n" and path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_half_way_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text("older")

    def half() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), OutputFile("--scores", path) as file:
        file.write(half())
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_to_its_file(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("older")
    path.chmod(0o640)
    link.symlink_to(path)
    with OutputFile("--report", link) as file:
        file.write([b"newer"])
    assert link.is_symlink() and path.read_text() == "newer" and path.stat().st_mode & 0o777 == 0o640


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A device would be replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match=r"--scores: .*pipe is not a regular file; allowed: a file, or a name"):
        OutputFile("--scores", pipe)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--scores: .* cannot be written: Not a directory"):
        OutputFile("--scores", tmp_path / "file" / "s.jsonl")
