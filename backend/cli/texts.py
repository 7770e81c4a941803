"""What is typed at the command line is held to what the API takes of it."""

from typing import Any

import click
from marshmallow import Schema, ValidationError


class FieldOf(click.ParamType[Any]):
    """A parameter that is read as the field `field` of a request's body; what the field refuses is a usage error."""

    def __init__(self, body: type[Schema], field: str) -> None:
        self.name = field
        self._field = body().fields[field]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as the field reads it."""
        try:
            return self._field.deserialize(value)
        except ValidationError as error:
            self.fail(" ".join(str(message) for message in error.messages), param, ctx)
