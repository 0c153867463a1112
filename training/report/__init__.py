"""The report of `offbeat evaluate --report`: one HTML page that shows how well a model found a file's anomalies."""

from training.report.alerts import TopAlert
from training.report.page import Report, render

__all__ = ["Report", "TopAlert", "render"]
