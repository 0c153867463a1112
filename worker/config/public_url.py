"""A Redis URL as it may be logged."""

from __future__ import annotations

import re

_URL = re.compile(
    r"(?P<scheme>\w+://)(?P<login>[^@/?#]*@)?(?P<place>([\w.-]*|\[[\da-fA-F:.]+\])(:\d{1,5})?(/[\w./-]*)?)(\?[^@]*)?"
)


def public_url(url: str) -> str:
    """Scheme, host, port and path. All of it is hidden when a password could be mistaken for one of them."""
    parts = _URL.fullmatch(url)
    if parts is None:
        return "***"
    return f"{parts['scheme']}{'***@' if parts['login'] else ''}{parts['place']}"
