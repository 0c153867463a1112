"""What the names of fields say."""

from __future__ import annotations

import re

IDENTIFIER_WORDS = {"id", "uuid", "guid", "seq", "sequence", "serial", "number", "no", "offset", "index", "nr"}
"""Words in the names of numbers that identify an event."""
TIME_WORDS = {"time", "ts", "timestamp", "date", "datetime", "at", "when", "created", "occurred", "epoch", "utc"}
"""Words in the names of times."""


def words_of(name: str) -> list[str]:
    """The words in the last part of a dotted path, in lower case: `src.userId_2` gives user, id, 2."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name.rsplit(".", 1)[-1])
    return [word.lower() for word in words]
