"""No list of an answer ends without a word: it has a cursor, or it says why it is whole or which operation lists all.

Every list of every answer in the OpenAPI document is looked at, also those inside the rows of other lists.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from backend.api import RESOURCES
from backend.web.openapi import document

CONTINUED = {"next_cursor", "next_after_line"}  # with which the same request is sent for the rest
LISTED_BY = re.compile(r"The newest; `(GET) (\S+)` lists all\.")


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return document(RESOURCES)


def _resolved(whole: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, where it is only named; beside the name a description may stand."""
    if "$ref" not in schema:
        return schema
    named = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {**named, **{key: value for key, value in schema.items() if key != "$ref"}}


def _lists(whole: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Each list below `schema`: where it is, what it says, and whether a cursor stands beside it."""
    found = _resolved(whole, schema)
    if found.get("type") == "array":
        yield from _lists(whole, found["items"], f"{where}[]")
    for name, promised in found.get("properties", {}).items():
        inner = _resolved(whole, promised)
        if inner.get("type") == "array":
            yield f"{where}.{name}", inner, bool(CONTINUED & set(found["properties"]))
        yield from _lists(whole, inner, f"{where}.{name}")


def _answers(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON of each answer that is no refusal, by its operation."""
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema")
                if status.startswith("2") and schema is not None:
                    yield f"{method.upper()} {path}", schema


def _is_paged(whole: dict[str, Any], path: str) -> bool:
    answer = whole["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return "next_cursor" in _resolved(whole, answer)["properties"]


def test_every_list_of_an_answer_goes_on_or_says_why_it_does_not(whole: dict[str, Any]) -> None:
    silent, seen = [], 0
    for name, schema in _answers(whole):
        for where, promised, continued in _lists(whole, schema, name):
            said = promised.get("description", "")
            listed = LISTED_BY.fullmatch(said)
            seen += 1
            if not (continued or said.startswith("Whole: ") or (listed and _is_paged(whole, listed[2]))):
                silent.append(where)
    assert silent == []
    assert seen > 60, "the document was walked"


def test_a_list_of_rows_is_paged_and_so_are_the_lists_in_its_rows_looked_at(whole: dict[str, Any]) -> None:
    found = {where for name, schema in _answers(whole) for where, _, _ in _lists(whole, schema, name)}
    assert {"GET /stock.items", "GET /stock.items[].lots", "GET /transfers.items[].lines[].lots"} <= found
