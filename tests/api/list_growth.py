"""One more row of each list of the API."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from backend.actor import Role
from backend.domain.care_team.models import CareRole
from backend.domain.custody.counting import Counted
from backend.domain.stock.ledger import Shelf
from tests import day
from tests.api.claims_requests import an_event
from tests.api.custody_requests import (
    a_discrepancy,
    a_dose,
    a_request,
    an_alert,
    an_open_count,
    an_override,
    assigned,
    listed_drug,
)
from tests.domain.claims.filing import run
from tests.hospital import Hospital


def stocked(hospital: Hospital, name: str, units: int = 1, **values: Any) -> Shelf:
    """The ward's shelf of a new drug, with units on it."""
    shelf = replace(hospital.shelf, drug_id=hospital.add_drug(name, **values))
    if units:
        hospital.receive(units, shelf=shelf)
    return shelf


def given_on_day(hospital: Hospital, letter: str) -> None:
    """A dose that the ledger recorded on the day of January 2026 that `letter` stands for."""
    lot_id = hospital.receive(1).lot_id
    hospital.change(
        "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
        " balance_after_units, reason, reference_id, occurred_at, recorded_at) SELECT organization_id,"
        " gen_random_uuid(), ward_id, drug_id, :p1, 1000 + :p2, -1, 0, 'fulfilment', gen_random_uuid(), moment, moment"
        " FROM stock_levels, make_timestamptz(2026, 1, :p2, 12, 0, 0, 'UTC') moment",
        lot_id,
        ord(letter) - ord("a") + 1,
    )


def given_to(hospital: Hospital, name: str) -> None:
    """Give a dose of the one lot to a new patient."""
    a_dose(replace(hospital, patient_id=hospital.admit(name)), lot="L1")


def to_count(hospital: Hospital, letter: str) -> None:
    """Add a lot of a new drug to the ward's open count; the first one begins it."""
    shelf = stocked(hospital, f"Walker {letter}", units=0)
    lot_id = hospital.receive(1, shelf=shelf, expires_on=expiring(letter)).lot_id
    begun = hospital.rows("SELECT id FROM stock_counts")
    if begun:
        day.record_count(hospital, begun[0][0], Counted(lot_id, 1))
    else:
        day.open_count(hospital)


def cared_for_since(hospital: Hospital, letter: str) -> None:
    """A consultant of the patient since the day of January 2026 that `letter` stands for, of which the name tells."""
    doctor = hospital.add_staff(f"walker.{letter}", Role.DOCTOR).user_id
    made = day.assign(hospital, hospital.patient_id, doctor, CareRole.CONSULTANT)
    since = datetime(2026, 1, ord(letter) - ord("a") + 1, tzinfo=UTC)
    hospital.change("UPDATE care_team_assignments SET assigned_at = :p1 WHERE id = :p2", since, made)


# What each list holds five rows of, by the field that orders it, and how one more comes about.
GROW: dict[str, Callable[[Hospital, str], Any]] = {
    "GET /users": lambda h, name: h.add_staff(f"walker.{name}", Role.DOCTOR),
    "GET /wards": lambda h, name: h.add_ward(f"Walker {name}"),
    "GET /patients": lambda h, name: h.admit(f"Walker {name}"),
    "GET /patients/<uuid:patient_id>/care-team": lambda h, name: cared_for_since(h, name),
    "GET /patients/<uuid:patient_id>/care-team/history": lambda h, name: assigned(h, CareRole.CONSULTANT, h.patient_id),
    "GET /drugs": lambda h, name: h.add_drug(f"Walker {name}"),
    "GET /orders": lambda h, name: h.place(),
    "GET /stock": lambda h, name: stocked(h, f"Walker {name}"),
    "GET /stock/movements": lambda h, name: h.receive(1, lot=name),
    "GET /stock/as-of": lambda h, name: stocked(h, f"Walker {name}"),
    "GET /stock/consumption": lambda h, name: [given_on_day(h, letter) for letter in name],
    "GET /stock/expiring-value": lambda h, name: h.add_ward(f"Walker {name}"),
    "GET /administrations": lambda h, name: a_dose(h),
    "GET /override-drugs": lambda h, name: listed_drug(h),
    "GET /overrides": lambda h, name: an_override(h),
    "GET /lots": lambda h, name: [h.receive(1, lot=letter, expires_on=expiring(letter)) for letter in name],
    "GET /lots/<uuid:lot_id>/doses": lambda h, name: a_dose(h, lot="L1"),
    "GET /lots/<uuid:lot_id>/patients": lambda h, name: [given_to(h, f"Walker {letter}") for letter in name],
    "GET /transfers": lambda h, name: a_request(h),
    "GET /counts": lambda h, name: an_open_count(h),
    "GET /counts/<uuid:count_id>/lines": lambda h, name: to_count(h, name),
    "GET /discrepancies": lambda h, name: a_discrepancy(h),
    "GET /stock/register": lambda h, name: h.receive(1, lot=name),
    "GET /alerts": lambda h, name: an_alert(h),
    "GET /audit": lambda h, name: h.add_ward(f"Walker {name}"),
    "GET /drift/runs": lambda h, name: run(h),
    "GET /drift/runs/<uuid:run_id>/events": lambda h, name: [an_event(h, letter) for letter in name],
}


def expiring(letter: str) -> date:
    """A day that comes in the order of the alphabet."""
    return date(2100, 1, ord(letter) - ord("a") + 1)
