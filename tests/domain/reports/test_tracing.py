"""Who was given a lot: each patient once, where they lie now, and the doses by ward, patient and time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from backend.db.paging import PageRequest
from backend.domain.custody.blind import hidden_from
from backend.domain.reports import tracing
from backend.domain.stock.ledger import Shelf
from tests import day
from tests.hospital import Hospital


def _trace(hospital: Hospital, lot_id: UUID) -> dict[str, Any]:
    hides = hidden_from(hospital.staff["pharmacist"])
    wanted = {"organization_id": hospital.organization_id, "lot_id": lot_id, "hides": hides}
    return day.look(hospital, lambda session: tracing.trace_lot(session, **wanted))


def _doses(hospital: Hospital, lot_id: UUID, **filters: Any) -> list[Any]:
    wanted = {"organization_id": hospital.organization_id, "lot_id": lot_id, "page": PageRequest()}
    every = {"ward_id": None, "patient_id": None, "since": None, "until": None, **filters}
    return list(day.look(hospital, lambda session: tracing.list_doses(session, **wanted, **every)).items)


def test_patient_is_named_once_with_the_ward_and_bed_of_now(hospital: Hospital) -> None:
    lot_id, south = hospital.receive(7).lot_id, hospital.add_ward("2 South")
    for order_id in hospital.place_many(2):
        hospital.fulfil(order_id)
    hospital.change("UPDATE patients SET ward_id = :p1, bed = '9B'", south)
    traced = _trace(hospital, lot_id)
    (patient,) = traced["patients"]
    assert (patient.patient_id, patient.mrn, patient.doses, patient.doses_in_error) == (
        hospital.patient_id,
        "M-1",
        2,
        0,
    )
    assert (patient.ward_id, patient.ward_name, patient.bed) == (south, "2 South", "9B")
    assert patient.last_given_at == max(dose.given_at for dose in traced["doses"])
    assert {dose.ward_name for dose in traced["doses"]} == {"1 North"}
    assert (traced["dose_count"], traced["patient_count"]) == (2, 1)


def test_discharged_patient_is_named_without_a_ward(hospital: Hospital) -> None:
    lot_id = hospital.receive(7).lot_id
    hospital.fulfil(hospital.place())
    hospital.change("UPDATE patients SET ward_id = NULL, bed = NULL")
    (patient,) = _trace(hospital, lot_id)["patients"]
    assert (patient.ward_id, patient.ward_name, patient.bed) == (None, None, None)


def test_patient_of_a_mistaken_entry_is_named_and_has_no_dose(hospital: Hospital) -> None:
    lot_id = hospital.receive(7).lot_id
    hospital.fulfil(hospital.place())
    ((administration_id, given_at),) = hospital.rows("SELECT id, administered_at FROM medication_administrations")
    day.mark_in_error(hospital, administration_id)
    traced = _trace(hospital, lot_id)
    (patient,) = traced["patients"]
    assert (patient.doses, patient.doses_in_error, patient.last_given_at) == (0, 1, given_at)
    assert (traced["dose_count"], traced["patient_count"]) == (1, 1)


def test_doses_are_listed_by_ward_by_patient_and_by_time(hospital: Hospital) -> None:
    expires_on = hospital.receive(7).expires_on
    south = Shelf(hospital.organization_id, hospital.add_ward("2 South"), hospital.drug_id)
    lot_id = hospital.receive(7, expires_on=expires_on, shelf=south).lot_id
    hospital.add_staff("there", hospital.nurse.role, (south.ward_id,))
    hospital.fulfil(hospital.place())
    ann = replace(hospital, patient_id=hospital.admit("Weir, Ann"))
    ann.fulfil(ann.place(shelf=south), shelf=south, actor=hospital.staff["there"])
    later, earlier = _doses(hospital, lot_id)
    assert (later.patient_name, earlier.patient_name) == ("Weir, Ann", "Okafor, Grace")
    for filters, found in (
        ({"ward_id": south.ward_id}, [later]),
        ({"patient_id": hospital.patient_id}, [earlier]),
        ({"ward_id": south.ward_id, "patient_id": hospital.patient_id}, []),
        ({"since": later.given_at}, [later]),
        ({"until": later.given_at}, [earlier]),
        ({"until": later.given_at + timedelta(seconds=1)}, [later, earlier]),
    ):
        assert _doses(hospital, lot_id, **filters) == found, filters
