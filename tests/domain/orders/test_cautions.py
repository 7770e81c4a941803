"""What speaks against an order: found for a patient and a drug, and for the orders of a page."""

from uuid import UUID

import pytest

from backend.domain.orders import cautions
from backend.domain.orders.cautions import Caution, find_cautions, review_orders
from tests.hospital import Hospital


def _found(hospital: Hospital, drug_id: UUID) -> list[Caution]:
    where = {"organization_id": hospital.organization_id, "patient_id": hospital.patient_id, "drug_id": drug_id}
    return hospital.run(lambda session: find_cautions(session, **where), hospital.staff["doctor"]).cautions


def test_allergy_and_active_order_of_the_drug_are_found_and_no_other(hospital: Hospital) -> None:
    hospital.change("UPDATE patients SET allergies = ARRAY['Latex', 'amoxicillin (rash)']")
    order_id = hospital.place()
    hospital.place(patient_id=hospital.admit("Somebody Else"))
    found = _found(hospital, hospital.drug_id)
    assert [caution.key for caution in found] == ["allergy amoxicillin (rash)", f"order {order_id}"]
    assert [caution.kind for caution in found] == ["allergy", "duplicate"]
    assert _found(hospital, hospital.add_drug("Zinc")) == []


def test_ended_order_speaks_against_nothing(hospital: Hospital) -> None:
    hospital.place()
    hospital.change(
        "UPDATE medication_orders SET status = 'discontinued', discontinued_at = now(), discontinue_reason = 'Changed'"
    )
    assert _found(hospital, hospital.drug_id) == []


def test_reviewed_order_does_not_speak_against_itself(hospital: Hospital) -> None:
    first, second = hospital.place(), hospital.place()
    reviews = hospital.database.read(review_orders.bind(actor=hospital.staff["pharmacist"], order_ids=[first, second]))
    assert [c.key for c in reviews[first].cautions] == [f"order {second}"]
    assert [c.key for c in reviews[second].cautions] == [f"order {first}"]


def test_more_orders_than_are_compared_are_a_caution(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "ORDERS_MAX", 1)
    hospital.place()
    other = hospital.add_drug("Zinc")
    assert _found(hospital, other) == []
    hospital.place()
    assert _found(hospital, other) == [cautions.ORDERS_UNREAD]
