"""Labels: what an operator says about an alert, on the labels topic."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Label(BaseModel):
    """The value of a record on the labels topic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert_id: str = Field(min_length=1, description="The alert that is judged.")
    verdict: Literal["false_positive", "anomaly"]
    by: str | None = Field(default=None, description="Who says so.")
    note: str | None = None


def label_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a label."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Label.model_json_schema()}
