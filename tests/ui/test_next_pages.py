"""Lists that are longer than a page shows: the page says that there is more, and every row can be reached."""

import html
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.domain.orders import cautions
from backend.domain.stock.ledger import Shelf
from backend.ui.pages import adjustments, transfers
from tests import day
from tests.hospital import Hospital
from tests.ui.test_doors import sign_in, token_on

GTIN = "04012345000016"
LINE = {"drug_id": "x", "drug_name": "x", "scan": "", "lot_number": "C-7", "expires_on": "2031-05-31",
        "quantity_units": "3"}  # fmt: skip
PAGES_MAX = 9  # that a test turns: a page that leads to itself fails
MORE = re.compile(r'<a class="btn" href="([^"]+)">\s*More')


@pytest.fixture
def pharmacist(ward_app: Flask, hospital: Hospital) -> FlaskClient:
    """The pharmacist's tab."""
    tab = ward_app.test_client()
    assert sign_in(tab, hospital, "pharmacist").status_code == 302
    return tab


def add_drugs(hospital: Hospital, name: str, count: int, *, schedule: int | None = None) -> None:
    """Add drugs called `name` and a number of three digits from 001 on."""
    hospital.change(
        "INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit, controlled_schedule)"
        " SELECT :p1, gen_random_uuid(), :p2 || ' ' || to_char(n, 'FM000'), 'generic', '1 mg', 'tablet', 'tablet', :p4"
        " FROM generate_series(1, :p3) n",
        hospital.organization_id,
        name,
        count,
        schedule,
    )


def walk(tab: FlaskClient, path: str, row: str) -> list[list[str]]:
    """The matches of `row` on the page at `path` and on those that follow it."""
    found: list[list[str]] = []
    while path and len(found) < PAGES_MAX:
        page = tab.get(path)
        assert page.status_code == 200, page.text
        found.append(re.findall(row, page.text))
        following = MORE.search(page.text)
        path = html.unescape(following[1]) if following else ""
    return found


@pytest.mark.parametrize("q", ["", "zomorph", "morph"])
def test_register_lists_every_controlled_drug_behind_a_long_formulary(
    hospital: Hospital, pharmacist: FlaskClient, q: str
) -> None:
    """Whatever precedes them in the alphabet takes no place on the page: the database leaves it out."""
    add_drugs(hospital, "Aspirin", 60)
    add_drugs(hospital, "Zomorph other", 60)
    add_drugs(hospital, "Zomorph", 60, schedule=2)
    pages = walk(pharmacist, f"/register?q={q}", r"Zomorph \d{3}")
    assert [len(page) for page in pages] == [50, 10]
    assert len({name for page in pages for name in page}) == 60


# Lots to adjust


def add_lots(hospital: Hospital, count: int, *, expires_on: str = "2031-05-31", name: str = "N") -> None:
    """Add lots of the drug that lie on no shelf, called `name` and a number of three digits."""
    hospital.change(
        "INSERT INTO lots (organization_id, id, drug_id, lot_number, expires_on)"
        " SELECT :p1, gen_random_uuid(), :p2, :p3 || '-' || to_char(n, 'FM000'), CAST(:p4 AS date) + n"
        " FROM generate_series(1, :p5) n",
        hospital.organization_id,
        hospital.drug_id,
        name,
        expires_on,
        count,
    )


def adjust_url(hospital: Hospital) -> str:
    return f"/stock/wards/{hospital.ward_id}/drugs/{hospital.drug_id}/adjust"


def offered(page: TestResponse) -> dict[str, str]:
    """The ids of the lots that the form offers, by number."""
    select = re.search(r'<select id="lot_id".*?</select>', page.text, re.DOTALL)
    assert select is not None, page.text
    options = re.findall(r'<option value="([^"]+)"[^>]*>([^,<]+)', select[0])
    return {number: lot_id for lot_id, number in options}


def chosen(page: TestResponse) -> list[str]:
    """The lot that the form has selected, as it is shown."""
    return re.findall(r'<option value="[^"]+" selected>([^,<]+)', page.text)


