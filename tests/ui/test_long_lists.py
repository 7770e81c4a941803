"""Lists that are longer than a page shows: nothing is left out unsaid, and what follows is reached by a link or a
search."""

import re
from datetime import date
from html import unescape

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.hospital import Hospital
from tests.ui.test_doors import send, sign_in


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that read one row at a time of what they read in pages of 200."""
    monkeypatch.setattr("backend.ui.asking.LIMIT_MAX", 1)


def tab(app: Flask, hospital: Hospital, login: str) -> FlaskClient:
    """A tab in which somebody has signed in, with a second factor."""
    client = app.test_client()
    assert sign_in(client, hospital, login).status_code == 302
    hospital.change("UPDATE access_tokens SET second_factor = true")
    return client


def link(page: str, label: str) -> str:
    """Where the link leads that begins with `label`; empty where there is none."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>{label}', page)
    return unescape(found[1]) if found else ""


def walked(client: FlaskClient, path: str, label: str) -> list[str]:
    """The pages from `path` on, each reached by the link `label` of the one before."""
    pages: list[str] = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(answer.text)
        path = link(answer.text, label)
    return pages


def test_a_long_count_is_typed_page_by_page_and_completed(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ui.counts.SHEET", 2)
    monkeypatch.setattr("backend.counts.queries.LINES_SHOWN", 2)
    for number in range(5):
        hospital.receive(7, lot=f"LOT-{number}", expires_on=date(2031, 1, 1 + number))
    client = tab(ward_app, hospital, "nurse")
    path = send(client, "/counts", "/counts", ward_id=str(hospital.ward_id), scope="all").location
    seen: list[str] = []
    for _ in range(3):
        page = client.get(path).text
        seen += re.findall(r">Lot (LOT-\d)", page)
        action = unescape(re.findall(r'class="count" method="post" action="([^"]+)"', page)[0])
        fields = dict.fromkeys(re.findall(r'name="(units_[^"]+)"', page), "7")
        if len(seen) == 2:
            refused = send(client, action, path, complete="yes", **fields)
            assert refused.status_code == 409
            assert re.findall(r">Lot (LOT-\d)", refused.text) == ["LOT-2", "LOT-3"], "the first that are not counted"
        following = re.findall(r'<button [^>]*name="next" value="([^"]+)"', page)
        button = {"next": following[0]} if following else {"complete": "yes"}
        path = send(client, action, path, **button, **fields).location
    assert seen == [f"LOT-{number}" for number in range(5)]
    assert hospital.rows("SELECT status::text FROM stock_counts") == [("completed",)]
    assert hospital.rows("SELECT counted_units FROM stock_count_lines") == [(7,)] * 5


@pytest.mark.usefixtures("one_at_a_time")
def test_every_entry_of_a_full_chart_is_reached(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ui.patients.ENTRY_PAGES", 1)
    hospital.receive(10)
    given = [orjson.loads(hospital.fulfil(hospital.place(units=1)).body)["administration_id"] for _ in range(3)]
    pages = walked(tab(ward_app, hospital, "nurse"), f"/patients/{hospital.patient_id}", "Earlier entries")
    assert [re.findall(r'href="/doses/([^"]+)"', page) for page in pages] == [[one] for one in reversed(given)]
    assert ["Newest entries" in page for page in pages] == [False, True, True]
    assert not any("Other day" in row for page in pages for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL))


@pytest.mark.usefixtures("one_at_a_time")
def test_active_orders_that_a_chart_leaves_out_are_on_their_own_page(ward_app: Flask, hospital: Hospital) -> None:
    placed = {str(hospital.place()) for _ in range(3)}
    client = tab(ward_app, hospital, "nurse")
    chart = client.get(f"/patients/{hospital.patient_id}").text
    assert "the newest 2 active orders" in chart
    pages = walked(client, link(chart, "All active orders"), "Earlier")
    assert {one for page in pages for one in re.findall(r'href="/prescribing/orders/([^"]+)"', page)} == placed
