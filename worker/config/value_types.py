"""Types of single values in the configuration, each with one error message of its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Pattern = Annotated[str, Field(pattern=r"^(\^.*|[a-zA-Z0-9._-]{1,249})$")]

NOT_ALLOWED = "offbeat_not_allowed"
"""Type of an error whose message is the list of what is allowed."""
REFUSED_PROPERTY = "offbeat_refused_property"
"""Type of an error whose message names the librdkafka property and the reason."""


def _allowed(text: str) -> WrapValidator:
    """One error for a union of types; pydantic itself reports one for each type that a value is not."""

    def validate(value: Any, validate_union: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate_union(value)
        except ValidationError:
            raise PydanticCustomError(NOT_ALLOWED, "{text}", {"text": text}) from None

    return WrapValidator(validate)


Start = Annotated[
    Literal["earliest", "latest"] | AwareDatetime,
    _allowed("earliest, latest, or a time with its zone such as 2026-01-01T00:00:00Z"),
]
EventPolicy = Annotated[Literal["full", "none"] | tuple[str, ...], _allowed("full, none, or a list of dotted paths")]
PropertyValue = Annotated[str | int | float | bool, _allowed("text, a number, true or false")]
