"""What no query, cursor, path or method may be, for every operation: a problem document, never a 5xx."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from marshmallow import Schema

from tests.api.bad_values import (
    ANY_ID,
    CURSORS_OF_NO_LIST,
    CURSORS_OF_NO_TIME,
    JSON,
    MOMENTS,
    TEXTS,
    encoded,
    wrong_values,
)
from tests.api.list_growth import GROW
from tests.api.valid_requests import (
    LISTS,
    OPERATIONS,
    READS,
    VALID,
    Ask,
    assert_problem,
    everything,
    least,
    login_for,
    post_raw,
    send,
    url_of,
)
from tests.cases import naming
from tests.hospital import Client, Hospital, sign_in

SHARE = 10  # queries of an operation for so many examples of other tests
WITH_PATH_ID = [name for name in OPERATIONS if "<uuid:" in name]
WITH_QUERY = [name for name, operation in OPERATIONS.items() if operation.query is not None]


def wrong_queries(schema: Schema) -> Iterator[tuple[str, str]]:
    """Parameters that cannot be meant."""
    for field in schema.fields.values():
        name = field.data_key or str(field.name)
        if name == "limit":
            wrong = ["", "0", "201", "-1", "+5", "1e3", "abc", "5.0", " 5", "٣", "5" * 20, "000000005999", "9" * 5_000]
        elif name == "cursor":
            wrong = CURSORS_OF_NO_LIST
        else:
            wrong = [value for value in wrong_values(field) if isinstance(value, str) and len(value) < 5_000]
        yield from ((name, value) for value in wrong)


@pytest.mark.parametrize("name", WITH_QUERY)
def test_every_wrong_parameter_is_told(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    operation, ask = OPERATIONS[name], VALID[name](ours)
    assert operation.query is not None
    right = ask.query
    unchanged()
    for parameter, value in wrong_queries(operation.query):
        ask.query = {**right, parameter: value}
        document = assert_problem(send(staff[login_for(name)], name, ask), 422, "validation_failed")
        assert [error["pointer"] for error in document["errors"]] == [f"/{parameter}"], value


@pytest.mark.parametrize("name", ["GET /orders", "GET /stock/movements"])
@pytest.mark.parametrize("cursor", CURSORS_OF_NO_TIME)
def test_a_cursor_by_time_needs_a_time(
    staff: dict[str, Client], unchanged: Callable[[], None], name: str, cursor: str
) -> None:
    unchanged()
    response = send(staff["nurse"], name, Ask(query={"cursor": cursor}))
    document = assert_problem(response, 422, "validation_failed")
    assert [error["pointer"] for error in document["errors"]] == ["/cursor"]


@pytest.fixture(scope="module")
def grown(ours: Hospital) -> None:
    """Two rows at the least in every list that does not come by them otherwise."""
    ours.place_many(2)
    for name in ("alerts", "counts", "discrepancies", "override-drugs", "overrides", "transfers"):
        for letter in "ab":
            GROW[f"GET /{name}"](ours, letter)


@pytest.fixture(scope="module")
def places(staff: dict[str, Client], ours: Hospital, grown: None) -> dict[str, str]:
    """The cursor of each list that leads past its first row."""
    found = {
        name: send(staff[login_for(name)], name, least(name, ours, limit="1")).get_json()["next_cursor"]
        for name in LISTS
    }
    assert all(found.values()), found
    return found


@pytest.mark.parametrize("name", LISTS)
def test_a_cursor_of_another_list_is_refused_or_only_a_place(
    staff: dict[str, Client], ours: Hospital, places: dict[str, str], name: str
) -> None:
    before = everything(ours)
    for other, cursor in places.items():
        with naming(other):
            response = send(staff[login_for(name)], name, least(name, ours, cursor=cursor))
            if response.status_code != 200:
                assert_problem(response, 422, "validation_failed")
                assert OPERATIONS[name].page is not OPERATIONS[other].page
            assert everything(ours) == before


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_unknown_parameter_is_refused(
    standing_app: Flask, ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    client, ask = sign_in(standing_app, ours, login_for(name)), VALID[name](ours)
    unchanged()
    right = ask.query
    for unknown in ("nope", "offset", "a/b", "organization_id"):
        ask.query = {**right, unknown: "1"}
        document = assert_problem(send(client, name, ask), 422, "validation_failed")
        pointer = "/" + unknown.replace("/", "~1")
        assert document["errors"] == [{"pointer": pointer, "detail": "Unknown field."}]


@pytest.mark.parametrize("name", WITH_QUERY)
def test_a_parameter_given_twice_is_refused(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    schema, ask = OPERATIONS[name].query, VALID[name](ours)
    assert schema is not None
    unchanged()
    for field in schema.fields.values():
        parameter = field.data_key or str(field.name)
        value = str(ask.query.get(parameter, "1"))
        twice = replace(ask, query={**ask.query, parameter: [value, value]})
        assert_problem(send(staff[login_for(name)], name, twice), 422, "validation_failed")


@pytest.mark.parametrize("name", WITH_PATH_ID)
def test_a_path_with_no_id_in_it_is_no_page(staff: dict[str, Client], ours: Hospital, name: str) -> None:
    before = everything(ours)
    method, template = name.split(" ", 1)
    for wrong in ("x", "1", "None", "%00", "0" * 32, ANY_ID + "0", "..", "%2e%2e", "a%2fb", "x" * 3_000):
        with naming(wrong):
            path = re.sub(r"<uuid:\w+>", lambda _, wrong=wrong: wrong, template)
            response = staff[login_for(name)].request(method, path)
            if response.status_code != 405:
                assert_problem(response, 404, "not_found")
            assert everything(ours) == before


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_wrong_method_is_405_and_names_the_right_ones(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    ask = VALID[name](ours)
    unchanged()
    path = name.split(" ", 1)[1]
    right = {other.split(" ", 1)[0] for other in OPERATIONS if other.split(" ", 1)[1] == path} | {"OPTIONS"}
    right |= {"HEAD"} if "GET" in right else set()
    wrong = "PATCH" if "PUT" in right else "PUT"
    response = staff[login_for(name)].request(wrong, url_of(name, ask))
    assert_problem(response, 405, "method_not_allowed")
    assert {found.strip() for found in response.headers["Allow"].split(",")} == right


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v2/me", "/api/v1/me/", "/%00", "/.env"),
        *("/api/v1/docs/../../../../etc/passwd", "/api/v1/docs/%2e%2e/%2e%2e/__init__.py", "/api/v1/docs/nothing.js"),
        *("/api/v1/docs/%00", "/api/v1/problems/nope", "/api/v1/problems/%00"),
    ],
)
def test_an_unknown_path_is_a_404_problem(standing_app: Flask, path: str) -> None:
    assert_problem(standing_app.test_client().get(path), 404, "not_found")


@pytest.mark.parametrize("name", READS)
def test_a_body_of_a_read_does_not_matter(staff: dict[str, Client], ours: Hospital, name: str) -> None:
    response = post_raw(staff[login_for(name)], name, VALID[name](ours), b"\xff")
    assert response.status_code == 200


@pytest.mark.parametrize("name", WITH_QUERY)
def test_any_query_at_all_is_answered_below_500(staff: dict[str, Client], ours: Hospital, name: str) -> None:
    schema, ask = OPERATIONS[name].query, VALID[name](ours)
    assert schema is not None
    names = [field.data_key or str(field.name) for field in schema.fields.values()]
    words = st.text(max_size=20) | st.sampled_from([*TEXTS, *MOMENTS, ANY_ID, *CURSORS_OF_NO_LIST])
    keys = st.lists(JSON, min_size=2, max_size=3).map(encoded)
    queries = st.dictionaries(st.sampled_from(names), words | keys, max_size=3)

    @settings(max_examples=settings().max_examples // SHARE, phases=[Phase.generate])
    @given(query=queries)
    def throw(query: dict[str, str]) -> None:
        response = send(staff[login_for(name)], name, replace(ask, query={**ask.query, **query}))
        assert response.status_code in {OPERATIONS[name].status, 404, 422}, (query, response.text)

    throw()
