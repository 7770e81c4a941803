"""A recall reaches everybody: more doses and patients than one page holds, of a lot that was given 100,000 times."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.engine.url import URL, make_url
from werkzeug.test import TestResponse

from backend import create_app
from backend.config import Config
from backend.db import Database
from backend.db.paging import PageRequest
from backend.db.provision import connect
from backend.domain.reports import tracing
from tests.conftest import create_database, drop_database
from tests.counting import statements_of
from tests.db.query_plans import Plan, Sent, explain
from tests.domain.reports.many_doses import give_many
from tests.hospital import Client, Hospital, open_hospital, sign_in

DOSES, PATIENTS = 100_000, 5_000
SECONDS_MAX = 30.0  # of a recall on a machine with much else to do; alone it takes one
BYTES_MAX = 5_000_000
BIG = {"stock_movements", "medication_administrations", "medication_orders"}


@dataclass(frozen=True)
class Given:
    """A hospital of which one lot was given DOSES times to PATIENTS patients, and another once."""

    app: Flask
    hospital: Hospital
    lot_id: UUID
    other_lot_id: UUID
    sent: list[str]

    @property
    def lot(self) -> dict[str, UUID]:
        """The lot, as the functions of tracing.py name it."""
        return {"organization_id": self.hospital.organization_id, "lot_id": self.lot_id}

    @property
    def pharmacist(self) -> Client:
        """Who recalls."""
        return sign_in(self.app, self.hospital, "pharmacist")


@pytest.fixture(scope="module")
def given(server_url: URL, owner_url: URL, migrated: Config) -> Iterator[Given]:
    config = create_database(owner_url, migrated)
    app = create_app(config)
    sent = statements_of(app)
    database: Database = app.extensions["valmed"]
    hospital = open_hospital(database)
    lot_id = hospital.receive(10).lot_id
    other = hospital.receive(10, lot="OTHER").lot_id
    hospital.change("UPDATE lots SET status = 'on_hold', status_reason = 'x' WHERE id = :p1", lot_id)
    hospital.fulfil(hospital.place())
    with closing(connect(server_url.set(database=make_url(config.database_url).database))) as filler:
        give_many(filler, hospital, lot_id, doses=DOSES, patients=PATIENTS)
    yield Given(app, hospital, lot_id, other, sent)
    database.engine.dispose()
    drop_database(server_url, config)


def _walk(client: Client, path: str, **query: str) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        page = client.get(path, query_string={"limit": "200", **query, **cursor}).get_json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def test_trace_of_a_hundred_thousand_doses_names_all_five_thousand_patients(given: Given) -> None:
    began = time.monotonic()
    response = given.pharmacist.get(f"/lots/{given.lot_id}")
    seconds = time.monotonic() - began
    lot = response.get_json()
    assert (lot["dose_count"], lot["patient_count"]) == (DOSES, PATIENTS)
    assert {patient["patient_name"] for patient in lot["patients"]} == {f"Patient {n:06}" for n in range(PATIENTS)}
    assert {patient["doses"] for patient in lot["patients"]} == {DOSES // PATIENTS}
    assert (len(lot["doses"]), lot["doses_truncated"]) == (tracing.DOSES_MAX, True)
    assert seconds < SECONDS_MAX, f"{seconds:.1f} s"
    assert len(response.data) < BYTES_MAX, f"{len(response.data)} bytes"


def test_patients_of_a_lot_are_walked_by_name_and_none_is_left_out(given: Given) -> None:
    found = list(_walk(given.pharmacist, f"/lots/{given.lot_id}/patients"))
    assert [patient["patient_name"] for patient in found] == [f"Patient {n:06}" for n in range(PATIENTS)]


def _counted(given: Given, ask: Callable[[], TestResponse]) -> tuple[int, dict[str, Any]]:
    """How many statements the answer took, and what it says."""
    given.sent.clear()
    answer = ask()
    assert answer.status_code == 200, answer.text
    return len([one for one in given.sent if not one.startswith("PREPARE")]), answer.get_json()


@pytest.mark.parametrize("below", ["", "/doses", "/patients"])
def test_a_lot_of_many_doses_takes_as_many_statements_as_one_of_one(given: Given, below: str) -> None:
    pharmacist = given.pharmacist
    counts = [
        _counted(given, lambda lot=lot: pharmacist.get(f"/lots/{lot}{below}"))[0]
        for lot in (given.other_lot_id, given.lot_id)
    ]
    assert counts[0] == counts[1]


def test_recall_names_everybody_in_as_many_statements_as_of_one_dose(given: Given) -> None:
    pharmacist, why = given.pharmacist, {"reason": "glass"}
    few, other = _counted(given, lambda: pharmacist.post(f"/lots/{given.other_lot_id}/recall", why))
    many, lot = _counted(given, lambda: pharmacist.post(f"/lots/{given.lot_id}/recall", why))
    assert few == many
    assert (other["dose_count"], len(other["patients"])) == (1, 1)
    assert (lot["status"], lot["dose_count"], len(lot["patients"])) == ("recalled", DOSES, PATIENTS)


def _read(given: Given, page: PageRequest, **wanted: Any) -> Sent:
    """What reading a page of the doses sends."""
    filters = {"ward_id": None, "patient_id": None, "since": None, "until": None, **wanted}
    hospital = given.hospital
    return explain(
        hospital.database,
        hospital.staff["pharmacist"],
        lambda session: tracing.list_doses(session, **given.lot, **filters, page=page),
    )


@pytest.mark.parametrize("far", [False, True], ids=["first page", "far down"])
def test_a_page_of_doses_begins_in_the_index_by_lot(given: Given, far: bool) -> None:
    key = (datetime(2026, 1, 20, tzinfo=UTC), given.lot_id)
    plan = _read(given, PageRequest(50, key if far else None)).plans[-1]
    (scan,) = plan.nodes_of("ix_stock_movements_given")
    assert "lot_id" in scan["Index Cond"]
    assert ("ROW(" in scan["Index Cond"]) is far
    assert plan.scanned & BIG == set(), plan.text
    assert "Sort" not in {node["Node Type"] for node in plan.nodes}, plan.text


def test_doses_of_some_days_are_found_in_the_index_by_lot(given: Given) -> None:
    plan = _read(given, PageRequest(50), until=datetime(2026, 1, 5, tzinfo=UTC)).plans[-1]
    (scan,) = plan.nodes_of("ix_stock_movements_given")
    assert "occurred_at" in scan["Index Cond"]


def test_without_its_index_a_page_of_doses_reads_all_that_moved(given: Given, server_url: URL) -> None:
    hospital, sent = given.hospital, _read(given, PageRequest(50))
    database = make_url(hospital.database.config.database_url).database
    with closing(connect(server_url.set(database=database))) as connection, connection.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(hospital.organization_id),))
        cursor.execute("BEGIN; DROP INDEX ix_stock_movements_given")
        without = Plan.of(cursor, sent.emitted[-1])
        cursor.execute("ROLLBACK")
    assert without.cost > sent.plans[-1].cost
    assert "stock_movements" in without.scanned
