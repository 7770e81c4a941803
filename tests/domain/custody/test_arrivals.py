"""What arrives of a transfer with many lots: only what is short is named, and no transfer is too long for it."""

from datetime import date, timedelta
from uuid import UUID

import pytest
from flask import Flask

from backend.domain.custody import transfers
from backend.domain.custody.transfers import Arrived
from backend.errors import ValidationFailed
from tests import day
from tests.api.valid_requests import OPERATIONS
from tests.hospital import Hospital, sign_in

LOTS = ("A", "B", "C", "D")


@pytest.fixture
def south(hospital: Hospital) -> UUID:
    """Another ward; the first holds 3 units of each of the lots, which expire one after another."""
    for number, lot in enumerate(LOTS):
        hospital.receive(3, lot=lot, expires_on=date(2031, 1, 1) + timedelta(days=number))
    return hospital.add_ward("South")


def test_rest_arrives_as_sent_where_only_what_is_short_is_named(hospital: Hospital, south: UUID) -> None:
    transfer_id = day.request(hospital, hospital.ward_id, south, 11)
    day.dispatch(hospital, transfer_id)
    b, receiver = day.lot_id(hospital, "B"), day.second_pharmacist(hospital)
    short = [Arrived(hospital.drug_id, 1, b)]
    with day.refused(hospital, ValidationFailed):
        day.receive(hospital, transfer_id, short, receiver)
    day.receive(hospital, transfer_id, short, receiver, rest_as_sent=True)
    assert day.lots_on(hospital, south) == {"A": 3, "B": 1, "C": 3, "D": 2}
    assert hospital.rows("SELECT lot_id, expected_units, found_units FROM discrepancies") == [(b, 3, 1)]
    assert day.custody(hospital) == (10, 2)


def test_rest_as_sent_lets_nothing_pass_that_is_in_doubt(hospital: Hospital, south: UUID) -> None:
    transfer_id = day.request(hospital, hospital.ward_id, south, 11)
    day.dispatch(hospital, transfer_id)
    a, receiver = day.lot_id(hospital, "A"), day.second_pharmacist(hospital)
    for doubtful in (
        [Arrived(hospital.drug_id, 4, a)],
        [Arrived(hospital.drug_id, 1, a), Arrived(hospital.drug_id, 1, a)],
        [Arrived(hospital.drug_id, 4)],
        [Arrived(hospital.patient_id, 1)],
    ):
        with day.refused(hospital, ValidationFailed):
            day.receive(hospital, transfer_id, doubtful, receiver, rest_as_sent=True)
    assert day.custody(hospital) == (1, 11)


def test_transfer_of_more_lots_than_a_receipt_names_is_not_sent(
    hospital: Hospital, south: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "LOTS_MAX", 3)
    too_many = day.request(hospital, hospital.ward_id, south, 12)
    with day.refused(hospital, ValidationFailed) as refusal:
        day.dispatch(hospital, too_many)
    assert "send less, and the rest by another transfer" in str(refusal.value.members)
    day.dispatch(hospital, too_many, {hospital.drug_id: 9})
    day.dispatch(hospital, day.request(hospital, hospital.ward_id, south, 3))
    assert day.custody(hospital) == (0, 12)


def test_transfer_of_more_lots_than_a_receipt_lists_is_received_over_the_api(
    app: Flask, hospital: Hospital, south: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release before this one dispatched transfers of any number of lots."""
    operation = OPERATIONS["POST /transfers/<uuid:transfer_id>/receive"]
    monkeypatch.setattr(operation.body.fields["lines"], "most", 3)  # type: ignore[union-attr]
    transfer_id = day.request(hospital, hospital.ward_id, south, 12)
    day.dispatch(hospital, transfer_id)
    day.second_pharmacist(hospital)
    client, path = sign_in(app, hospital, "pharmacist2"), f"/transfers/{transfer_id}/receive"
    lots = {number: str(day.lot_id(hospital, number)) for number in LOTS}
    sent = {number: 1 if number == "C" else 3 for number in LOTS}
    lines = [
        {"drug_id": str(hospital.drug_id), "lot_id": lots[number], "quantity_units": units}
        for number, units in sent.items()
    ]
    refused = client.post(path, {"lines": lines})
    assert (refused.status_code, refused.json["errors"][0]["detail"]) == (422, "At most 3 items.")
    assert day.custody(hospital) == (0, 12)
    answer = client.post(path, {"lines": [lines[2]], "rest_as_sent": True})
    assert answer.status_code == 200, answer.text
    assert day.lots_on(hospital, south) == sent
