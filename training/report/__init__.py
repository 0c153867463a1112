"""The report of `offbeat evaluate --report`: one HTML page that shows how well a model found a file's anomalies."""

from training.report.alerts import TopAlert
from training.report.missed import MissedAnomaly, Surprise
from training.report.page import Report, render
from training.report.time_axis import time_span

__all__ = ["MissedAnomaly", "Report", "Surprise", "TopAlert", "render", "time_span"]
