"""Schemas of answers, derived from the types that the domain's reads return: each field is written once."""

import types
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from marshmallow import Schema, fields

from backend.db.typed import Kept
from backend.web.fields import Body, Whole

_SCALARS: dict[Any, type[fields.Field[Any]]] = {
    UUID: fields.UUID,
    str: fields.String,
    bool: fields.Boolean,
    int: fields.Integer,
    float: fields.Float,
    datetime: fields.AwareDateTime,
    date: fields.Date,
}


@cache
def schema_of(kind: type) -> Schema:
    """Return the schema of a frozen dataclass, with its fields and its docstring.

    `Transfer` becomes `TransferOut`, and so would `TransferView`, which a type is called beside a model of its name.

    Lists say why they are whole: `Annotated[list[Line], Kept("...")]`. Raises TypeError for a type that no answer has.
    """
    hints = get_type_hints(kind, include_extras=True)
    members = {field.name: _field(hints[field.name]) for field in fields_of(kind)}
    made = type(
        f"{kind.__name__.removesuffix('View')}Out",
        (Body,),
        {"__doc__": kind.__doc__, "__module__": kind.__module__, **members},
    )
    schema: Schema = made()
    return schema


def _field(hint: Any, *, because: str = "", nullable: bool = False) -> fields.Field[Any]:
    allowed: dict[str, Any] = {"allow_none": True} if nullable else {}
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        (kept,) = (note for note in notes if isinstance(note, Kept))
        return _field(inner, because=kept.because)
    if get_origin(hint) in {Union, types.UnionType}:
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return _field(inner, because=because, nullable=True)
    if get_origin(hint) is list:
        return Whole(_field(get_args(hint)[0]), because=because)
    if is_dataclass(hint):
        return fields.Nested(schema_of(hint), **allowed)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return fields.Enum(hint, by_value=True, **allowed)
    if hint not in _SCALARS:
        raise TypeError(f"no field for {hint}")
    return _SCALARS[hint](**allowed)