def press(page: TestResponse, button: str) -> str:
    """What the button with this text says of itself when the form is sent."""
    found = re.search(rf'<button [^>]*name="do" value="([^"]*)"[^>]*>{button}', page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


def post(tab: FlaskClient, path: str, page: TestResponse, **form: Any) -> TestResponse:
    """The answer to a form of `page`, filled in."""
    return tab.post(path, data={"csrf_token": token_on(page), **form})


def test_adjusting_offers_every_lot_page_by_page(
    hospital: Hospital, pharmacist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjustments, "LOTS_SHOWN", 3)
    hospital.receive(5, lot="HELD")
    add_lots(hospital, 7)
    path = adjust_url(hospital)
    page = pharmacist.get(path)
    seen = [offered(page)]
    while "More lots" in page.text and len(seen) < PAGES_MAX:
        page = post(pharmacist, path, page, quantity_units="2", note="found", do=press(page, "More lots"))
        assert page.status_code == 200
        assert 'value="found"' in page.text, "what was typed stays"
        seen.append(offered(page))
    assert all("HELD" in lots for lots in seen)
    assert {number for lots in seen for number in lots} == {"HELD", *(f"N-00{n}" for n in range(1, 8))}
    assert hospital.on_hand() == 5, "looking moves nothing"


def test_old_lots_take_no_place_among_those_that_may_be_added(
    hospital: Hospital, pharmacist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lots are listed by expiry: those that have expired would be the first page of any drug that is long in use."""
    monkeypatch.setattr(adjustments, "LOTS_SHOWN", 3)
    add_lots(hospital, 5, expires_on="2020-01-01", name="OLD")
    add_lots(hospital, 2)
    page = pharmacist.get(adjust_url(hospital))
    assert set(offered(page)) == {"N-001", "N-002"}
    assert "More lots" not in page.text


@pytest.mark.parametrize("what", ["N-007", f"(01){GTIN}(17)310607(10)N-007", f"01{GTIN}1731060710N-007"])
def test_lot_beyond_the_page_is_found_by_number_or_scan_and_adjusted(
    hospital: Hospital, pharmacist: FlaskClient, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(adjustments, "LOTS_SHOWN", 3)
    hospital.change("UPDATE drugs SET gtin = :p1", GTIN)
    add_lots(hospital, 7)
    path = adjust_url(hospital)
    typed = {"reason": "return", "direction": "add", "quantity_units": "4"}
    page = post(pharmacist, path, pharmacist.get(path), do="find", lot_number=what, **typed)
    assert chosen(page) == ["N-007"]
    refused = post(
        pharmacist, path, page, lot_number=what, lot_id=offered(page)["N-007"], **typed | {"note": "x" * 501}
    )
    assert (refused.status_code, chosen(refused)) == (422, ["N-007"]), "after a refusal it is still chosen"
    done = post(pharmacist, path, page, lot_number=what, lot_id=offered(page)["N-007"], **typed)
    assert (done.status_code, "Adjusted" in done.text) == (200, True)
    assert hospital.on_hand() == 4


def test_number_that_no_lot_has_is_said_to_be_unknown(
    hospital: Hospital, pharmacist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjustments, "LOTS_SHOWN", 3)
    add_lots(hospital, 7)
    path = adjust_url(hospital)
    lot_id = offered(pharmacist.get(path))["N-001"]
    for what in ("N-008", "12345678", f"01{GTIN}10N-007", "x" * 99, "(01)1", "]d2", "N\x1d1"):
        page = post(pharmacist, path, pharmacist.get(path), do="find", lot_number=what, lot_id=lot_id)
        assert (page.status_code, "No lot of this drug is found" in page.text) == (200, True), what
        assert chosen(page) == ["N-001"], "the lot that was chosen stays so"


def test_lot_of_digits_alone_is_found_although_a_scan_begins_so(
    hospital: Hospital, pharmacist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjustments, "LOTS_SHOWN", 3)
    add_lots(hospital, 7)
    hospital.change("UPDATE lots SET lot_number = '12345678' WHERE lot_number = 'N-007'")
    path = adjust_url(hospital)
    page = post(pharmacist, path, pharmacist.get(path), do="find", lot_number="12345678")
    assert chosen(page) == ["12345678"]


def test_lot_that_was_chosen_stays_chosen_on_another_page_of_lots(
    hospital: Hospital, pharmacist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next tap would take units of the first lot to expire instead."""
    monkeypatch.setattr(adjustments, "LOTS_SHOWN", 3)
    add_lots(hospital, 7)
    path = adjust_url(hospital)
    page = pharmacist.get(path)
    lot_id = offered(page)["N-001"]
    later = post(pharmacist, path, page, do=press(page, "More lots"), lot_id=lot_id)
    assert "N-001" not in offered(later)
    assert re.findall(r'<option value="([^"]+)" selected', later.text) == [lot_id]


# Drugs that a search finds


def test_receiving_offers_every_drug_that_is_found(hospital: Hospital, pharmacist: FlaskClient) -> None:
    add_drugs(hospital, "Zinc", 45)
    path = "/stock/receive"
    page = post(pharmacist, path, pharmacist.get(path), what="zinc", do="find")
    found = []
    while len(found) < PAGES_MAX:
        found.append(re.findall(r"Zinc \d{3}", page.text))
        if "More drugs" not in page.text:
            break
        assert "type more of the name" in page.text
        form = {"what": "something else now", "searched": "zinc", "do": press(page, "More drugs")}
        page = post(pharmacist, path, page, **form, **LINE)
        assert 'value="C-7"' in page.text, "the lines of the delivery stay"
    assert [len(drugs) for drugs in found] == [20, 20, 5]
    assert len({drug for drugs in found for drug in drugs}) == 45


def test_override_list_offers_every_drug_that_is_found(hospital: Hospital, pharmacist: FlaskClient) -> None:
    add_drugs(hospital, "Zinc", 45)
    pages = walk(pharmacist, f"/override-list?ward_id={hospital.ward_id}&q=zinc", r"Zinc \d{3}")
    assert [len(page) for page in pages] == [20, 20, 5]
    assert len({drug for page in pages for drug in page}) == 45


def test_delivery_with_a_field_missing_is_refused(hospital: Hospital, pharmacist: FlaskClient) -> None:
    """The lots of the lines after it would be taken for those of others, and the last line would be left out."""
    path = "/stock/receive"
    columns = {name: [value, value] for name, value in {**LINE, "drug_id": str(hospital.drug_id)}.items()}
    where = {"ward_id": str(hospital.ward_id), "do": "receive"}
    answer = post(pharmacist, path, pharmacist.get(path), **where, **columns | {"scan": [""]})
    assert (answer.status_code, "did not arrive" in answer.text) == (422, True)
    assert hospital.on_hand() == 0


# Transfers of many lots


@pytest.fixture
def dispatched(hospital: Hospital) -> str:
    """The page of a transfer to the nurse's ward: 3 units of each of four lots."""
    pharmacy = Shelf(hospital.organization_id, hospital.add_ward("Pharmacy"), hospital.drug_id)
    for number in range(1, 5):
        hospital.receive(3, lot=f"P-{number}", shelf=pharmacy)
    transfer_id = day.request(hospital, pharmacy.ward_id, hospital.ward_id, 12)
    day.dispatch(hospital, transfer_id)
    return f"/transfers/{transfer_id}"


def units_of(page: TestResponse) -> dict[str, str]:
    """The name of the field of each lot, by its number."""
    fields = re.findall(r'<label for="(units_[^"]+)">(?:(?!</label>).)*?lot (\S+)\s+<span', page.text, re.DOTALL)
    return {number: name for name, number in fields}


def test_arrival_of_many_lots_names_only_those_that_are_short(
    ward_app: Flask, hospital: Hospital, dispatched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "LOTS_TYPED_MAX", 3)
    nurse = ward_app.test_client()
    sign_in(nurse, hospital, "nurse")
    page = nurse.get(dispatched)
    names = units_of(page)
    assert set(names) == {"P-1", "P-2", "P-3", "P-4"}
    form = {"rest_as_sent": "yes", **dict.fromkeys(names.values(), "")}
    refused = post(nurse, f"{dispatched}/receive", page, **form | {names["P-2"]: "4"})
    assert (refused.status_code, 'name="rest_as_sent"' in refused.text) == (422, True)
    assert 'value="4"' in refused.text, "what was typed stays"
    answer = post(nurse, f"{dispatched}/receive", page, **form | {names["P-2"]: "1"})
    assert answer.status_code == 302, answer.text
    assert day.lots_on(hospital, hospital.ward_id) == {"P-1": 3, "P-2": 1, "P-3": 3, "P-4": 3}


def test_arrival_of_few_lots_takes_no_empty_field(ward_app: Flask, hospital: Hospital, dispatched: str) -> None:
    nurse = ward_app.test_client()
    sign_in(nurse, hospital, "nurse")
    page = nurse.get(dispatched)
    assert "rest_as_sent" not in page.text
    names = units_of(page)
    refused = post(nurse, f"{dispatched}/receive", page, **dict.fromkeys(names.values(), "") | {names["P-2"]: "1"})
    assert refused.status_code == 422
    assert day.lots_on(hospital, hospital.ward_id) == {}


# What a page compares


def test_prescribing_asks_to_confirm_that_not_all_orders_were_compared(
    ward_app: Flask, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cautions, "ORDERS_MAX", 2)
    other = hospital.add_drug("Zinc")
    doctor = ward_app.test_client()
    sign_in(doctor, hospital, "doctor")
    path = f"/prescribing/new?patient_id={hospital.patient_id}&drug_id={other}"
    hospital.place_many(2)
    assert "Not all orders were compared" not in doctor.get(path).text
    hospital.place()
    page = doctor.get(path)
    assert "Not all orders were compared" in page.text
    order = {"patient_id": str(hospital.patient_id), "drug_id": str(other), "ward_id": str(hospital.ward_id)}
    order |= {"quantity_units": "1", "doses": "1", "priority": "routine"}
    assert post(doctor, "/prescribing/new", page, **order).status_code == 409
    assert post(doctor, "/prescribing/new", page, **order, confirmed="orders unread").status_code == 302
