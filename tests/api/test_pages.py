"""Lists: keyset pages that lose and double nothing, searches, filters and the states of stock."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from backend.actor import Role
from backend.db import Database
from backend.domain.orders.models import Priority
from backend.domain.stock import levels
from backend.domain.stock.ledger import Shelf
from tests.api.custody_requests import Ask
from tests.api.list_growth import GROW, stocked
from tests.api.valid_requests import LISTS, login_for, url_of
from tests.hospital import Client, Hospital, now, open_hospital, sign_in

Rows = list[dict[str, Any]]


@pytest.fixture
def nurse(app: Flask, hospital: Hospital) -> Client:
    return sign_in(app, hospital, "nurse")


def pages(client: Client, path: str, limit: int = 2, **query: Any) -> Iterator[Rows]:
    """The pages of a list, one after another."""
    cursor = None
    while True:
        parameters = {**query, "limit": limit, **({"cursor": cursor} if cursor else {})}
        response = client.get(path, query_string=parameters)
        assert response.status_code == 200, response.text
        yield response.get_json()["items"]
        cursor = response.get_json()["next_cursor"]
        if cursor is None:
            return


def listed(client: Client, path: str, **query: Any) -> Rows:
    """Every row of a list."""
    return [row for page in pages(client, path, **query) for row in page]


NARROWED: dict[str, Callable[[Hospital], dict[str, Any]]] = {
    "GET /users": lambda h: {"q": "walker"},
    "GET /patients": lambda h: {"q": "walker"},
    "GET /drugs": lambda h: {"q": "walker"},
    "GET /stock": lambda h: {"q": "walker"},
    "GET /stock/as-of": lambda h: {"at": "2026-01-01T00:00:00Z"},
    "GET /stock/register": lambda h: {"drug_id": h.drug_id},
    "GET /audit": lambda h: {"table": "wards"},
    "GET /stock/consumption": lambda h: {"drug_id": h.drug_id, "from": "2026-01-01", "to": "2026-01-31"},
}
# Rows that every hospital begins with, and that cannot be narrowed away.
PRESENT = {"GET /wards": 1, "GET /stock/expiring-value": 1, "GET /audit": 1}
BY_TIME = {
    *("GET /orders", "GET /stock/movements", "GET /administrations", "GET /override-drugs", "GET /overrides"),
    "GET /patients/<uuid:patient_id>/care-team/history",
    "GET /lots/<uuid:lot_id>/doses",
    *("GET /transfers", "GET /counts", "GET /discrepancies", "GET /stock/register", "GET /alerts"),
    *("GET /audit", "GET /drift/runs"),
}


NAMES = ("patient_name", "cpt_group", "expires_on", "email", "name", "provider_name", "day", "drug_name", "ward_name")
TIMES = (
    *("started_at", "assigned_at", "recorded_at", "administered_at", "opened_at", "requested_at"),
    *("created_at", "occurred_at", "given_at"),
)


def narrowed(hospital: Hospital, name: str) -> dict[str, Any]:
    """The query that leaves of a list what GROW made, and what it needs to be answered at all."""
    return NARROWED.get(name, lambda h: {})(hospital)


def path_of(hospital: Hospital, name: str) -> str:
    """Where the list is: of the hospital's patient, of its only run and count, of the lot that was given."""
    given = "SELECT lot_id FROM stock_movements WHERE reason = 'fulfilment' LIMIT 1"
    only = ", ".join(f"(SELECT id FROM {table} LIMIT 1)" for table in ("report_runs", "stock_counts"))
    ((run_id, count_id, lot_id),) = hospital.rows(f"SELECT {only}, ({given})")
    ids = {"patient_id": hospital.patient_id, "run_id": run_id, "count_id": count_id, "lot_id": lot_id}
    return url_of(name, Ask(path=ids))


@pytest.fixture
def reader(app: Flask, hospital: Hospital) -> Callable[[str], Client]:
    """Who may read a list."""
    return lambda name: sign_in(app, hospital, login_for(name))


