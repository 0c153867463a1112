"""Logging with structlog on stderr: JSON unless stderr is a terminal, and without secrets."""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
HIDDEN = "***"
_NAMES = r"passw(?:or)?d|passphrase|secret|token|sasl|credential|(?:api|private|hmac)[_.-]?key|authorization"
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
# scheme://user:password@host, up to the last @ before the path
_IN_URL = re.compile(r"([a-z][a-z0-9+.-]{0,20}://)[^\s/]*@", re.IGNORECASE)
# name=value, name: value and "name": "value"; hiding too much is better than hiding too little
_IN_TEXT = re.compile(
    rf"""((?:{_NAMES})[\w.-]{{0,40}}["']?\s*[=:]\s*)"""
    r"""(?:"(?:[^"\\]|\\.)*"(?=[\s,;&)}\]]|$)|'(?:[^'\\]|\\.)*'(?=[\s,;&)}\]]|$)"""
    r"""|(?:(?:basic|bearer)\s+)?[^\s,;&]+)""",
    re.IGNORECASE,
)


def configure(
    level: str, *, stream: str, instance: str, output: TextIO | None = None, as_json: bool | None = None
) -> None:
    """Log events of `level` (one of `LEVELS`) and above, each with `stream` and `instance`.

    Lines go to `output`, by default stderr, as JSON unless it is a terminal. Warnings and errors of the standard
    library's loggers are written the same way. Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r}; allowed: {', '.join(LEVELS)}")
    target = output if output is not None else sys.stderr
    json_lines = not target.isatty() if as_json is None else as_json

    def bind(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("stream", stream)
        event.setdefault("instance", instance)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        bind,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_secrets,
    ]
    console = structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
    renderer: Processor = structlog.processors.JSONRenderer() if json_lines else console
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def redact_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The event as plain values. Values of secret names are hidden, and so are credentials inside texts."""
    return {name: _redact(name, value) for name, value in event.items()}


def _redact(name: str, value: Any) -> Any:
    if value is not None and _SECRET_NAME.search(name):
        return HIDDEN
    return _to_plain(value)


def _to_plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _redact(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_plain(item) for item in value]
    text = value if isinstance(value, str) else str(value)
    return _IN_TEXT.sub(rf"\1{HIDDEN}", _IN_URL.sub(rf"\1{HIDDEN}@", text))
