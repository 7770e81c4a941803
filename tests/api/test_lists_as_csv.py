"""Every list answers Accept: text/csv: the rows of its JSON, whole or with a link to the rest, and no formula."""

import csv
import io
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from backend.db import Database
from backend.web import tables
from tests.api.valid_requests import LISTS, OPERATIONS, assert_problem, least, login_for, send
from tests.counting import statements_of
from tests.hospital import Client, Hospital, open_hospital, sign_in

AS_CSV = {"Accept": "text/csv"}
MANY = tables.ROWS_MAX + 25


def read(response: TestResponse) -> list[dict[str, str]]:
    """The rows of an answer in CSV."""
    assert (response.status_code, response.content_type) == (200, "text/csv; charset=utf-8"), response.text
    return list(csv.DictReader(io.StringIO(response.text), strict=True))


def said(value: Any) -> Any:
    """A value of JSON as its cell says it; what has parts is compared as JSON."""
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        return value
    if isinstance(value, str):
        return f"'{value}" if value.startswith(tables.FORMULA) else value
    return json.dumps(value)


@pytest.mark.parametrize("name", LISTS)
def test_csv_of_a_list_says_what_its_json_says(spies: dict[str, Client], theirs: Hospital, name: str) -> None:
    client, ask = spies[login_for(name)], least(name, theirs, limit="200")
    page = send(client, name, ask).get_json()
    assert page["items"], "the hospital has rows of every list"
    answer = send(client, name, ask, headers=AS_CSV)
    rows = read(answer)
    columns = list(OPERATIONS[name].answer.fields)  # type: ignore[union-attr]
    assert list(rows[0]) == columns
    for row, item in zip(rows, page["items"], strict=True):
        for column in columns:
            told = json.loads(row[column]) if isinstance(item[column], (list, dict)) else row[column]
            assert told == said(item[column]), column
    assert ("Link" in answer.headers) is (page["next_cursor"] is not None)


@pytest.mark.parametrize("name", LISTS)
def test_csv_without_a_limit_holds_the_whole_list(spies: dict[str, Client], theirs: Hospital, name: str) -> None:
    client, total, cursor = spies[login_for(name)], 0, {}
    while True:
        page = send(client, name, least(name, theirs, limit="200", **cursor)).get_json()
        total += len(page["items"])
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    answer = send(client, name, least(name, theirs), headers=AS_CSV)
    assert len(read(answer)) == total
    assert "Link" not in answer.headers


@pytest.fixture
def many(hospital: Hospital) -> Hospital:
    """A hospital with more drugs than one answer in CSV holds."""
    hospital.change(
        "INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit)"
        " SELECT :p1, gen_random_uuid(), 'Bulk ' || n, 'bulk', '1', 'tablet', 'tablet' FROM generate_series(1, :p2) n",
        hospital.organization_id,
        MANY - 1,
    )
    return hospital


def test_link_of_a_long_csv_leads_through_the_whole_list(app: Flask, many: Hospital) -> None:
    nurse, query, ids, parts = sign_in(app, many, "nurse"), {"q": ""}, [], 0
    while True:
        answer = nurse.get("/drugs", query_string=query, headers=AS_CSV)
        ids += [row["id"] for row in read(answer)]
        parts += 1
        if "Link" not in answer.headers:
            break
        found = re.fullmatch(r'<(.+)>; rel="next"', answer.headers["Link"])
        assert found is not None
        assert urlsplit(found[1]).path == "/api/v1/drugs"
        query = {name: values[0] for name, values in parse_qs(urlsplit(found[1]).query).items()}
    assert (len(ids), len(set(ids)), parts) == (MANY, MANY, 2)


def test_cursor_of_a_link_begins_a_page_of_json_too(app: Flask, many: Hospital) -> None:
    nurse = sign_in(app, many, "nurse")
    link = nurse.get("/drugs", headers=AS_CSV).headers["Link"]
    (cursor,) = parse_qs(urlsplit(link.partition(">")[0]).query)["cursor"]
    rest = nurse.get("/drugs", query_string={"cursor": cursor, "limit": "200"}).get_json()
    assert (len(rest["items"]), rest["next_cursor"]) == (MANY - tables.ROWS_MAX, None)