def key_of(row: dict[str, Any]) -> Any:
    """What tells one row of a list from another."""
    known = row.get("id") or row.get("administration_id") or row.get("patient_id")
    return known or tuple(row.get(name) for name in ("day", "ward_id", "drug_id", "lot_id"))


def test_every_list_is_walked_here() -> None:
    assert set(GROW) == set(LISTS)


@pytest.mark.parametrize("name", LISTS)
def test_pages_of_two_give_every_row_once_and_in_order(
    hospital: Hospital, reader: Callable[[str], Client], name: str
) -> None:
    for letter in "cadbe"[PRESENT.get(name, 0) :]:
        GROW[name](hospital, letter)
    path, query, client = path_of(hospital, name), narrowed(hospital, name), reader(name)
    (whole,) = pages(client, path, limit=200, **query)
    assert len(whole) == 5
    walked = list(pages(client, path, **query))
    assert [len(page) for page in walked] == [2, 2, 1]
    assert [row for page in walked for row in page] == whole
    assert list(pages(client, path, limit=5, **query)) == [whole], "a full last page has no cursor"
    if name in BY_TIME:
        times = [next(row[key] for key in TIMES if row.get(key)) for row in whole]
        assert times == sorted(times, reverse=True)
    else:
        names = [next(str(row[key]) for key in NAMES if row.get(key)) for row in whole]
        assert names == sorted(names)


@pytest.mark.parametrize("name", LISTS)
def test_rows_that_come_meanwhile_neither_lose_nor_double_one(
    hospital: Hospital, reader: Callable[[str], Client], name: str
) -> None:
    for letter in "cegik"[PRESENT.get(name, 0) :]:
        GROW[name](hospital, letter)
    path, query, client = path_of(hospital, name), narrowed(hospital, name), reader(name)
    (before,) = pages(client, path, limit=200, **query)
    seen: Rows = []
    for number, page in enumerate(pages(client, path, **query)):
        seen += page
        for letter in ("ah", "bj", "dz", "")[number]:
            GROW[name](hospital, letter)
    keys = [key_of(row) for row in seen]
    assert len(keys) == len(set(keys))
    assert [key_of(row) for row in seen if row in before] == [key_of(row) for row in before]
    assert len(seen) == (5 if name in BY_TIME else 8), "h, j and z came after the place that was read"


@pytest.mark.parametrize(
    ("name", "column", "query"),
    [("GET /orders", "created_at", {}), ("GET /stock/movements", "recorded_at", {"to": "2026-01-02T00:00:00Z"})],
)
def test_rows_of_one_moment_are_told_apart_by_their_id(
    hospital: Hospital, nurse: Client, name: str, column: str, query: dict[str, str]
) -> None:
    moment = "2026-01-01T00:00:00.000001Z"
    hospital.receive(1)
    hospital.change(
        "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
        " balance_after_units, reason, reference_id, occurred_at, recorded_at) SELECT organization_id,"
        " gen_random_uuid(), ward_id, drug_id, lot_id, 10 + n, 1, 1, 'receipt', gen_random_uuid(), now(), :p1"
        " FROM stock_movements, generate_series(1, 5) n",
        moment,
    )
    hospital.place_many(5)
    hospital.change("UPDATE medication_orders SET created_at = :p1", moment)
    path = name.removeprefix("GET ")
    rows = listed(nurse, path, **query)
    assert len({row[column] for row in rows}) == 1
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert len(rows) == 5


def test_drugs_of_one_name_are_told_apart_by_their_id(hospital: Hospital, nurse: Client) -> None:
    for strength in ("1 mg", "2 mg", "3 mg", "4 mg", "5 mg"):
        hospital.add_drug("Same", strength=strength)
    assert sorted(row["strength"] for row in listed(nurse, "/drugs", q="same")) == [f"{n} mg" for n in range(1, 6)]


