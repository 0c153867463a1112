"""The report's list of what has changed for good in the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.report.words import safe


def changes_section(summary: Mapping[str, Any]) -> str:
    """A section with one line per change; empty if the summary has none."""
    changes = [change for change in summary.get("changes") or [] if isinstance(change, Mapping)]
    if not changes:
        return ""
    heads = "".join([f"<th>{name}</th>" for name in ("field", "since", "now", "before", "perhaps", "told by")])
    lines = "".join([_line(change) for change in changes])
    return (
        '<section><h2>What changed in the stream</h2><p class="note">Changes for good that the rows of a version show. '
        "Events are flagged when a change begins; the versions after it take the new values as normal.</p>\n"
        f'<div class="wider"><table class="rates"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
        "</section>"
    )


def _line(change: Mapping[str, Any]) -> str:
    texts = [change.get(name) or "–" for name in ("field", "since", "after", "before", "hint")]
    cells = "".join([f"<td>{safe(text)}</td>" for text in [*texts, f"version {change.get('version')}"]])
    return f"<tr>{cells}</tr>"
