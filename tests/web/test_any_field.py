"""What a field takes is what the document says of it: the code takes nothing that the document does not have."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from marshmallow import Schema, ValidationError, fields

from backend.api import RESOURCES
from backend.web import openapi
from backend.web.endpoint import JSON as MEDIA
from tests.api.bad_values import ANY_ID, COUNTS, DAYS, JSON, MOMENTS, TEXTS

DOCUMENT = openapi.document(RESOURCES)
SHARE = 8


def schemas(outer: Schema) -> Iterator[Schema]:
    """The schema and those inside it."""
    yield outer
    for field in outer.fields.values():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            yield from schemas(inner.schema)


BODIES: dict[str, Schema] = {
    type(schema).__name__: schema
    for resource in RESOURCES
    for operation in resource.operations
    if operation.body is not None and operation.media == MEDIA
    for schema in schemas(operation.body)
    if not all(isinstance(getattr(field, "inner", field), fields.Nested) for field in schema.fields.values())
}
RIGHT = [
    *(
        "x",
        "a b",
        "2026-01-05",
        "2026-01-05T03:04:05+01:00",
        "Europe/Berlin",
        ANY_ID,
        "04006381333931",
        "nurse",
        "stat",
    ),
    *(
        "PRIMARY",
        "waste",
        "someone@example.org",
        "correct horse battery",
        "]d20104006381333931",
        "é",
        "Ω 💊",
        "x\u200by",
    ),
    *(True, False),
]
VALUES = (
    st.sampled_from(RIGHT)
    | st.uuids().map(str)
    | JSON
    | st.sampled_from([*RIGHT, *TEXTS, *DAYS, *MOMENTS, *COUNTS])
    | st.text(max_size=20)
    | st.integers(-3, 3_000)
)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_what_a_body_takes_is_what_the_document_says(name: str) -> None:
    schema = BODIES[name]
    described = DOCUMENT["components"]["schemas"][name]["properties"]
    taken = set()

    @settings(max_examples=settings().max_examples // SHARE)
    @example(values=RIGHT)
    @given(values=st.lists(VALUES | st.lists(st.sampled_from(RIGHT), max_size=3), min_size=5, max_size=5))
    def throw(values: list[Any]) -> None:
        for value in values:
            for field, promised in described.items():
                try:
                    schema.fields[field].deserialize(value)
                except ValidationError:
                    continue
                taken.add(field)
                validator = Draft202012Validator(
                    {**promised, "components": DOCUMENT["components"]},
                    format_checker=Draft202012Validator.FORMAT_CHECKER,
                )
                assert validator.is_valid(value), (field, value, promised)

    throw()
    assert taken, "nothing was taken, so nothing was compared"


def test_the_document_says_how_long_a_page_may_be() -> None:
    (limit,) = (one for one in DOCUMENT["paths"]["/orders"]["get"]["parameters"] if one["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