def test_the_limit_is_50_unless_given_and_200_at_most(hospital: Hospital, nurse: Client) -> None:
    hospital.change(
        "INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit)"
        " SELECT :p1, gen_random_uuid(), 'Bulk ' || n, 'bulk', '1', 'tablet', 'tablet' FROM generate_series(1, 201) n",
        hospital.organization_id,
    )
    assert len(nurse.get("/drugs").get_json()["items"]) == 50
    assert len(nurse.get("/drugs?limit=200").get_json()["items"]) == 200
    assert len(nurse.get("/drugs?limit=1").get_json()["items"]) == 1
    assert len(listed(nurse, "/drugs", limit=50)) == 202


@pytest.mark.parametrize("character", ["💊", "Ä", '"', "\\", "İ"])
def test_a_long_name_makes_no_cursor_that_its_own_list_refuses(
    hospital: Hospital, nurse: Client, character: str
) -> None:
    for number in range(3):
        hospital.add_drug(str(number) + character * 199)
        hospital.admit(str(number) + character * 199)
    assert len(listed(nurse, "/drugs", limit=1)) == 4
    assert len(listed(nurse, "/patients", limit=1)) == 4


# Searches


@pytest.fixture(scope="module")
def searcher(standing_app: Flask, standing_database: Database) -> Client:
    """A nurse whose formulary repeats parts of names."""
    hospital = open_hospital(standing_database)
    for brand, generic in (
        ("Penicillin V", "phenoxymethylpenicillin"),
        ("Ampicillin", "ampicillin"),
        ("Tazocin", "piperacillin/tazobactam"),
        ("Panadol", "paracetamol"),
        ("Calpol", "paracetamol"),
        ("Äthanol 70%", "ethanol"),
        ("Glucose 5%", "glucose"),
        ("Under_score", "under"),
        ("50% Back\\slash", "back"),
    ):
        hospital.add_drug(brand, generic_name=generic)
    return sign_in(standing_app, hospital, "nurse")


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("amox", ["Amoxicillin"]),
        ("AMOX", ["Amoxicillin"]),
        ("pa", ["Calpol", "Panadol"]),
        ("paracetamol", ["Calpol", "Panadol"]),
        ("p", ["Calpol", "Panadol", "Penicillin V", "Tazocin"]),
        ("cillin", ["Amoxicillin", "Ampicillin", "Penicillin V", "Tazocin"]),
        ("tazobactam", ["Tazocin"]),
        ("äth", ["Äthanol 70%"]),
        ("ÄTH", ["Äthanol 70%"]),
        ("5%", ["Glucose 5%"]),
        ("%", ["50% Back\\slash", "Glucose 5%", "Äthanol 70%"]),
        ("_", ["Under_score"]),
        ("back\\", ["50% Back\\slash"]),
        ("k\\s", ["50% Back\\slash"]),
        ("nothing", []),
        ("'; DROP TABLE drugs; --", []),
        ("panadol calpol", []),
    ],
)
def test_drugs_are_found_by_the_beginning_of_a_name_else_by_a_part(searcher: Client, q: str, found: list[str]) -> None:
    assert [row["name"] for row in listed(searcher, "/drugs", q=q)] == found
    assert [row["name"] for row in listed(searcher, "/drugs", limit=1, q=q)] == found


def test_shelves_are_found_like_drugs(hospital: Hospital, nurse: Client) -> None:
    for name in ("Zopiclone", "Zolpidem", "Azopt"):
        stocked(hospital, name, generic_name=f"generic {name.lower()}")
    assert [row["drug_name"] for row in listed(nurse, "/stock", limit=1, q="zo")] == ["Zolpidem", "Zopiclone"]
    assert [row["drug_name"] for row in listed(nurse, "/stock", limit=1, q="zop")] == ["Zopiclone"]
    assert [row["drug_name"] for row in listed(nurse, "/stock", limit=1, q="op")] == ["Azopt", "Zopiclone"]
    assert len(listed(nurse, "/stock", q="generic z")) == 2


def test_a_part_of_more_names_than_an_index_is_asked_for_is_found_all_the_same(
    hospital: Hospital, nurse: Client
) -> None:
    hospital.change(
        "INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit)"
        " SELECT :p1, gen_random_uuid(), 'Bulk ' || lpad(n::text, 3, '0'), 'bulk', '1', 'tablet', 'tablet'"
        " FROM generate_series(1, 250) n",
        hospital.organization_id,
    )
    rows = listed(nurse, "/drugs", limit=100, q="ulk")
    assert [row["name"] for row in rows] == [f"Bulk {number:03d}" for number in range(1, 251)]
    assert len(listed(nurse, "/drugs", limit=100, q="ulk 0")) == 99


