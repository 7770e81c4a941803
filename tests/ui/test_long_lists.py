"""Lists that are longer than a page shows: nothing is left out unsaid, and what follows is reached by a link or a
search."""

import re
from dataclasses import replace
from datetime import date
from html import unescape

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.actor import Role
from backend.domain.care_team.models import CareRole
from tests import day
from tests.hospital import Hospital
from tests.ui.test_doors import send, sign_in


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that read one row at a time of what they read in pages of 200."""
    monkeypatch.setattr("backend.ui.frame.asking.LIMIT_MAX", 1)


def tab(app: Flask, hospital: Hospital, login: str) -> FlaskClient:
    """A tab in which somebody has signed in, with a second factor."""
    client = app.test_client()
    assert sign_in(client, hospital, login).status_code == 302
    hospital.change("UPDATE access_tokens SET second_factor = true")
    return client


def link(page: str, label: str) -> str:
    """Where the link leads that begins with `label`; empty where there is none."""
    words = r"\s+".join(label.split())
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>\s*{words}', page)
    return unescape(found[1]) if found else ""


def walked(client: FlaskClient, path: str, label: str) -> list[str]:
    """The pages from `path` on, each reached by the link `label` of the one before."""
    pages: list[str] = []
    gone: set[str] = set()
    while path:
        assert path not in gone, "the link leads in a circle"
        gone.add(path)
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(answer.text)
        path = link(answer.text, label)
    return pages


def test_a_long_count_is_typed_page_by_page_and_completed(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ui.pages.counts.SHEET", 2)
    monkeypatch.setattr("backend.domain.custody.count_queries.LINES_SHOWN", 2)
    for number in range(5):
        hospital.receive(7, lot=f"LOT-{number}", expires_on=date(2031, 1, 1 + number))
    client = tab(ward_app, hospital, "nurse")
    path = send(client, "/counts", "/counts", ward_id=str(hospital.ward_id), scope="all").location
    seen: list[str] = []
    for _ in range(3):
        page = client.get(path).text
        seen += re.findall(r">\s*Lot (LOT-\d)", page)
        action = unescape(re.findall(r'class="count" method="post" action="([^"]+)"', page)[0])
        fields = dict.fromkeys(re.findall(r'name="(units_[^"]+)"', page), "7")
        if len(seen) == 2:
            refused = send(client, action, path, complete="yes", **fields)
            assert refused.status_code == 409
            assert re.findall(r">\s*Lot (LOT-\d)", refused.text) == ["LOT-2", "LOT-3"], "the first that are not counted"
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
    monkeypatch.setattr("backend.ui.pages.patients.ENTRY_PAGES", 1)
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


def given_days_ago(hospital: Hospital, days: int) -> None:
    """A dose of one unit that the ledger recorded so many days ago."""
    hospital.change(
        "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
        " balance_after_units, reason, reference_id, occurred_at, recorded_at) SELECT organization_id,"
        " gen_random_uuid(), ward_id, drug_id, lot_id, 1000 - :p1, -1, 0, 'fulfilment', gen_random_uuid(), moment,"
        " moment FROM stock_lots, CAST(now() - make_interval(days => :p1) AS timestamptz) moment",
        days,
    )


@pytest.mark.parametrize("path", ["/charts?ward_id={ward_id}", "/stock/drugs/{drug_id}"])
@pytest.mark.usefixtures("one_at_a_time")
def test_a_chart_of_what_was_given_goes_on_where_it_had_to_end(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("backend.ui.pages.trends.CONSUMPTION_PAGES", 1)
    hospital.receive(10)
    for days in (12, 9, 6, 3):
        given_days_ago(hospital, days)
    client = tab(ward_app, hospital, "doctor")
    pages = walked(client, path.format(ward_id=hospital.ward_id, drug_id=hospital.drug_id), "From [^<]* on")
    assert [re.findall(r"(\d+) \w+ given in the days shown", page) for page in pages] == [["1"], ["1"], ["2"]]


@pytest.mark.usefixtures("one_at_a_time")
def test_a_chart_of_orders_goes_on_with_the_earlier_ones(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ui.pages.trends.LIMIT_MAX", 1)
    monkeypatch.setattr("backend.ui.pages.trends.ORDER_PAGES", 1)
    for _ in range(3):
        hospital.place()
    pages = walked(tab(ward_app, hospital, "doctor"), f"/charts?ward_id={hospital.ward_id}", "Earlier ones")
    assert [re.findall(r"(\d+) order placed", page) for page in pages] == [["1"]] * 3


@pytest.mark.usefixtures("one_at_a_time")
def test_staff_beyond_the_choice_of_the_audit_page_are_found_by_name(ward_app: Flask, hospital: Hospital) -> None:
    hospital.add_staff("zoe", Role.NURSE)
    client, zoe = tab(ward_app, hospital, "admin"), str(hospital.staff["zoe"].user_id)
    first = client.get("/audit").text
    assert f'<option value="{zoe}"' not in first
    assert "offers the first 1 of the staff" in first
    assert f'<option value="{zoe}"' in client.get("/audit?q=zoe").text
    assert f'<option value="{zoe}" selected' in client.get(f"/audit?actor_id={zoe}").text


@pytest.mark.usefixtures("one_at_a_time")
def test_of_more_staff_than_the_wards_page_names_each_ward_leads_to_its_own(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ui.pages.wards.PAGES", 1)
    hospital.change(
        "INSERT INTO wards (organization_id, id, name, kind) SELECT organization_id, gen_random_uuid(),"
        " 'Further ' || to_char(n, 'FM000'), kind FROM wards, generate_series(1, 60) n"
    )
    client = tab(ward_app, hospital, "admin")
    pages = walked(client, "/places", "More")
    assert len({name for page in pages for name in re.findall(r"Further \d+", page)}) == 60
    assert len(pages) == 2
    path = f"/staff?ward_id={hospital.ward_id}"
    assert any(path in page for page in pages)
    named = re.findall(r"<strong>(\w+)</strong>", client.get(path).text)
    assert "Nurse" in named
    assert "Admin" not in named


def test_somebody_works_on_more_wards_than_one_request_names(ward_app: Flask, hospital: Hospital) -> None:
    many = 405
    hospital.change(
        "INSERT INTO wards (organization_id, id, name, kind) SELECT organization_id, gen_random_uuid(),"
        " 'Further ' || n, kind FROM wards, generate_series(1, :p1) n",
        many,
    )
    client = tab(ward_app, hospital, "admin")
    path = f"/staff/{hospital.nurse.user_id}"

    def tick(keep: int) -> int:
        page = client.get(path).text
        wards = re.findall(r'name="ward_ids" value="([^"]+)"', page)
        had = re.findall(r'name="had_ward_ids" value="([^"]+)"', page)
        form = {"csrf_token": re.findall(r'name="csrf_token" value="([^"]+)"', page)[0], "active": "1"}
        ticked = {"name": "Nurse", "role": "nurse", "ward_ids": wards[:keep], "had_ward_ids": had, "key": f"k{keep}"}
        answer = client.post(path, data={**form, **ticked}, headers={"Referer": f"http://localhost{path}"})
        assert answer.status_code == 302, answer.text
        mine = hospital.rows("SELECT count(*) FROM ward_memberships WHERE user_id = :p1", hospital.nurse.user_id)
        return int(mine[0][0])

    assert tick(many) == many
    assert tick(3) == 3


@pytest.mark.usefixtures("one_at_a_time")
def test_a_long_care_team_is_walked_and_each_member_can_be_removed(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ui.pages.care_team.TEAM_PAGES", 1)
    monkeypatch.setattr("backend.ui.pages.care_team.DOCTORS_MAX", 1)
    joined = []
    for login, role in (("ada", CareRole.PRIMARY), ("ben", CareRole.SPECIALIST), ("eva", CareRole.CONSULTANT)):
        doctor = hospital.add_staff(login, Role.DOCTOR)
        joined.append(str(day.assign(hospital, hospital.patient_id, doctor.user_id, role)))
    client, path = tab(ward_app, hospital, "admin"), f"/patients/{hospital.patient_id}/care-team"
    pages = walked(client, path, "More of the team")
    assert [re.findall(r"care-team/([0-9a-f-]{36})/remove", page) for page in pages] == [[one] for one in joined]
    assert not any("no primary provider" in page for page in pages)
    for assignment_id in joined:
        assert client.get(f"{path}/{assignment_id}/remove").status_code == 200
    assert "More doctors match" in pages[0]
    assert "More doctors match" not in client.get(f"{path}?q=doctor").text
    chart = client.get(f"/patients/{hospital.patient_id}").text
    assert link(chart, "All of the care team") == path


@pytest.mark.usefixtures("one_at_a_time")
def test_every_ward_that_holds_a_drug_is_reached_from_its_page(ward_app: Flask, hospital: Hospital) -> None:
    wards = [hospital.ward_id, hospital.add_ward("Z1"), hospital.add_ward("Z2")]
    for number, ward_id in enumerate(wards):
        hospital.receive(11 + number, shelf=replace(hospital.shelf, ward_id=ward_id))
    client, path = tab(ward_app, hospital, "nurse"), f"/stock/drugs/{hospital.drug_id}"
    pages = walked(client, path, "Further wards")
    shown = [set(re.findall(r'<th scope="row">\s*<a [^>]*ward_id=([0-9a-f-]{36})', page)) for page in pages]
    assert shown[0] | shown[1] | shown[2] == {str(ward_id) for ward_id in wards}
    assert all("These are 1 of the wards" in page for page in pages)
    for number, ward_id in enumerate(wards):
        assert f"<dd>{11 + number} tablets</dd>" in client.get(f"{path}?ward_id={ward_id}").text
