"""Labels: an operator's verdict on an alert. This version only describes them; it does not read the labels topic."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Label(BaseModel):
    """The value of a record on the labels topic. This version does not read them: a label has no effect yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert_id: str = Field(min_length=1, description="The id of the alert.")
    verdict: Literal["false_positive", "anomaly"]
    by: str | None = Field(default=None, description="Who gave the verdict.")
    note: str | None = None


def label_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a label."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Label.model_json_schema()}