def test_a_search_goes_on_as_it_began(hospital: Hospital, nurse: Client) -> None:
    """A fall-back to parts of names stays one, also when a name that begins so is added between two pages."""
    for name in ("Aspirin Cardio", "Bisoprolol Cardio", "Carvedilol Cardio"):
        hospital.add_drug(name)
    walk = pages(nurse, "/drugs", limit=1, q="cardio")
    found = next(walk)
    hospital.add_drug("Cardioxane")
    found += [row for page in walk for row in page]
    assert [row["name"] for row in found] == [
        *("Aspirin Cardio", "Bisoprolol Cardio", "Cardioxane", "Carvedilol Cardio"),
    ]


def test_patients_are_found_by_name_or_mrn(hospital: Hospital, nurse: Client) -> None:
    lund = hospital.admit("Lund, Ann", "OK-1")
    hospital.admit("Okoye, Ben", "X-2", ward_id=None)
    hospital.admit("Berg, Okke", "okafor", ward_id=None)

    def names(**query: Any) -> list[str]:
        return [row["name"] for row in listed(nurse, "/patients", limit=1, **query)]

    assert names(q="oka") == ["Okafor, Grace"]
    assert names(q="ok") == ["Okafor, Grace", "Okoye, Ben"]
    assert names(q="grace") == ["Okafor, Grace"]
    assert names(q="OK-1") == ["Lund, Ann"]
    assert names(q="okafor") == ["Berg, Okke"], "a medical record number, letter by letter, goes before a name"
    assert names(ward_id=hospital.ward_id) == ["Lund, Ann", "Okafor, Grace"]
    assert names(ward_id=hospital.ward_id, q="ok") == ["Okafor, Grace"]
    assert names(ward_id=hospital.add_ward(), q="OK-1") == []
    assert names(q="M-1") == ["Okafor, Grace"]
    assert nurse.get(f"/patients/{lund}").get_json()["mrn"] == "OK-1"


# Filters


def test_orders_are_filtered(hospital: Hospital, nurse: Client, app: Flask) -> None:
    hospital.receive(5)
    doctor = hospital.staff["doctor"]
    elsewhere, other_drug = hospital.add_ward(), hospital.add_drug()
    ids = {
        "completed": hospital.place(),
        "discontinued": hospital.place(priority=Priority.STAT),
        "ward": hospital.place(shelf=replace(hospital.shelf, ward_id=elsewhere)),
        "drug": hospital.place(shelf=replace(hospital.shelf, drug_id=other_drug)),
        "patient": hospital.place(),
    }
    hospital.fulfil(ids["completed"])
    sign_in(app, hospital, "doctor").post(f"/orders/{ids['discontinued']}/discontinue", {"reason": "x"})
    lund = hospital.admit("Lund, Ann")
    hospital.change("UPDATE medication_orders SET patient_id = :p1 WHERE id = :p2", lund, ids["patient"])
    hospital.staff["doctor"] = hospital.add_staff("another", Role.DOCTOR)
    ids["prescriber"] = hospital.place()

    def found(**query: Any) -> set[str]:
        return {row["id"] for row in listed(nurse, "/orders", **query)}

    def named(*names: str) -> set[str]:
        return {str(ids[name]) for name in names}

    assert found() == named(*ids)
    assert found(status="completed") == named("completed")
    assert found(status="discontinued") == named("discontinued")
    assert found(status="active") == named("ward", "drug", "patient", "prescriber")
    assert found(ward_id=elsewhere) == named("ward")
    assert found(drug_id=other_drug) == named("drug")
    assert found(patient_id=lund) == named("patient")
    assert found(prescriber_id=hospital.staff["another"].user_id) == named("prescriber")
    assert found(prescriber_id=doctor.user_id, status="active", ward_id=elsewhere) == named("ward")
    assert found(prescriber_id=uuid.uuid4()) == set()


