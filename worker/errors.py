"""Errors with names that an operator can search for, and exit codes that a supervisor can branch on.

`DeadLetterLimit` and `StateLost` must end the process: no broad ``except`` may be above them.
"""

from __future__ import annotations


class OffbeatError(Exception):
    """Base of all errors that end the process on purpose, with `exit_code`."""

    exit_code = 1


class ConfigError(OffbeatError):
    """The configuration or the command line is wrong; the text names the key, the value and what is allowed."""

    exit_code = 2


class DependencyUnreachable(OffbeatError):
    """Kafka or Redis did not answer in time at start."""

    exit_code = 3


class RefusedByKafka(OffbeatError):
    """Kafka refuses permanently: authentication, authorisation, an unsupported feature."""

    exit_code = 4


class DeadLetterLimit(OffbeatError):
    """Too many records were rejected: the upstream producer or the configuration is broken."""

    exit_code = 5


class StateLost(OffbeatError):
    """State or the committed offset is lost, and the configured policy is to stop."""

    exit_code = 6


class BundleRefused(OffbeatError):
    """A bundle or threshold failed a check: digest, signature, spec hash, format or shapes."""
