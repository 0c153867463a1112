"""Says in plain words what the demo found, what it missed, and what was not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from training.demo.findings import Findings, Stretch
from training.demo.pace import EVENTS_PER_VERSION

FOUND = 0.5
"""A kind counts as found if at least this share of its events was flagged."""
OFF = 1.25
"""The alert rate is off if it is more than this factor above or below what was configured."""
_NAMED = 8


class Nouns(NamedTuple):
    """What the events and the anomalies of a data set are called, in the plural."""

    events: str
    anomalies: str


def tell_findings(findings: Findings, alert_rate: float, nouns: Nouns) -> list[str]:
    """The paragraphs about the alerts: what was found and missed, by kind, and precision and recall in words."""
    events, anomalies = nouns
    if findings.anomalies is None or findings.hits is None:
        share = f"{findings.flagged:,} of {findings.scored:,} {events} ({_share(findings.flagged, findings.scored)})"
        return [f"offbeat flagged {share}; it was told to flag about {alert_rate:.1%}. The data has no labels."]
    precision = (
        f"Precision: of the {findings.flagged:,} {events} that it flagged, {findings.hits:,} "
        f"({_share(findings.hits, findings.flagged)}) are {anomalies}; flagging at random would give "
        f"{_share(findings.anomalies, findings.scored)}."
    )
    recall = (
        f"Recall: of the {findings.anomalies:,} {anomalies} it flagged {findings.hits:,} "
        f"({_share(findings.hits, findings.anomalies)})."
    )
    found = [f"{' '.join(_tell_kinds(findings.kinds, nouns))}"] if findings.kinds else []
    return [*found, f"{precision} {recall}", *_tell_groups(findings, nouns)]


def _tell_groups(findings: Findings, nouns: Nouns) -> Iterator[str]:
    """What was flagged without being labelled: rare events and changes, which a label need not call an anomaly."""
    if findings.groups and findings.hits is not None:
        named = ", ".join(f"{name} {count:,}" for name, count in findings.groups)
        rest = findings.flagged - findings.hits
        yield f"Of the {rest:,} flagged {nouns.events} without a label, the largest groups are: {named}."


def _tell_kinds(kinds: dict[str, tuple[int, int]], nouns: Nouns) -> Iterator[str]:
    """Two sentences: the kinds that were found, and those that were not or only in part."""
    order = sorted(kinds.items(), key=lambda kind: (-kind[1][1], kind[0]))
    found = [(kind, count) for kind, count in order if count[0] >= FOUND * count[1]]
    missed = [one for one in order if one not in found]
    yield (
        f"Found, with at least half of their {nouns.events} flagged, were {len(found)} of {len(kinds)} kinds of "
        f"{nouns.anomalies}{_list(found)}."
    )
    yield f"Missed wholly or mostly were {len(missed)}{_list(missed)}."


def _list(kinds: Sequence[tuple[str, tuple[int, int]]]) -> str:
    named = [f"{kind} {hits} of {total}" for kind, (hits, total) in kinds[:_NAMED]]
    rest = len(kinds) - len(named)
    return f" ({', '.join(named)}{f' and {rest} smaller ones' if rest else ''})" if kinds else ""


def tell_troubles(
    findings: Findings,
    events: int,
    alert_rate: float,
    *,
    fine_tunes: int,
    refused: Sequence[str],
    waited: float,
    given_up: int,
) -> list[str]:
    """Why there were few versions, or why more or less was flagged than told; empty if all was well.

    `events` is the number of events in the data, `refused` are the gate's reasons for the challengers that it refused,
    `waited` the seconds that the stream waited for the trainer, and `given_up` how often it went on without a version.
    """
    troubles = []
    if findings.scored < events:
        troubles.append(f"Only {findings.scored:,} of {events:,} events were scored in the time that the demo takes.")
    longest = max(findings.stretches, key=lambda stretch: stretch.scored, default=Stretch(0, 0, 0))
    if longest.scored > 2 * EVENTS_PER_VERSION:
        why = [f"{given_up} times the demo went on without the trainer, which was too slow"] if given_up else []
        if refused:
            why.append(f"the gate refused {len(refused)} challengers (the last one: {refused[-1]})")
        troubles.append(
            f"Version {longest.version} served {longest.scored:,} events, where {EVENTS_PER_VERSION:,} are meant, and "
            f"{fine_tunes} fine-tunes came in all. The reason: {'; '.join(why) or 'the log must say'}."
        )
    over = findings.over_target(alert_rate)
    if over is not None and not 1 / OFF <= over <= OFF:
        troubles.append(_tell_rate(findings, alert_rate, over))
    if waited >= 1.0:
        troubles.append(f"The stream waited {waited:.0f} s in all for the trainer, so that the model kept up with it.")
    return troubles


def _tell_rate(findings: Findings, alert_rate: float, over: float) -> str:
    """Which version's events are most of the excess, or of what is lacking."""
    sign = 1.0 if over > 1.0 else -1.0
    worst = max(findings.stretches, key=lambda stretch: sign * (stretch.flagged - alert_rate * stretch.scored))
    rest_scored, rest_flagged = findings.scored - worst.scored, findings.flagged - worst.flagged
    first = ", the first one, which knew only the beginning of the stream," if worst is findings.stretches[0] else ""
    rest = f"; the others flagged {_share(rest_flagged, rest_scored)}" if rest_scored else ""
    return (
        f"{_share(findings.flagged, findings.scored)} were flagged, {over:.1f} times the {alert_rate:.1%} that it was "
        f"told to. Version {worst.version}{first} flagged {_share(worst.flagged, worst.scored)} of its "
        f"{worst.scored:,} events{rest}."
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