def test_all_parts_of_a_csv_are_read_in_one_transaction(many: Hospital, app: Flask) -> None:
    sent = statements_of(app)
    nurse = sign_in(app, many, "nurse")
    sent.clear()
    assert len(read(nurse.get("/drugs", headers=AS_CSV))) == tables.ROWS_MAX
    assert len([one for one in sent if "FROM drugs" in one]) == tables.ROWS_MAX // tables.PAGE_ROWS
    assert len([one for one in sent if "BEGIN ISOLATION" in one]) == 1


FORMULAS = ["=1+1", "+1", "-1+2", "@SUM(A1)", '=HYPERLINK("http://x.example","here")', "x;=1+1", 'quoted "x", and y']


def test_text_that_a_spreadsheet_would_compute_stays_text(standing_database: Database, standing_app: Flask) -> None:
    hospital = open_hospital(standing_database)
    for name in FORMULAS:
        hospital.add_drug(name, generic_name="g")
    answer = sign_in(standing_app, hospital, "nurse").get("/drugs?q=g", headers=AS_CSV)
    names = {row["name"] for row in read(answer)}
    assert names == {f"'{name}" for name in FORMULAS[:5]} | set(FORMULAS[5:])
    semicolons = [row["name"] for row in csv.DictReader(io.StringIO(answer.text), delimiter=";") if "name" in row]
    assert not any(cell.startswith(tables.FORMULA) for cell in semicolons)
    assert '"x;=1+1"' in answer.text, "quoted, or a spreadsheet with another separator cuts it apart"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
        ("image/png", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json;q=0.5, text/csv", "text/csv"),
    ],
)
def test_csv_is_for_who_would_rather_have_it(staff: dict[str, Client], accept: str | None, media: str) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = staff["nurse"].get("/wards", headers=headers)
    assert (answer.status_code, answer.mimetype) == (200, media)
    assert answer.headers["Vary"] == "Accept"


def test_what_is_no_list_is_json_whatever_is_asked(staff: dict[str, Client]) -> None:
    assert staff["nurse"].get("/me", headers=AS_CSV).mimetype == "application/json"


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "10000"}, {"cursor": "x"}, {"nothing": "1"}])
def test_bad_query_is_refused_of_csv_too(staff: dict[str, Client], query: dict[str, str]) -> None:
    answer = staff["nurse"].get("/drugs", query_string=query, headers=AS_CSV)
    assert_problem(answer, 422, "validation_failed")


def test_limit_holds_for_csv_too(staff: dict[str, Client], ours: Hospital) -> None:
    answer = staff["nurse"].get("/stock/movements?limit=2", headers=AS_CSV)
    assert len(read(answer)) == 2
    assert "limit=2" in answer.headers["Link"]


def test_roles_of_a_list_are_those_of_its_csv(staff: dict[str, Client], ours: Hospital) -> None:
    name = "GET /lots/<uuid:lot_id>/patients"
    assert_problem(send(staff["nurse"], name, least(name, ours), headers=AS_CSV), 403, "forbidden")


@given(rows=st.lists(st.lists(st.text() | st.none() | st.booleans() | st.integers() | st.uuids(), min_size=1)))
def test_any_row_is_read_back_and_no_cell_is_a_formula(rows: list[list[Any]]) -> None:
    written = tables.csv_of(rows).decode(errors="surrogatepass")
    back = list(csv.reader(io.StringIO(written, newline="")))
    assert len(back) == len(rows)
    for row, found in zip(rows, back, strict=True):
        assert found == [str(tables.cell_of(value)) for value in row]
        texts = [cell for cell, value in zip(found, row, strict=True) if not isinstance(value, int)]
        assert not any(text.startswith(tables.FORMULA) for text in texts)
