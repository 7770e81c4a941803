"""What a ward does in a day, straight through the use cases: each takes its lanes and commits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import pytest

from backend.actor import Actor, Role
from backend.db import Session
from backend.domain.administrations import entries, errors_in_entry, remainders, skipping
from backend.domain.administrations.models import Outcome, RemainderKind
from backend.domain.alerts import evaluating
from backend.domain.care_team import assigning
from backend.domain.care_team.assigning import Outgoing, team_lane
from backend.domain.care_team.models import CareRole
from backend.domain.custody import counting, resolving, transfers
from backend.domain.custody.counting import Counted
from backend.domain.custody.models import Resolution
from backend.domain.custody.transfers import Arrived, Wanted
from backend.domain.stock import adjustments, levels, lots
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import LotStatus, MovementReason
from backend.errors import DomainError
from tests.hospital import Hospital, now, witness_of

T = TypeVar("T")


def act(hospital: Hospital, shelves: Sequence[Shelf], work: Callable[[Session], T], actor: Actor) -> T:
    """What `work` returns, after it took the lanes of `shelves`."""

    def in_lanes(session: Session) -> T:
        session.take_lanes(shelf.lane for shelf in shelves)
        return work(session)

    return hospital.run(in_lanes, actor)


def look(hospital: Hospital, work: Callable[[Session], T]) -> T:
    """What `work` reads."""
    return hospital.database.transact(work, actor=hospital.operator, read_only=True)


@contextmanager
def refused(hospital: Hospital, error: type[DomainError]) -> Iterator[pytest.ExceptionInfo[DomainError]]:
    """What is done inside is refused with `error`, and no row has changed."""
    before = hospital.counts()
    with pytest.raises(error) as refusal:
        yield refusal
    assert hospital.counts() == before


def outcome_of(act: Callable[[], Any]) -> Callable[[], str]:
    """`act` for a thread: says "done", or the name of the refusal."""

    def attempt() -> str:
        try:
            act()
        except DomainError as refusal:
            return type(refusal).__name__
        return "done"

    return attempt


def lot_id(hospital: Hospital, lot_number: str = "L1") -> UUID:
    """The lot of this number."""
    return UUID(str(hospital.rows("SELECT id FROM lots WHERE lot_number = :p1", lot_number)[0][0]))


def adjust(
    hospital: Hospital,
    units: int,
    reason: MovementReason = MovementReason.WASTE,
    *,
    shelf: Shelf | None = None,
    lot: UUID | None = None,
    witness_id: UUID | None = None,
) -> adjustments.Adjustment:
    """The pharmacist adjusts a shelf."""
    where, pharmacist = shelf or hospital.shelf, hospital.staff["pharmacist"]
    return act(
        hospital,
        [where],
        lambda session: adjustments.adjust(
            session,
            actor=pharmacist,
            shelf=where,
            units=units,
            reason=reason,
            lot_id=lot,
            note=None,
            witness=witness_of(witness_id),
            now=now(),
        ),
        pharmacist,
    )


def correct(
    hospital: Hospital, movement_id: UUID, *, shelf: Shelf | None = None, witness_id: UUID | None = None
) -> UUID:
    """The pharmacist undoes a movement."""
    where, pharmacist = shelf or hospital.shelf, hospital.staff["pharmacist"]
    return act(
        hospital,
        [where],
        lambda session: adjustments.correct_movement(
            session,
            actor=pharmacist,
            shelf=where,
            movement_id=movement_id,
            note="wrong",
            witness=witness_of(witness_id),
            now=now(),
        ),
        pharmacist,
    )


def set_levels(hospital: Hospital, reorder: int, par: int, shelf: Shelf | None = None) -> None:
    """Reorder point and par of a shelf."""
    where = shelf or hospital.shelf
    act(
        hospital,
        [where],
        lambda session: levels.set_levels(session, where, reorder_point_units=reorder, par_level_units=par),
        hospital.staff["pharmacist"],
    )


def change_lot(hospital: Hospital, lot: UUID, status: LotStatus) -> None:
    """The pharmacist holds, releases or recalls a lot."""
    pharmacist, organization_id = hospital.staff["pharmacist"], hospital.organization_id
    shelves = look(hospital, lambda session: lots.shelves_of(session, organization_id=organization_id, lot_id=lot))
    reason = None if status is LotStatus.AVAILABLE else "particles"
    act(
        hospital,
        shelves,
        lambda session: lots.change_status(
            session, actor=pharmacist, lot_id=lot, status=status, reason=reason, now=now()
        ),
        pharmacist,
    )


def skip(
    hospital: Hospital,
    order_id: UUID,
    outcome: Outcome = Outcome.REFUSED,
    *,
    dose: int | None = None,
    shelf: Shelf | None = None,
) -> skipping.Skipped:
    """The nurse records a dose that was not given."""
    where = shelf or hospital.shelf
    return act(
        hospital,
        [where],
        lambda session: skipping.skip(
            session,
            actor=hospital.nurse,
            order_id=order_id,
            shelf=where,
            dose=dose,
            outcome=outcome,
            note=None,
            now=now(),
        ),
        hospital.nurse,
    )


def shelf_of_dose(hospital: Hospital, administration_id: UUID) -> Shelf:
    """Where a dose came from."""
    wanted = {"organization_id": hospital.organization_id, "administration_id": administration_id}
    return look(hospital, lambda session: entries.shelf_of(session, **wanted))


def mark_in_error(hospital: Hospital, administration_id: UUID, *, witness_id: UUID | None = None) -> None:
    """The nurse marks an entry as made in error."""
    shelf = shelf_of_dose(hospital, administration_id)
    act(
        hospital,
        [shelf],
        lambda session: errors_in_entry.mark_entered_in_error(
            session,
            actor=hospital.nurse,
            shelf=shelf,
            administration_id=administration_id,
            reason="wrong patient",
            witness=witness_of(witness_id),
            now=now(),
        ),
        hospital.nurse,
    )


def leave(
    hospital: Hospital,
    administration_id: UUID,
    units: int,
    kind: RemainderKind = RemainderKind.WASTE,
    *,
    lot: UUID | None = None,
    witness_id: UUID | None = None,
) -> remainders.Remainder:
    """The nurse wastes or returns units of a dose."""
    shelf = shelf_of_dose(hospital, administration_id)
    return act(
        hospital,
        [shelf],
        lambda session: remainders.record_remainder(
            session,
            actor=hospital.nurse,
            shelf=shelf,
            administration_id=administration_id,
            kind=kind,
            units=units,
            lot_id=lot,
            reason=None,
            witness=witness_of(witness_id),
            now=now(),
        ),
        hospital.nurse,
    )


def request(
    hospital: Hospital,
    source: UUID,
    destination: UUID,
    units: int,
    drug_id: UUID | None = None,
    *,
    more: Sequence[Wanted] = (),
    actor: Actor | None = None,
) -> UUID:
    """The pharmacist, or `actor`, asks for a drug, and for `more`."""
    who = actor or hospital.staff["pharmacist"]
    wanted = transfers.request_transfer.bind(
        actor=who,
        source_ward_id=source,
        destination_ward_id=destination,
        lines=[Wanted(drug_id or hospital.drug_id, units), *more],
    )
    return hospital.database.change(wanted).id


def dispatch(
    hospital: Hospital,
    transfer_id: UUID,
    sent: Mapping[UUID, int] | None = None,
    actor: Actor | None = None,
    *,
    witness_id: UUID | None = None,
) -> None:
    """The pharmacist, or `actor`, sends a transfer."""
    who, witness = actor or hospital.staff["pharmacist"], witness_of(witness_id)
    hospital.database.change(transfers.dispatch.bind(actor=who, transfer_id=transfer_id, sent=sent, witness=witness))


def cancel_transfer(hospital: Hospital, transfer_id: UUID, actor: Actor | None = None) -> None:
    """The pharmacist, or `actor`, cancels a transfer."""
    who = actor or hospital.staff["pharmacist"]
    hospital.database.change(transfers.cancel.bind(actor=who, transfer_id=transfer_id))


def custody(hospital: Hospital) -> tuple[int, int]:
    """The units on all wards and the units on their way."""
    ((here, travelling),) = hospital.rows(
        "SELECT (SELECT coalesce(sum(on_hand_units), 0) FROM stock_levels), (SELECT coalesce(sum(dispatched_units"
        " - received_units - returned_units - lost_units), 0) FROM stock_transfer_lots)"
    )
    return int(here), int(travelling)


def receive(
    hospital: Hospital,
    transfer_id: UUID,
    arrived: Sequence[Arrived] | None = None,
    actor: Actor | None = None,
    *,
    rest_as_sent: bool = False,
    witness_id: UUID | None = None,
) -> None:
    """Another pharmacist, or `actor`, receives a transfer."""
    wanted = transfers.receive_transfer.bind(
        actor=actor or second_pharmacist(hospital),
        transfer_id=transfer_id,
        arrived=arrived,
        rest_as_sent=rest_as_sent,
        witness=witness_of(witness_id),
    )
    hospital.database.change(wanted)


def lots_on(hospital: Hospital, ward_id: UUID) -> dict[str, int]:
    """The units of each lot on a ward."""
    return dict(
        hospital.rows(
            "SELECT t.lot_number, s.quantity_units FROM stock_lots s JOIN lots t ON t.id = s.lot_id"
            " WHERE s.ward_id = :p1 AND s.quantity_units > 0",
            ward_id,
        )
    )


def second_pharmacist(hospital: Hospital) -> Actor:
    """Somebody else than the pharmacist, with the same rights."""
    return hospital.staff.get("pharmacist2") or hospital.add_staff("pharmacist2", Role.PHARMACIST)


def open_count(hospital: Hospital, ward_id: UUID | None = None, **choice: Any) -> UUID:
    """The pharmacist starts a count."""
    pharmacist = hospital.staff["pharmacist"]
    wanted = {"drug_ids": None, "controlled": False, **choice}
    return act(
        hospital,
        [],
        lambda session: counting.open_count(
            session, actor=pharmacist, ward_id=ward_id or hospital.ward_id, now=now(), **wanted
        ),
        pharmacist,
    )


def record_count(hospital: Hospital, count_id: UUID, *lines: Counted) -> None:
    """The pharmacist records what was counted."""
    pharmacist, lot_ids = hospital.staff["pharmacist"], [line.lot_id for line in lines]
    wanted = {"organization_id": hospital.organization_id, "count_id": count_id, "lot_ids": lot_ids}
    shelves = look(hospital, lambda session: counting.shelves_of(session, **wanted))
    act(
        hospital,
        shelves,
        lambda session: counting.record(session, actor=pharmacist, count_id=count_id, lines=lines, now=now()),
        pharmacist,
    )


def complete_count(hospital: Hospital, count_id: UUID) -> None:
    """The pharmacist ends a count."""
    pharmacist = hospital.staff["pharmacist"]
    act(
        hospital,
        [],
        lambda session: counting.complete(session, actor=pharmacist, count_id=count_id, now=now()),
        pharmacist,
    )


def cancel_count(hospital: Hospital, count_id: UUID) -> None:
    """The pharmacist gives a count up."""
    pharmacist = hospital.staff["pharmacist"]
    act(
        hospital,
        [],
        lambda session: counting.cancel(session, actor=pharmacist, count_id=count_id, now=now()),
        pharmacist,
    )


def discrepancies(hospital: Hospital) -> list[UUID]:
    """The unresolved ones, oldest first."""
    rows = hospital.rows("SELECT id FROM discrepancies WHERE status <> 'resolved' ORDER BY created_at, id")
    return [UUID(str(row[0])) for row in rows]


def resolve(
    hospital: Hospital, discrepancy_id: UUID, resolution: Resolution, *, witness_id: UUID | None = None
) -> None:
    """The pharmacist resolves a discrepancy."""
    wanted = resolving.resolve.bind(
        actor=hospital.staff["pharmacist"],
        discrepancy_id=discrepancy_id,
        resolution=resolution,
        reason="looked into",
        witness=witness_of(witness_id),
    )
    hospital.database.change(wanted)


def refresh_alerts(hospital: Hospital) -> None:
    """Opens and clears alerts."""
    hospital.run(lambda session: evaluating.refresh(session, organization_id=hospital.organization_id, now=now()))


def assign(hospital: Hospital, patient_id: UUID, provider_id: UUID | None, role: CareRole) -> UUID:
    """A doctor joins a patient's care team."""
    wanted = {"patient_id": patient_id, "provider_id": provider_id, "role": role}
    return in_team(
        hospital, patient_id, lambda session, actor: assigning.assign(session, actor=actor, now=now(), **wanted)
    )


def change_primary(
    hospital: Hospital, patient_id: UUID, provider_id: UUID | None, outgoing: Outgoing = Outgoing.DEMOTE
) -> UUID:
    """A doctor becomes the patient's PRIMARY."""
    wanted = {"patient_id": patient_id, "provider_id": provider_id, "outgoing": outgoing, "replaces": None}
    return in_team(
        hospital, patient_id, lambda session, actor: assigning.change_primary(session, actor=actor, now=now(), **wanted)
    )


def remove(hospital: Hospital, patient_id: UUID, assignment_id: UUID) -> None:
    """A doctor leaves a patient's care team."""
    wanted = {"patient_id": patient_id, "assignment_id": assignment_id}
    in_team(hospital, patient_id, lambda session, actor: assigning.remove(session, actor=actor, now=now(), **wanted))


def in_team(hospital: Hospital, patient_id: UUID, act: Callable[[Session, Actor], Any]) -> Any:
    """What a doctor does with a patient's team, in its lane."""
    actor = hospital.staff["doctor"]

    def work(session: Session) -> Any:
        session.take_lanes([team_lane(hospital.organization_id, patient_id)])
        return act(session, actor)

    return hospital.run(work, actor)
