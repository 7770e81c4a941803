"""What the ledger tells over HTTP: stock at a moment, consumption by day, the value of what expires."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backend.domain.stock.ledger import Shelf
from tests.api.valid_requests import assert_problem
from tests.hospital import Client, Hospital, now

AS_OF = ["ward_id", "ward_name", "drug_id", "drug_name", "on_hand_units", "figures_hidden", "as_of"]
CONSUMPTION = ["day", "ward_id", "ward_name", "drug_id", "drug_name", "unit", "units_given"]
EXPIRING = [
    *("ward_id", "ward_name", "expired_units", "expired_value_cents", "expiring_units", "expiring_value_cents"),
    *("unpriced_units", "figures_hidden"),
]
Rows = list[dict[str, Any]]
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


def items(client: Client, path: str, **query: Any) -> Rows:
    """The rows of the first page."""
    response = client.get(path, query_string=query)
    assert response.status_code == 200, response.text
    found: Rows = response.get_json()["items"]
    return found


def pointers(client: Client, path: str, **query: Any) -> list[str]:
    """What a refused request did wrong."""
    document = assert_problem(client.get(path, query_string=query), 422, "validation_failed")
    return [error["pointer"] for error in document["errors"]]


def book(
    hospital: Hospital, shelf: Shelf, recorded_at: datetime, units: int, *, balance: int = 0, reason: str = "fulfilment"
) -> None:
    """Adds a line to the ledger, and to nothing else, as if it had been recorded at that time."""
    hospital.change(
        "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
        " balance_after_units, reason, reference_id, occurred_at, recorded_at)"
        " SELECT s.organization_id, gen_random_uuid(), s.ward_id, s.drug_id, s.lot_id, 1000 + (SELECT count(*)"
        " FROM stock_movements), :p1, :p2, cast(:p3 AS movement_reason), gen_random_uuid(), now(), :p4"
        " FROM stock_lots s WHERE s.ward_id = :p5 AND s.drug_id = :p6 LIMIT 1",
        *(units, balance, reason, recorded_at, shelf.ward_id, shelf.drug_id),
    )


@pytest.fixture
def other(hospital: Hospital) -> Shelf:
    """Another ward's shelf of another drug, and stock on both shelves."""
    shelf = replace(hospital.shelf, ward_id=hospital.add_ward("Elsewhere"), drug_id=hospital.add_drug("Zolpidem"))
    hospital.receive(50)
    hospital.receive(50, shelf=shelf)
    return shelf


# Stock at a moment


def test_a_shelf_held_what_its_last_movement_until_then_left(
    hospital: Hospital, clients: dict[str, Client], other: Shelf
) -> None:
    book(hospital, hospital.shelf, NOON, 7, balance=7, reason="receipt")
    book(hospital, hospital.shelf, NOON + timedelta(hours=1), -3, balance=4)
    book(hospital, hospital.shelf, NOON + timedelta(hours=1), -1, balance=3)

    def held(at: datetime) -> int:
        rows = items(clients["doctor"], "/stock/as-of", at=at.isoformat(), drug_id=hospital.drug_id)
        assert list(rows[0]) == AS_OF
        return int(rows[0]["on_hand_units"])

    tick = timedelta(microseconds=1)
    assert held(NOON - tick) == 0
    assert held(NOON) == 7, "the moment itself counts"
    assert held(NOON + timedelta(hours=1) - tick) == 7
    assert held(NOON + timedelta(hours=1)) == 3, "of one moment, the last in the ledger"
    assert held(now()) == 50


def test_shelves_at_a_moment_come_by_drug_name_and_are_filtered(
    hospital: Hospital, clients: dict[str, Client], other: Shelf
) -> None:
    def seen(**query: Any) -> list[tuple[str, str]]:
        rows = items(clients["nurse"], "/stock/as-of", at="2026-01-10T13:00:00+01:00", **query)
        assert {row["as_of"] for row in rows} <= {"2026-01-10T12:00:00Z"}
        return [(row["drug_name"], row["ward_name"]) for row in rows]

    assert seen() == [("Amoxicillin", "1 North"), ("Zolpidem", "Elsewhere")]
    assert seen(ward_id=other.ward_id) == seen(drug_id=other.drug_id) == [("Zolpidem", "Elsewhere")]
    assert seen(ward_id=other.ward_id, drug_id=hospital.drug_id) == []


def test_the_future_is_not_told(clients: dict[str, Client]) -> None:
    soon = (now() + timedelta(minutes=1)).isoformat()
    assert pointers(clients["nurse"], "/stock/as-of", at=soon) == ["/at"]
    assert pointers(clients["nurse"], "/stock/as-of") == ["/at"]


# Consumption