def test_users_are_filtered(hospital: Hospital, nurse: Client) -> None:
    hospital.add_staff("nadia", Role.NURSE)

    def found(**query: str) -> list[str]:
        return [row["name"] for row in listed(nurse, "/users", limit=1, **query)]

    assert found(role="nurse") == ["Nadia", "Nurse"]
    assert found(q="NADIA@") == ["Nadia"]
    assert found(role="nurse", q="doctor") == []


@pytest.fixture(scope="module")
def keeper(standing_app: Flask, standing_database: Database) -> Client:
    """A nurse whose ward has one shelf for each state that a shelf can be in, named for it."""
    hospital = open_hospital(standing_database)
    today = now().date()
    usual = today + timedelta(days=400)
    for name, lots in {
        "Plenty": [(100, usual)],
        "Low": [(10, usual)],
        "Empty": [],
        "Soon": [(100, today + timedelta(days=30))],
        "Not Soon": [(100, today + timedelta(days=31))],
        "Last Day": [(100, today)],
        "Partly Expired": [(60, usual), (40, today - timedelta(days=1))],
        "Only Expired": [(100, today - timedelta(days=1))],
        "Held": [(100, usual)],
        "Given Away": [(0, today - timedelta(days=1)), (100, usual)],
    }.items():
        shelf = stocked(hospital, name, 0)
        _fill(hospital, shelf, lots)
        hospital.run(lambda session, s=shelf: levels.set_levels(session, s, reorder_point_units=10, par_level_units=80))
    hospital.change(
        "UPDATE lots SET status = 'on_hold', status_reason = 'test'"
        " WHERE drug_id = (SELECT id FROM drugs WHERE name = 'Held')"
    )
    hospital.change("UPDATE organizations SET time_zone = 'UTC'")
    return sign_in(standing_app, hospital, "nurse")


def _fill(hospital: Hospital, shelf: Shelf, lots: list[tuple[int, date]]) -> None:
    """Receives the lots when they were good, whatever their expiry says today."""
    for number, (units, expires_on) in enumerate(lots):
        hospital.receive(max(units, 1), lot=f"lot {number}", shelf=shelf, expires_on=date(2100, 1, 1 + number))
        hospital.change(
            "UPDATE lots SET expires_on = :p1 WHERE drug_id = :p2 AND expires_on = :p3",
            expires_on,
            shelf.drug_id,
            date(2100, 1, 1 + number),
        )
        if not units:
            changed = "SET quantity_units = 0 WHERE drug_id = :p1"
            hospital.change(f"UPDATE stock_lots {changed}", shelf.drug_id)
            hospital.change("UPDATE stock_levels SET on_hand_units = 0 WHERE drug_id = :p1", shelf.drug_id)


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("low", ["Empty", "Low"]),
        ("out", ["Empty", "Held", "Only Expired"]),
        ("expiring", ["Last Day", "Soon"]),
        ("expired", ["Only Expired", "Partly Expired"]),
    ],
)
def test_the_states_of_a_shelf(keeper: Client, state: str, found: list[str]) -> None:
    (ward,) = keeper.get("/wards").get_json()["items"]
    for narrowed in ({}, {"ward_id": ward["id"]}, {"limit": 1}):
        assert [row["drug_name"] for row in listed(keeper, "/stock", state=state, **narrowed)] == found
    assert listed(keeper, "/stock", state=state, ward_id=uuid.uuid4()) == []
    assert [row["drug_name"] for row in listed(keeper, "/stock", state=state, q=found[0].lower())] == found[:1]


@pytest.mark.parametrize(
    ("days", "found"),
    [("30", ["Last Day", "Soon"]), ("60", ["Last Day", "Not Soon", "Soon"]), ("90", ["Last Day", "Not Soon", "Soon"])],
)
def test_how_soon_is_soon_can_be_asked(keeper: Client, days: str, found: list[str]) -> None:
    rows = listed(keeper, "/stock", limit=1, state="expiring", within_days=days)
    assert [row["drug_name"] for row in rows] == found


