"""The data of a report, and its page. `render` is a pure function: equal reports give equal pages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from training.report.alert_rates import alert_rates_section
from training.report.alerts import TopAlert, alert_cards, by_feature
from training.report.changes import changes_section
from training.report.charts import Chart, code_map
from training.report.figures import Confusion, all_figures, by_kind, confusion_section, key_figures
from training.report.missed import MissedAnomaly, missed_section
from training.report.ranking import curve, distribution, precision_recall, ranks
from training.report.style import page
from training.report.timeline import Along, alert_rate, over_time
from training.report.words import amount, percent, real, safe
from worker.core.model.threshold import score_of

_CAPTION = 400


@dataclass(frozen=True, slots=True)
class Report:
    """A summary, and n scored rows.

    All arrays are (n,), except `code` (n, 2), each row's point in a map of the bottleneck's values. `rows` are row
    numbers, `times` event times in ms since 1970 (None if the file has none), `score` is from 0 to 100, and `versions`
    are the model versions that scored the rows.
    """

    title: str
    summary: dict[str, Any]
    rows: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    error: npt.NDArray[np.float32]
    flagged: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.bool_] | None
    versions: npt.NDArray[np.int64]
    code: npt.NDArray[np.float32]
    code_axes: tuple[str, str]
    alerts: list[TopAlert]
    times: npt.NDArray[np.int64] | None = None
    missed: list[MissedAnomaly] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = len(self.rows)
        columns = (self.score, self.error, self.flagged, self.versions, self.code, self.labels, self.times)
        if any(column is not None and len(column) != n for column in columns):
            raise ValueError(f"a report of {n} rows has columns of other lengths")

    def take(self, index: npt.NDArray[Any]) -> Report:
        """Select rows by an array of indices; the summary, the alerts and the missed anomalies stay."""
        labels = None if self.labels is None else self.labels[index]
        times = None if self.times is None else self.times[index]
        return replace(
            self,
            rows=self.rows[index],
            score=self.score[index],
            error=self.error[index],
            labels=labels,
            times=times,
            flagged=self.flagged[index],
            versions=self.versions[index],
            code=self.code[index],
        )

    @property
    def cut(self) -> float | None:
        """The threshold as a score: the score of the target alert rate, which is the p-value at the threshold. If that
        rate is not known, it is the lowest flagged score, or None if no row is flagged.
        """
        target = real(self.summary.get("alert_rate_target"))
        if target is not None and 0.0 < target <= 1.0:
            return float(score_of(np.array([target]))[0])
        return float(self.score[self.flagged].min()) if self.flagged.any() else None


def render(report: Report) -> str:
    """Render the page. Rows whose score or error is not finite are counted but not drawn."""
    report = report.take(np.argsort(report.rows, kind="stable"))
    confusion = None if report.labels is None else Confusion.of(report.flagged, report.labels)
    drawn = report.take(np.flatnonzero(np.isfinite(report.score) & np.isfinite(report.error)))
    share = float(report.flagged.mean()) if len(report.flagged) else None
    versions = len(np.unique(report.versions))
    sections = [_headline(report, versions, confusion), key_figures(report.summary, share, versions, confusion)]
    if confusion is not None and confusion.rows:
        sections += [confusion_section(confusion), by_kind(report.summary)]
    sections.append(changes_section(report.summary))
    sections.append(alert_rates_section(report.summary, labelled=confusion is not None))
    if len(drawn.rows):
        sections += [_time(drawn), _scores(drawn, confusion)]
    sections += [_causes(drawn), alert_cards(report.alerts)]
    sections += [missed_section(report.missed, confusion.missed if confusion else 0), all_figures(report.summary)]
    sections.append(
        '<footer class="note">Made by offbeat evaluate. This file loads nothing and runs no script.</footer>'
    )
    return page(report.title, "\n".join(section for section in sections if section))


def _headline(report: Report, versions: int, confusion: Confusion | None) -> str:
    kind = report.summary.get("kind")
    by = f" by {amount(versions, 'version')} of the model ({safe(kind, 40)})" if kind else ""
    lead = f"{amount(len(report.rows), 'row')} scored{by}"
    if not len(report.rows):
        lead = "No row was scored, so there is nothing to show."
    elif confusion is None:
        lead += f", {int(report.flagged.sum()):,} flagged. Without labels nobody can say which of these are right."
    elif not confusion.anomalies:
        lead += f", {confusion.flagged:,} flagged. Not one row is labelled anomalous."
    else:
        c = confusion
        right = f"of the flagged rows, {percent(c.precision)} are anomalies" if c.flagged else "nothing else was"
        lead += (
            f". {amount(c.anomalies, 'row')} ({percent(c.anomalies / c.rows)}) are labelled anomalous: at the "
            f"threshold {c.hit:,} of them were flagged, {percent(c.recall)}; {right}."
        )
    return (
        f'<header><p class="kicker">offbeat · evaluation</p><h1>{safe(report.title, 120)}</h1>'
        f'<p class="lead">{lead}</p></header>'
    )


def _time(report: Report) -> str:
    along = Along.of(report.rows, report.times)
    scores = over_time(along, report.score, report.flagged, report.labels, report.versions, report.cut)
    rate = alert_rate(along, report.flagged, real(report.summary.get("alert_rate_target")))
    return f"<section><h2>Over time</h2>\n{_figure('Scores', scores)}\n{_figure('Alert rate', rate)}</section>"


def _scores(report: Report, confusion: Confusion | None) -> str:
    spread = _figure("Where the scores lie", distribution(report.score, report.labels, report.cut))
    if report.labels is None or report.labels.all() or not report.labels.any():
        return f"<section><h2>Scores</h2>{spread}</section>"
    # Ranked in the same way as for the summary, so that the area under the curve is the PR-AUC beside it.
    by_error = report.summary.get("ranked_by") == "reconstruction_error"
    rank = report.error if by_error else ranks(report.score, report.error)
    recall, precision = curve(report.labels, rank)
    operating = None
    if confusion is not None and confusion.recall is not None and confusion.precision is not None:
        operating = confusion.recall, confusion.precision
    ranked_by = "reconstruction error" if by_error else "score"
    drawn = precision_recall(recall, precision, float(report.labels.mean()), operating, ranked_by)
    return (
        '<section><h2>How well the scores separate anomalies</h2>\n<div class="pair">'
        f"{_figure('Precision against recall', drawn)}\n{spread}</div></section>"
    )


def _causes(report: Report) -> str:
    """Render the features that the alerts have in common, and the map of the rows' codes."""
    figures = []
    drawn, caption = by_feature(report.alerts)
    if drawn:
        figures.append(_figure("Features behind the highest alerts", Chart(drawn, caption)))
    report = report.take(np.flatnonzero(np.isfinite(report.code).all(axis=1)))
    if len(report.rows):
        code = report.code.astype(np.float64)
        drawn_map = code_map(code, report.code_axes, report.labels, report.flagged)
        figures.append(_figure("Map of the bottleneck", drawn_map))
    if not figures:
        return ""
    return f'<section><h2>What sets the alerts apart</h2><div class="pair">{"".join(figures)}</div></section>'


def _figure(heading: str, chart: Chart) -> str:
    legend = "".join([f'<li><i class="{look}"></i>{safe(text)}</li>' for look, text in chart.legend])
    listed = f'<ul class="legend">{legend}</ul>' if legend else ""
    caption = f"<figcaption>{safe(chart.caption, _CAPTION)}</figcaption>"
    return f"<figure><h3>{heading}</h3>{listed}{chart.svg}{caption}</figure>"
