"""While a shelf is counted blind, no read of the API and no page tells those who may count what it holds.

Every GET operation and every GET page is asked: one that tells a figure and forgets to hide it fails here.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from backend.actor import Role
from backend.domain.custody.counting import Counted
from tests import day
from tests.api.claims_requests import a_run
from tests.api.custody_requests import assigned
from tests.api.page_visits import WITHOUT_TENANT, Visit
from tests.api.test_tenancy_of_pages import Screens
from tests.api.valid_requests import OPERATIONS, READS, Ask, send
from tests.hospital import Client, Hospital, now, sign_in

PAR, REORDER_POINT = 900_000, 800_000
FIRST_LOT, SECOND_LOT, DOSE = 512_377, 221_924, 10
LEFT = FIRST_LOT + SECOND_LOT - DOSE
# What the shelf holds, by lot and together; what it held; what an earlier count found; what it lacks to its par.
FIGURES = (LEFT, FIRST_LOT, FIRST_LOT - DOSE, SECOND_LOT, FIRST_LOT + SECOND_LOT, FIRST_LOT - 1, PAR - LEFT)
CENTS = tuple(f"{units / 100:,.2f}" for units in FIGURES)  # a unit costs one
TOLD = re.compile(
    rf"(?<![\w.])-?({'|'.join(re.escape(text) for n in FIGURES for text in (str(n), f'{n:,}'))}"
    rf"|{'|'.join(map(re.escape, CENTS))})(?![\w])"
)
WHY = re.compile(r"hidden (during|while|until)|being counted|counted blind")
TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+")  # whose microseconds may look like a figure
# What a list and a page are asked for, where they take it.
FILTERS = ("ward_id", "drug_id", "patient_id", "at", "within_days", "scan", "limit")
FIELDS = ("ward_id", "drug_id", "patient_id", "source_ward_id", "destination_ward_id", "undo", "provider_id")
READS_OF_STOCK = {  # what tells a pharmacist or a nurse a figure when nobody counts
    *("GET /drugs", "GET /drugs/<uuid:drug_id>", "GET /mar", "GET /alerts", "GET /discrepancies"),
    *("GET /stock", "GET /stock/movements", "GET /stock/as-of", "GET /stock/expiring-value", "GET /stock/register"),
    *("GET /stock/replenishment", "GET /lots/<uuid:lot_id>", "GET /counts/<uuid:count_id>"),
    *("GET /discrepancies/<uuid:discrepancy_id>", "GET /counts/<uuid:count_id>/lines"),
}
PAGES_OF_BOTH = {
    *("GET /stock", "GET /stock/drugs/<uuid:drug_id>", "GET /charts", "GET /transfers/new", "GET /replenishment"),
    *("GET /wards/<uuid:ward_id>", "GET /wards/<uuid:ward_id>/board", "GET /orders/<uuid:order_id>/give"),
    *("GET /alerts", "GET /counts/<uuid:count_id>", "GET /discrepancies/<uuid:discrepancy_id>"),
}
PAGES_OF_STOCK = {
    "nurse": {*PAGES_OF_BOTH, "GET /", "GET /wards/<uuid:ward_id>/round"},
    "pharmacist": {
        *PAGES_OF_BOTH,
        *("GET /stock/wards/<uuid:ward_id>/drugs/<uuid:drug_id>/adjust", "GET /lots/<uuid:lot_id>"),
        *("GET /register", "GET /register/<uuid:drug_id>"),
    },
}


def tells(text: str) -> bool:
    """Whether an answer or a page tells one of the figures."""
    return TOLD.search(TIMES.sub("", text)) is not None


class Walk:
    """A hospital with a shelf of distinctive figures, and everybody who may look."""

    def __init__(self, app: Flask, hospital: Hospital) -> None:
        self.app, self.hospital = app, hospital
        hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2, unit_price_cents=1)
        hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
        self.ids: dict[str, Any] = {
            "ward_id": hospital.ward_id,
            "drug_id": hospital.drug_id,
            "patient_id": hospital.patient_id,
            "user_id": hospital.nurse.user_id,
            "provider_id": hospital.staff["doctor"].user_id,
            "source_ward_id": hospital.ward_id,
            "destination_ward_id": hospital.add_ward(),
            "within_days": "90",
            "scan": "04006381333931",
        }
        self.ids |= self._stocked()
        self.clients = {login: sign_in(app, hospital, login) for login in ("nurse", "pharmacist", "doctor", "admin")}
        self.screens = Screens(app, hospital)

    def _stocked(self) -> dict[str, Any]:
        """Two lots, an earlier count with a variance, a dose, an alert and a transfer that waits."""
        hospital = self.hospital
        hospital.change("UPDATE drugs SET gtin = '04006381333931' WHERE id = :p1", hospital.drug_id)
        day.set_levels(hospital, REORDER_POINT, PAR)
        lots = [
            hospital.receive(units, lot=f"S{units}", expires_on=(now() + timedelta(days=days)).date()).lot_id
            for units, days in ((FIRST_LOT, 20), (SECOND_LOT, 400))
        ]
        earlier = day.open_count(hospital)
        found = [Counted(lots[0], FIRST_LOT - 1), Counted(lots[1], SECOND_LOT)]
        day.record_count(hospital, earlier, *found)
        day.complete_count(hospital, earlier)
        given = hospital.place(units=DOSE)
        hospital.fulfil(given)
        day.refresh_alerts(hospital)
        ((dose,),) = hospital.rows("SELECT id FROM medication_administrations WHERE order_id = :p1", given)
        ((movement,),) = hospital.rows("SELECT id FROM stock_movements WHERE sequence = 1")
        return {
            "order_id": hospital.place(first_due_at=now() - timedelta(minutes=5)),
            "lot_id": lots[0],
            "count_id": earlier,
            "discrepancy_id": day.discrepancies(hospital)[0],
            "administration_id": dose,
            "undo": movement,
            "transfer_id": day.request(hospital, hospital.ward_id, self.ids["destination_ward_id"], 3),
            "run_id": a_run(hospital),
            "assignment_id": assigned(hospital, patient_id=hospital.patient_id)["assignment_id"],
        }

    def told(self, login: str) -> set[str]:
        """Which reads of the API tell `login` a figure of the shelf, as JSON or, a list, as CSV."""
        return {name for name in READS if tells(self._read(self.clients[login], name))}

    def shown(self, login: str) -> set[str]:
        """Which pages show `login` a figure of the shelf."""
        return {name for name in self._pages() if tells(self._visit(login, name))}

    def unexplained(self, login: str, pages: set[str]) -> set[str]:
        """Which of `pages` do not say why they show no figure."""
        return {name for name in pages if not WHY.search(self._visit(login, name))}

    def _read(self, client: Client, name: str) -> str:
        operation = OPERATIONS[name]
        promised = {field.data_key or key for key, field in (operation.query.fields if operation.query else {}).items()}
        asked = {**self.ids, "at": now().isoformat(), "limit": "200"}
        query = {name: asked[name] for name in FILTERS if name in promised}
        path = {key: self.ids[key] for key in re.findall(r"<uuid:(\w+)>", name)}
        forms = ("application/json", "text/csv") if operation.page else ("application/json",)
        answers = [send(client, name, Ask(path, None, query), headers={"Accept": form}) for form in forms]
        expected = 200 if client.actor.role in operation.roles else 403
        assert {answer.status_code for answer in answers} == {expected}, (name, answers[0].text)
        return "".join(answer.text for answer in answers)

    def _pages(self) -> list[str]:
        """Every page that the application has."""
        rules = [f"GET {rule.rule}" for rule in self.app.url_map.iter_rules() if "GET" in (rule.methods or ())]
        return [rule for rule in rules if not rule.startswith("GET /api/") and rule not in WITHOUT_TENANT]

    def _visit(self, login: str, name: str) -> str:
        path = {key: self.ids[key] for key in re.findall(r"<(?:[^:>]+:)?(\w+)>", name)}
        answer = self.screens.send(name, Visit(login, path, {key: str(self.ids[key]) for key in FIELDS}))
        assert answer.status_code in {200, 204, 403, 404}, (name, answer.text)
        return answer.text


@pytest.fixture
def walk(app: Flask, hospital: Hospital) -> Walk:
    return Walk(app, hospital)


@contextmanager
def counting(hospital: Hospital) -> Iterator[UUID]:
    """A blind count of the ward is open inside, and cancelled afterwards."""
    count_id = day.open_count(hospital)
    yield count_id
    day.cancel_count(hospital, count_id)


@pytest.mark.parametrize("login", ["nurse", "pharmacist"])
def test_no_read_tells_a_counter_what_the_shelf_holds(walk: Walk, login: str) -> None:
    before = walk.told(login)
    assert before == {name for name in READS_OF_STOCK if Role(login) in OPERATIONS[name].roles}
    with counting(walk.hospital):
        assert walk.told(login) == set()
    assert walk.told(login) == before


@pytest.mark.parametrize("login", ["nurse", "pharmacist"])
def test_no_page_shows_a_counter_what_the_shelf_holds(walk: Walk, login: str) -> None:
    assert walk.shown(login) == PAGES_OF_STOCK[login]
    with counting(walk.hospital):
        assert walk.shown(login) == set()
        assert walk.unexplained(login, PAGES_OF_STOCK[login]) == set()
    assert walk.shown(login) == PAGES_OF_STOCK[login]


@pytest.mark.parametrize("login", ["doctor", "admin"])
def test_people_who_may_not_count_see_the_figures_meanwhile(walk: Walk, login: str) -> None:
    before = walk.told(login), walk.shown(login)
    assert "GET /stock" in before[0] & before[1]
    with counting(walk.hospital):
        assert (walk.told(login), walk.shown(login)) == before