def test_what_was_given_today_is_told(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.receive(20, lot="A", expires_on=now().date() + timedelta(days=90))
    hospital.receive(20, lot="B")
    hospital.fulfil(hospital.place(units=25))
    hospital.fulfil(hospital.place(units=5))
    (row,) = items(clients["doctor"], "/stock/consumption", ward_id=hospital.ward_id)
    ((today,),) = hospital.rows("SELECT (now() AT TIME ZONE 'Europe/Berlin')::date")
    assert row == {
        "day": today.isoformat(),
        "ward_id": str(hospital.ward_id),
        "ward_name": "1 North",
        "drug_id": str(hospital.drug_id),
        "drug_name": "Amoxicillin",
        "unit": "tablet",
        "units_given": 30,
    }
    assert list(row) == CONSUMPTION


def test_a_day_is_the_hospitals_also_when_the_clocks_change(
    hospital: Hospital, clients: dict[str, Client], other: Shelf
) -> None:
    for moment in ("03-27T22:59:59.999999", "03-27T23:00:00", "03-28T22:59:59", "03-28T23:00:00", "03-29T21:59:59"):
        book(hospital, hospital.shelf, datetime.fromisoformat(f"2026-{moment}+00:00"), -1)
    book(hospital, hospital.shelf, datetime(2026, 3, 29, 22, tzinfo=UTC), -100)
    days = {"from": "2026-03-27", "to": "2026-03-29"}
    rows = items(clients["nurse"], "/stock/consumption", drug_id=hospital.drug_id, **days)
    assert [(row["day"], row["units_given"]) for row in rows] == [
        *(("2026-03-27", 1), ("2026-03-28", 2), ("2026-03-29", 2)),
    ]
    hospital.change("UPDATE organizations SET time_zone = 'UTC'")
    rows = items(clients["nurse"], "/stock/consumption", drug_id=hospital.drug_id, **days)
    assert [row["units_given"] for row in rows] == [2, 2, 101]


def test_only_what_was_given_counts_by_ward_and_drug(
    hospital: Hospital, clients: dict[str, Client], other: Shelf
) -> None:
    here, there = hospital.shelf, replace(hospital.shelf, ward_id=other.ward_id)
    hospital.receive(5, shelf=there)
    for shelf, units in ((here, -1), (here, -2), (there, -4), (other, -8)):
        book(hospital, shelf, NOON, units)
    for reason, units in (("receipt", 16), ("waste", -32), ("transfer_out", -64), ("return", 128), ("loss", -256)):
        book(hospital, here, NOON, units, reason=reason)

    def given(**query: Any) -> list[int]:
        days = {"from": "2026-01-10", "to": "2026-01-10"}
        return [row["units_given"] for row in items(clients["nurse"], "/stock/consumption", **days, **query)]

    assert given(ward_id=here.ward_id) == [3]
    assert given(drug_id=here.drug_id) == [3, 4]
    assert given(ward_id=other.ward_id) == [4, 8]
    assert given(ward_id=other.ward_id, drug_id=other.drug_id) == [8]
    assert given(ward_id=here.ward_id, drug_id=other.drug_id) == []


def test_what_was_wasted_or_put_back_of_a_dose_was_not_given(hospital: Hospital, clients: dict[str, Client]) -> None:
    """As the entry itself says: withdrawn units are given, wasted or returned, each of its own lot."""
    soon = (now() + timedelta(days=90)).date()
    first, second = (hospital.receive(units, lot=f"{units}", expires_on=soon).lot_id for units in (4, 6))
    dose = hospital.fulfil(hospital.place(units=10)).body
    hospital.receive(5)
    hospital.fulfil(hospital.place(units=5))
    path = f"/administrations/{json.loads(dose)['administration_id']}"
    nurse = clients["nurse"]
    for kind, lot_id, units in (("waste", first, 1), ("return", first, 1), ("return", second, 3)):
        assert nurse.post(f"{path}/{kind}", {"quantity_units": units, "lot_id": str(lot_id)}).status_code == 201
    entry = nurse.get(path).get_json()
    left = entry["quantity_units"] - entry["wasted_units"] - entry["returned_units"]
    (row,) = items(nurse, "/stock/consumption", ward_id=hospital.ward_id)
    assert (left, row["units_given"]) == (5, 5 + 5)


def test_a_page_of_consumption_ends_within_a_day(hospital: Hospital, clients: dict[str, Client]) -> None:
    shelves = [replace(hospital.shelf, drug_id=hospital.add_drug()) for _ in range(3)]
    for shelf in shelves:
        hospital.receive(1, shelf=shelf)
        for days in (0, 2):
            book(hospital, shelf, NOON + timedelta(days=days), -1)
    query = {"ward_id": hospital.ward_id, "from": "2026-01-01", "to": "2026-01-31"}
    whole = items(clients["nurse"], "/stock/consumption", **query)
    assert [row["day"][-2:] for row in whole] == ["10", "10", "10", "12", "12", "12"]
    for limit in (1, 2, 4, 5):
        walked: Rows = []
        cursor: dict[str, str] = {}
        while True:
            page = clients["nurse"].get("/stock/consumption", query_string={**query, "limit": limit, **cursor})
            walked += page.get_json()["items"]
            if page.get_json()["next_cursor"] is None:
                break
            cursor = {"cursor": page.get_json()["next_cursor"]}
        assert walked == whole


def test_consumption_is_of_a_ward_or_a_drug_and_of_92_days_at_most(
    hospital: Hospital, clients: dict[str, Client], other: Shelf
) -> None:
    nurse, path, ward = clients["nurse"], "/stock/consumption", {"ward_id": hospital.ward_id}
    assert pointers(nurse, path) == ["/ward_id"]
    assert pointers(nurse, path, **ward, **{"from": "2026-01-02", "to": "2026-01-01"}) == ["/from"]
    assert pointers(nurse, path, **ward, **{"from": "2026-01-01", "to": "2026-04-03"}) == ["/from"]
    assert items(nurse, path, **ward, **{"from": "2026-01-01", "to": "2026-04-02"}) == []
    assert items(nurse, path, drug_id=hospital.drug_id) == []
    book(hospital, hospital.shelf, now() - timedelta(days=29), -1)
    book(hospital, hospital.shelf, now() - timedelta(days=30), -1)
    assert len(items(nurse, path, **ward)) == 1, "the last 30 days"
    ((today,),) = hospital.rows("SELECT (now() AT TIME ZONE 'Europe/Berlin')::date")
    assert len(items(nurse, path, **ward, **{"from": today - timedelta(days=30)})) == 2
    assert len(items(nurse, path, **ward, to=today - timedelta(days=1))) == 2


# The value of what expires


def stocked(hospital: Hospital, ward_id: UUID, price: int | None, lots: dict[int, int]) -> None:
    """A drug of that price with units in lots that expire so many days from today."""
    shelf = replace(hospital.shelf, ward_id=ward_id, drug_id=hospital.add_drug(unit_price_cents=price))
    ((today,),) = hospital.rows("SELECT (now() AT TIME ZONE 'Europe/Berlin')::date")
    for days, units in lots.items():
        good_until = date(2100, 1, 1) + timedelta(days=days)
        lot_id = hospital.receive(units, lot=f"lot {days}", shelf=shelf, expires_on=good_until).lot_id
        hospital.change("UPDATE lots SET expires_on = :p1 WHERE id = :p2", today + timedelta(days=days), lot_id)


def test_the_value_of_what_expires_is_told_by_ward(hospital: Hospital, clients: dict[str, Client]) -> None:
    elsewhere = hospital.add_ward("Elsewhere")
    hospital.add_ward("Nothing Here")
    stocked(hospital, hospital.ward_id, 250, {-400: 1, -1: 2, 0: 4, 30: 8, 31: 16, 61: 32, 91: 64})
    stocked(hospital, hospital.ward_id, 1, {-1: 100, 5: 1_000})
    stocked(hospital, hospital.ward_id, None, {-1: 7, 30: 9})
    stocked(hospital, elsewhere, 100_000_000, {-1: 1_000_000})
    stocked(hospital, elsewhere, 0, {1: 3})
    hospital.change("UPDATE lots SET status = 'recalled', status_reason = 'particles' WHERE lot_number = 'lot -400'")
    north = ["1 North", 1 + 2 + 100 + 7, 3 * 250 + 100, 4 + 8 + 1_000 + 9, 12 * 250 + 1_000, 16]
    other = ["Elsewhere", 1_000_000, 10**14, 3, 0, 0]
    nothing = ["Nothing Here", 0, 0, 0, 0, 0]

    def figures(**query: Any) -> list[list[Any]]:
        rows = items(clients["pharmacist"], "/stock/expiring-value", **query)
        assert all(list(row) == EXPIRING for row in rows)
        return [list(row.values())[1:-1] for row in rows]

    assert figures() == [north, other, nothing]
    assert figures(ward_id=elsewhere) == [other]
    (wider,) = figures(ward_id=hospital.ward_id, within_days="60")
    assert wider[3:5] == [north[3] + 16, north[4] + 16 * 250]
    (widest,) = figures(ward_id=hospital.ward_id, within_days="90")
    assert widest[3:5] == [north[3] + 48, north[4] + 48 * 250]


def test_what_was_used_up_is_not_lost(hospital: Hospital, clients: dict[str, Client]) -> None:
    hospital.receive(5, expires_on=now().date() + timedelta(days=10))
    hospital.fulfil(hospital.place(units=5))
    (row,) = items(clients["admin"], "/stock/expiring-value")
    assert (row["ward_name"], row["expiring_units"], row["expiring_value_cents"]) == ("1 North", 0, 0)
