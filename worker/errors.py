"""Errors with a name and an exit code: what an operator greps for and what a supervisor branches on.

`DeadLetterLimit` and `StateLost` are breakers: no broad ``except`` stands above them.
"""

from __future__ import annotations


class OffbeatError(Exception):
    """Base of everything that ends the process on purpose; `exit_code` is what the process ends with."""

    exit_code = 1


class ConfigError(OffbeatError):
    """The configuration or the command line is wrong; the text names the key, the value and what is allowed."""

    exit_code = 2


class DependencyUnreachable(OffbeatError):
    """Kafka or Redis did not answer at start within the time allowed."""

    exit_code = 3


class RefusedByKafka(OffbeatError):
    """Kafka refuses for good: authentication, authorisation, an unsupported feature."""

    exit_code = 4


class DeadLetterLimit(OffbeatError):
    """Too many records were rejected: the producer upstream or the configuration is broken."""

    exit_code = 5


class StateLost(OffbeatError):
    """State or committed offset is gone and the configured policy says stop."""

    exit_code = 6


class BundleRefused(OffbeatError):
    """A bundle or threshold failed a check: digest, signature, spec hash, format or shapes."""
