"""Use cases carry who may call them and which lanes they take; the database module sees to both."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.actor import Actor
from backend.db import Session, change, new_id
from backend.db.idempotency import IdempotencyKey, IdempotencyKeyReused
from backend.domain.custody import transfer_queries, transfers
from backend.domain.custody.errors import TransferNotFound
from backend.domain.custody.models import TransferStatus
from backend.domain.custody.transfers import Wanted
from backend.errors import Forbidden
from tests import day
from tests.hospital import Hospital

KEY = IdempotencyKey("key", b"what was asked for")


@pytest.fixture
def requested(hospital: Hospital) -> Callable[[], transfers.Transfer]:
    """Ask for a transfer, each time under the same key."""
    south = hospital.add_ward()
    wanted = transfers.request_transfer.bind(
        actor=hospital.staff["pharmacist"],
        source_ward_id=hospital.ward_id,
        destination_ward_id=south,
        lines=[Wanted(hospital.drug_id, 2)],
    )
    return lambda: hospital.database.change(wanted, key=KEY)


def test_change_under_one_key_happens_once_and_returns_the_same(
    hospital: Hospital, requested: Callable[[], transfers.Transfer]
) -> None:
    first, second = requested(), requested()
    assert first == second
    assert first.status is TransferStatus.REQUESTED
    assert isinstance(second.requested_at, datetime)
    assert hospital.rows("SELECT count(*) FROM stock_transfers") == [(1,)]


def test_key_of_another_change_is_refused(hospital: Hospital, requested: Callable[[], transfers.Transfer]) -> None:
    transfer = requested()
    wanted = transfers.cancel.bind(actor=hospital.staff["pharmacist"], transfer_id=transfer.id)
    with pytest.raises(IdempotencyKeyReused):
        hospital.database.change(wanted, key=replace(KEY, fingerprint=b"something else"))
    assert hospital.rows("SELECT status FROM stock_transfers") == [("requested",)]


def test_roles_are_asked_for_before_anything_is_read(hospital: Hospital) -> None:
    hospital.receive(5)
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 2)
    for login in ("nurse", "doctor", "admin"):
        with pytest.raises(Forbidden):
            hospital.database.change(transfers.dispatch.bind(actor=hospital.staff[login], transfer_id=transfer_id))
        with pytest.raises(Forbidden):  # before it is known that there is no such transfer
            hospital.database.change(transfers.dispatch.bind(actor=hospital.staff[login], transfer_id=new_id()))
    assert day.custody(hospital) == (5, 0)


def test_lanes_of_what_is_not_there_raise_what_the_use_case_says(hospital: Hospital) -> None:
    wanted = transfers.dispatch.bind(actor=hospital.staff["pharmacist"], transfer_id=new_id())
    with pytest.raises(TransferNotFound):
        hospital.database.change(wanted)


def test_dispatch_takes_the_lanes_of_the_source_alone(hospital: Hospital) -> None:
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 2)
    wanted = transfers.dispatch.bind(actor=hospital.staff["pharmacist"], transfer_id=transfer_id)
    places = hospital.database.transact(wanted.places, actor=hospital.staff["pharmacist"], read_only=True)
    assert [place.lane for place in places] == [hospital.shelf.lane]


def test_request_with_a_token_changes_nothing_without_a_guard(hospital: Hospital) -> None:
    """Tests and the command line have a database without one; an application that forgot it would fail at once."""
    token: Actor = replace(hospital.staff["pharmacist"], token_sha256=b"\0" * 32, requested_at=datetime.now(UTC))
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 2)
    with pytest.raises(RuntimeError, match="guard"):
        hospital.database.change(transfers.cancel.bind(actor=token, transfer_id=transfer_id))
    assert hospital.rows("SELECT status FROM stock_transfers") == [("requested",)]


def test_places_may_only_name_arguments_that_the_use_case_has() -> None:
    def find(session: Session, shelf: object) -> list[object]:
        return [session, shelf]

    with pytest.raises(TypeError, match="shelf"):

        @change(places=find)  # type: ignore[arg-type]
        def act(session: Session, *, actor: Actor) -> None:
            """Act."""


def test_read_returns_typed_rows(hospital: Hospital) -> None:
    hospital.receive(5)
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 2)
    day.dispatch(hospital, transfer_id)
    found = hospital.database.read(
        transfer_queries.get_transfer.bind(actor=hospital.staff["pharmacist"], transfer_id=transfer_id)
    )
    (line,) = found.lines
    (lot,) = line.lots
    assert (line.drug_id, lot.dispatched_units, lot.received_units) == (hospital.drug_id, 2, 0)
    assert lot.expires_on > found.requested_at.date()
