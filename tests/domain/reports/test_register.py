"""The register of a controlled drug: every unit that came or went, who did it, who saw it."""

from uuid import UUID

import orjson
import pytest
from flask import Flask

from backend.actor import Role
from backend.domain.administrations.models import RemainderKind
from backend.domain.stock.models import MovementReason
from tests import day
from tests.hospital import Client, Hospital, sign_in


@pytest.fixture
def pharmacist(app: Flask, hospital: Hospital) -> Client:
    return sign_in(app, hospital, "pharmacist")


@pytest.fixture
def controlled(hospital: Hospital) -> Hospital:
    """A ward that holds morphine, and somebody to see what is done with it."""
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
    hospital.receive(20)
    return hospital


def _lines(client: Client, hospital: Hospital, **query: object) -> list[dict]:
    asked = "".join(f"&{name}={value}" for name, value in query.items())
    return client.get(f"/stock/register?drug_id={hospital.drug_id}{asked}").get_json()["items"]


def test_every_line_has_its_balance_its_actor_and_its_witness(controlled: Hospital, pharmacist: Client) -> None:
    witness_id = controlled.staff["witness"].user_id
    given = controlled.fulfil(controlled.place(units=3), witness_id=witness_id)
    dose = UUID(orjson.loads(given.body)["administration_id"])
    day.leave(controlled, dose, 1, RemainderKind.WASTE, witness_id=witness_id)
    day.leave(controlled, dose, 1, RemainderKind.RETURN, witness_id=witness_id)
    day.adjust(controlled, -2, MovementReason.WASTE, witness_id=witness_id)

    lines = _lines(pharmacist, controlled)

    assert [
        (row["event"], row["units"], row["wasted_units"], row["balance_after_units"], row["actor_name"])
        for row in reversed(lines)
    ] == [
        ("receipt", 20, 0, 20, "Pharmacist"),
        ("fulfilment", -3, 0, 17, "Nurse"),
        ("dose_waste", 0, 1, None, "Nurse"),
        ("return", 1, 0, 18, "Nurse"),
        ("waste", -2, 0, 16, "Pharmacist"),
    ]
    assert [row["witness_name"] for row in reversed(lines)] == [None, "Witness", "Witness", "Witness", "Witness"]
    assert [row["patient_name"] for row in reversed(lines)] == [None, *["Okafor, Grace"] * 3, None]


def test_the_register_is_read_in_pages_without_a_gap(controlled: Hospital, pharmacist: Client) -> None:
    witness_id = controlled.staff["witness"].user_id
    for _ in range(3):
        given = controlled.fulfil(controlled.place(units=2), witness_id=witness_id)
        dose = UUID(orjson.loads(given.body)["administration_id"])
        day.leave(controlled, dose, 1, RemainderKind.WASTE, witness_id=witness_id)
    whole = [row["id"] for row in _lines(pharmacist, controlled)]
    assert len(whole) == 7
    path, paged = f"/stock/register?drug_id={controlled.drug_id}&limit=2", []
    cursor = None
    while True:
        page = pharmacist.get(path + (f"&cursor={cursor}" if cursor else "")).get_json()
        paged += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == whole


def test_the_register_is_of_one_drug_one_ward_and_a_time(controlled: Hospital, pharmacist: Client) -> None:
    other = controlled.add_ward()
    (first,) = _lines(pharmacist, controlled)
    assert _lines(pharmacist, controlled, ward_id=other) == []
    assert _lines(pharmacist, controlled, ward_id=controlled.ward_id) == [first]
    assert _lines(pharmacist, controlled, to="2020-01-01T00:00:00Z") == []
    assert len(_lines(pharmacist, controlled, **{"from": "2020-01-01T00:00:00Z"})) == 1
    unknown = pharmacist.get(f"/stock/register?drug_id={controlled.ward_id}")
    assert (unknown.status_code, unknown.get_json()["code"]) == (404, "drug_not_found")
