"""What no body may contain, for every operation: a problem document that says what, never a 5xx, nothing changed."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from backend.actor import Role
from tests.api.bad_values import JSON, wrong_bodies
from tests.api.valid_requests import (
    OPERATIONS,
    SENT,
    VALID,
    WITH_BODY,
    Ask,
    arrive,
    assert_problem,
    everything,
    login_for,
    post_raw,
    send,
)
from tests.cases import naming
from tests.hospital import Client, Hospital, open_hospital, sign_in


def ask_of(name: str, hospital: Hospital) -> Ask:
    """A valid request whose body has every field that there is."""
    ask = VALID[name](hospital)
    if name == "POST /tokens":
        ask.body = {**(ask.body or {}), "otp": "123456", "new_password": "seven lemons on a sill"}
    if "witness" in (ask.body or {}):
        assert ask.body is not None
        ask.body["witness"] = {**ask.body["witness"], "otp": "123456"}
    operation = OPERATIONS[name]
    if operation.body is not None:
        assert set(ask.body or {}) == set(operation.body.fields)
    return ask


@pytest.mark.parametrize("name", WITH_BODY)
def test_every_wrong_value_is_told_with_its_pointer(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    schema, ask = OPERATIONS[name].body, ask_of(name, ours)
    assert schema is not None
    assert ask.body is not None
    unchanged()
    for pointer, body in wrong_bodies(schema, ask.body):
        response = post_raw(staff[login_for(name)], name, ask, json.dumps(body).encode())
        document = assert_problem(response, 422, "validation_failed")
        pointers = [error["pointer"] for error in document["errors"]]
        assert pointers, body
        assert all(re.fullmatch(rf"{re.escape(pointer)}(/\d+)?", found) for found in pointers), (
            pointers,
            str(body)[:200],
        )
        assert all(error["detail"] for error in document["errors"])


def requires_something(name: str) -> bool:
    """Whether an empty body is refused."""
    schema = OPERATIONS[name].body
    return schema is not None and any(field.required for field in schema.fields.values())


@pytest.mark.parametrize("name", [name for name in WITH_BODY if requires_something(name)])
def test_every_absent_required_field_is_told(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    schema, ask = OPERATIONS[name].body, ask_of(name, ours)
    assert schema is not None
    required = sorted(f"/{found}" for found, field in schema.fields.items() if field.required)
    assert required
    unchanged()
    for data in (b"", b"{}", b" { } \n"):
        document = assert_problem(post_raw(staff[login_for(name)], name, ask, data), 422, "validation_failed")
        assert sorted(error["pointer"] for error in document["errors"]) == required


UNKNOWN = {  # and the pointers at them
    "nope": "/nope",
    "a/b": "/a~1b",
    "a~b": "/a~0b",
    "~1": "/~01",
    "": "/",
    "id": "/id",
    "organization_id": "/organization_id",
    "__class__": "/__class__",
    "naïve 💊": "/naïve 💊",
}


@pytest.mark.parametrize("name", WITH_BODY)
def test_an_unknown_field_is_told_by_its_rfc_6901_pointer(staff: dict[str, Client], ours: Hospital, name: str) -> None:
    ask = VALID[name](ours)
    before, right = everything(ours), ask.body or {}
    for field, pointer in UNKNOWN.items():
        with naming(field):
            ask.body = {**right, field: 1}
            document = assert_problem(send(staff[login_for(name)], name, ask), 422, "validation_failed")
            assert document["errors"] == [{"pointer": pointer, "detail": "Unknown field."}]
            assert everything(ours) == before


def test_an_unknown_field_inside_another_is_told(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None]
) -> None:
    name = "POST /orders/<uuid:order_id>/fulfill"
    ask = VALID[name](ours)
    assert ask.body is not None
    ask.body["witness"] |= {"organization": "another", "a/b": 1}
    unchanged()
    document = assert_problem(send(staff["nurse"], name, ask), 422, "validation_failed")
    assert sorted(error["pointer"] for error in document["errors"]) == ["/witness/a~1b", "/witness/organization"]


@pytest.mark.parametrize("count", [90, 30_000])
def test_many_unknown_fields_are_not_all_told(
    staff: dict[str, Client], unchanged: Callable[[], None], count: int
) -> None:
    """The answer to a body of errors stays small, and comes at once."""
    unchanged()
    response = staff["admin"].post("/wards", {f"field {number}": number for number in range(count)})
    assert 1 <= len(assert_problem(response, 422, "validation_failed")["errors"]) <= 50
    assert len(response.data) < 5_000


NOT_JSON = [
    *(b"{", b"x", b"{'a': 1}", b'{"a": 1,}', b'{"a": NaN}', b'{"a": Infinity}', b"\xff\xfe", b'{"a": "\xff"}'),
    *(
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00\\ud800"}',
        b'{"a": "\x00"}',
        b"\x00",
        b"\xef\xbb\xbf{}",
    ),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"{} {}", b'{"a": 01}', b'{"\\ud800": 1}', b"nul"),
]


@pytest.mark.parametrize("name", WITH_BODY)
def test_what_is_not_json_is_400(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    ask = VALID[name](ours)
    unchanged()
    for data in NOT_JSON:
        assert_problem(post_raw(staff[login_for(name)], name, ask, data), 400, "bad_request")


@pytest.mark.parametrize("name", WITH_BODY)
def test_a_body_that_is_no_object_is_422(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    ask = VALID[name](ours)
    unchanged()
    for data in (b"[]", b"[{}]", b"null", b"5", b'"x"', b"true", b"1e300", b"[" * 500 + b"]" * 500):
        document = assert_problem(post_raw(staff[login_for(name)], name, ask, data), 422, "validation_failed")
        assert [error["pointer"] for error in document["errors"]] == [""]


@pytest.mark.parametrize("name", WITH_BODY)
def test_another_content_type_is_415(
    staff: dict[str, Client], ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    ask = VALID[name](ours)
    data = json.dumps(ask.body).encode()
    unchanged()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/xml", "garbage"):
        assert_problem(post_raw(staff[login_for(name)], name, ask, data, kind), 415, "unsupported_media_type")


def test_a_content_type_may_name_its_charset(staff: dict[str, Client], ours: Hospital) -> None:
    ask = VALID["POST /wards"](ours)
    kind = "Application/JSON; charset=utf-8"
    assert post_raw(staff["admin"], "POST /wards", ask, json.dumps(ask.body).encode(), kind).status_code == 201


@pytest.mark.parametrize("name", SENT)
def test_a_body_above_the_limit_is_413(
    standing_app: Flask, ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    client, ask = sign_in(standing_app, ours, login_for(name)), VALID[name](ours)
    unchanged()
    limit = "CLAIMS_BYTES_MAX" if name == "POST /claims/imports" else "MAX_CONTENT_LENGTH"
    most = standing_app.config[limit]
    assert_problem(post_raw(client, name, ask, b" " * (most + 1)), 413, "content_too_large")
    at_the_limit = json.dumps({"unknown": "x" * (most - 15)}).encode()
    assert len(at_the_limit) == most
    assert_problem(post_raw(client, name, ask, at_the_limit), 422, "validation_failed")


@pytest.mark.parametrize("name", [name for name in SENT if OPERATIONS[name].body is None])
def test_an_operation_without_a_body_takes_none(
    standing_app: Flask, ours: Hospital, unchanged: Callable[[], None], name: str
) -> None:
    client, ask = sign_in(standing_app, ours, login_for(name)), VALID[name](ours)
    unchanged()
    for data in (b'{"a": 1}', b"[]", b"null", b"x", b"\xff"):
        assert_problem(post_raw(client, name, ask, data), 422, "validation_failed")


# Anything at all

SHARE = 10  # bodies of an operation for so many examples of other tests
PATCHES_AND_POSTS = [name for name in SENT if not name.startswith("DELETE")]


def nearly(right: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A valid body in which some fields are anything at all, and some have gone."""
    some = st.dictionaries(st.sampled_from(sorted(right)), JSON, max_size=3)
    gone = st.sets(st.sampled_from(sorted(right)), max_size=1)
    return st.builds(
        lambda change, without: {name: value for name, value in {**right, **change}.items() if name not in without},
        some,
        gone,
    )


@pytest.fixture(scope="module")
def victims(standing_database: Any) -> Hospital:
    """A hospital of these tests' own, whose rows they may change."""
    hospital = open_hospital(standing_database)
    hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
    hospital.add_staff("spare", Role.NURSE, (hospital.ward_id,))
    return hospital


@pytest.mark.parametrize("name", PATCHES_AND_POSTS)
def test_anything_at_all_is_answered_below_500_and_a_refusal_changes_nothing(
    standing_app: Flask, victims: Hospital, name: str
) -> None:
    hospital = victims
    client, valid = arrive(standing_app, hospital, name, login_for(name)), VALID[name](hospital)
    known = everything(hospital)

    @settings(max_examples=settings().max_examples // SHARE, phases=[Phase.generate])
    @given(body=JSON | nearly(valid.body) if valid.body else JSON)
    def throw(body: Any) -> None:
        nonlocal known
        before, response = known, post_raw(client, name, valid, json.dumps(body).encode())
        known = everything(hospital)
        assert response.status_code < 500, (body, response.text)
        if response.status_code >= 400:
            assert_problem(response, response.status_code, response.get_json()["code"])
            assert known == before, body

    throw()