def test_a_shelf_says_what_may_be_given_and_which_lots_it_holds(keeper: Client) -> None:
    figures = {
        row["drug_name"]: (row["on_hand_units"], row["available_units"], len(row["lots"]))
        for row in listed(keeper, "/stock")
    }
    assert figures == {
        "Plenty": (100, 100, 1),
        "Low": (10, 10, 1),
        "Empty": (0, 0, 0),
        "Soon": (100, 100, 1),
        "Not Soon": (100, 100, 1),
        "Last Day": (100, 100, 1),
        "Partly Expired": (100, 60, 2),
        "Only Expired": (100, 0, 1),
        "Held": (100, 0, 1),
        "Given Away": (100, 100, 1),
    }
    (partly,) = listed(keeper, "/stock", q="partly")
    assert [lot["quantity_units"] for lot in partly["lots"]] == [40, 60], "first expiring first"
    assert (partly["reorder_point_units"], partly["par_level_units"]) == (10, 80)


def test_the_day_of_a_shelf_is_the_hospitals(hospital: Hospital, nurse: Client) -> None:
    """Kiritimati is 14 hours ahead, Pago Pago 11 behind: between them lies at least one midnight."""
    for days in (0, 1):
        shelf = stocked(hospital, f"{days} days ago", 0)
        _fill(hospital, shelf, [(1, now().date() - timedelta(days=days))])

    counts = []
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        hospital.change("UPDATE organizations SET time_zone = :p1", zone)
        counts.append(len(listed(nurse, "/stock", state="expired")))
    ahead, behind = counts
    assert ahead > behind


def test_shelves_are_filtered_by_ward_and_drug(hospital: Hospital, nurse: Client) -> None:
    elsewhere = replace(hospital.shelf, ward_id=hospital.add_ward("Elsewhere"))
    other = replace(hospital.shelf, drug_id=hospital.add_drug("Other"))
    for units, shelf in ((1, hospital.shelf), (2, elsewhere), (3, other)):
        hospital.receive(units, shelf=shelf)

    def units_of(**query: Any) -> list[int]:
        return sorted(row["on_hand_units"] for row in listed(nurse, "/stock", **query))

    assert units_of() == [1, 2, 3]
    assert units_of(ward_id=elsewhere.ward_id) == [2]
    assert units_of(drug_id=hospital.drug_id) == [1, 2]
    assert units_of(drug_id=other.drug_id, ward_id=elsewhere.ward_id) == []


def test_movements_are_filtered_by_time_ward_and_drug(hospital: Hospital, nurse: Client) -> None:
    elsewhere = replace(hospital.shelf, ward_id=hospital.add_ward("Elsewhere"))
    other = replace(hospital.shelf, drug_id=hospital.add_drug("Other"))
    for units, shelf in ((1, hospital.shelf), (2, elsewhere), (3, other), (4, hospital.shelf)):
        hospital.receive(units, shelf=shelf)
    recorded = [row[0] for row in hospital.rows("SELECT recorded_at FROM stock_movements ORDER BY recorded_at")]

    def units_of(**query: Any) -> list[int]:
        given = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in query.items()}
        return [row["units"] for row in listed(nurse, "/stock/movements", **given)]

    assert units_of() == [4, 3, 2, 1]
    assert units_of(ward_id=elsewhere.ward_id) == [2]
    assert units_of(drug_id=other.drug_id) == [3]
    assert units_of(**{"from": recorded[1]}) == [4, 3, 2], "from counts"
    assert units_of(to=recorded[1]) == [1], "to does not"
    assert units_of(**{"from": recorded[1], "to": recorded[3]}) == [3, 2]
    assert units_of(**{"from": recorded[3], "to": recorded[1]}) == []
    assert units_of(drug_id=hospital.drug_id, to=recorded[2]) == [2, 1]
    assert units_of(**{"from": "2000-01-01T00:00:00-12:00", "to": "2199-12-31T23:59:59+14:00"}) == [4, 3, 2, 1]
