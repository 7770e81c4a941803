"""Transfers: requested, dispatched, received or cancelled.

Dispatch takes units off the source's shelves, first expiring first; until somebody else receives them at the
destination they are on the way. What arrives short becomes a discrepancy and stays on the way until that is resolved,
so that units on wards and units on the way are the same before and after every commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select

from backend.actor import Actor, Role
from backend.db import Session, bump, change, new_id
from backend.db.filters import same_hospital
from backend.domain.custody.discrepancies import open_shortfall
from backend.domain.custody.errors import ReceiverIsDispatcher, TransferNotFound, TransferStatusConflict
from backend.domain.custody.models import StockTransfer, StockTransferLine, StockTransferLot, TransferStatus
from backend.domain.custody.transfer_queries import Transfer, get_transfer
from backend.domain.formulary.drugs import get_drug
from backend.domain.identity.membership import ensure_of_ward
from backend.domain.identity.witnesses import Witness
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.wards import get_ward
from backend.domain.stock import ledger
from backend.domain.stock.custody import admit_custody_witness
from backend.domain.stock.ledger import Cause, Line, Shelf
from backend.domain.stock.models import MovementReason
from backend.domain.stock.picking import InsufficientStock, LotOnShelf, first_expiring_first
from backend.errors import ValidationFailed

WARD_STAFF = frozenset({Role.NURSE, Role.PHARMACIST})
LINES_MAX = 200
LOTS_MAX = 1_000  # of one transfer: as many as a receipt may name one by one


@dataclass(frozen=True, slots=True)
class Wanted:
    """Units of a drug."""

    drug_id: UUID
    quantity_units: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """What of a drug arrived; `lot_id` where not all of its lots arrived in full."""

    drug_id: UUID
    quantity_units: int
    lot_id: UUID | None = None


def _shelves(session: Session, actor: Actor, transfer_id: UUID, ward_id: Any) -> list[Shelf]:
    """The shelves of a transfer's drugs on one of its wards. Raises TransferNotFound."""
    transfer, line = StockTransfer, StockTransferLine
    rows = session.execute(
        select(ward_id, line.drug_id)
        .join_from(transfer, line, same_hospital(transfer, by=line.transfer_id))
        .where(transfer.organization_id == actor.organization_id, transfer.id == transfer_id)
        .order_by(line.drug_id)
    ).all()
    if not rows:
        raise TransferNotFound()
    return [Shelf(actor.organization_id, row[0], row.drug_id) for row in rows]


def shelves_at_source(session: Session, actor: Actor, transfer_id: UUID) -> list[Shelf]:
    """Find the shelves that a dispatch takes units off. Raises TransferNotFound."""
    return _shelves(session, actor, transfer_id, StockTransfer.source_ward_id)


def shelves_at_destination(session: Session, actor: Actor, transfer_id: UUID) -> list[Shelf]:
    """Find the shelves that a receipt puts units on. Raises TransferNotFound."""
    return _shelves(session, actor, transfer_id, StockTransfer.destination_ward_id)


@change(may=WARD_STAFF)
def request_transfer(
    session: Session,
    *,
    actor: Actor,
    source_ward_id: UUID,
    destination_ward_id: UUID,
    lines: Sequence[Wanted],
    at: datetime | None = None,
) -> Transfer:
    """Ask for stock of another ward; no unit moves yet. A nurse asks for her own wards.

    `at` states when, where that is not now. Raises WardNotFound, DrugNotFound, NotOnThisWard, ValidationFailed (the
    same ward or drug twice).
    """
    organization_id = actor.organization_id
    for ward_id in (source_ward_id, destination_ward_id):
        get_ward(session, organization_id=organization_id, ward_id=ward_id)
    if source_ward_id == destination_ward_id:
        raise ValidationFailed.of("destination_ward_id", "the source itself")
    ensure_of_ward(session, actor, destination_ward_id)
    if len({line.drug_id for line in lines}) < len(lines):
        raise ValidationFailed.of("lines", "a drug is listed twice")
    for line in lines:
        get_drug(session, organization_id=organization_id, drug_id=line.drug_id)
    transfer_id = new_id()
    session.execute(
        insert(StockTransfer).values(
            organization_id=organization_id,
            id=transfer_id,
            source_ward_id=source_ward_id,
            destination_ward_id=destination_ward_id,
            requested_by_id=actor.user_id,
            created_at=at or session.now,
        )
    )
    session.execute(
        insert(StockTransferLine),
        [
            {
                "organization_id": organization_id,
                "id": new_id(),
                "transfer_id": transfer_id,
                "drug_id": line.drug_id,
                "quantity_units": line.quantity_units,
            }
            for line in lines
        ],
    )
    return get_transfer(session, actor=actor, transfer_id=transfer_id)


@change(may=frozenset({Role.PHARMACIST}), places=shelves_at_source)
def dispatch(
    session: Session,
    *,
    actor: Actor,
    transfer_id: UUID,
    sent: Mapping[UUID, int] | None = None,
    witness: Witness | None = None,
    at: datetime | None = None,
) -> Transfer:
    """Take the units off the source's shelves, the lots that expire first.

    `sent` names the units by drug where fewer than asked for are sent; a drug it leaves out is not sent. Raises
    TransferNotFound, TransferStatusConflict, InsufficientStock, WitnessRequired (a controlled drug, by policy),
    ValidationFailed (among others for more than LOTS_MAX lots). `at` states when, where that is not now.
    """
    now = at or session.now
    transfer = _lock(session, actor, transfer_id, TransferStatus.REQUESTED)
    lines = _lines(session, actor, transfer_id)
    units = _units_to_send(lines, sent)
    today = today_of(session, organization_id=actor.organization_id, now=now)
    source, sending = transfer.source_ward_id, [drug_id for drug_id, wanted in units.items() if wanted]
    witness_id = admit_custody_witness(session, actor=actor, ward_id=source, drug_ids=sending, witness=witness)
    cause, lots = Cause(MovementReason.TRANSFER_OUT, transfer_id, actor.user_id, now, witness_id), 0
    for line in lines:
        if not units[line.drug_id]:
            continue
        shelf = Shelf(actor.organization_id, source, line.drug_id)
        picks = _pick(session, shelf, units[line.drug_id], today)
        lots += len(picks)
        if lots > LOTS_MAX:
            raise ValidationFailed.of(
                "lines", f"more than {LOTS_MAX} lots: send less, and the rest by another transfer"
            )
        ledger.post(session, shelf, [Line(pick.lot_id, -pick.quantity_units) for pick in picks], cause)
        _send(session, actor, line.id, picks)
    sent_by = {"dispatched_by_id": actor.user_id, "dispatched_at": now}
    _change(session, actor, transfer_id, status=TransferStatus.DISPATCHED, **sent_by)
    return get_transfer(session, actor=actor, transfer_id=transfer_id)


@change(may=WARD_STAFF, places=shelves_at_destination)
def receive_transfer(
    session: Session,
    *,
    actor: Actor,
    transfer_id: UUID,
    arrived: Sequence[Arrived] | None = None,
    rest_as_sent: bool = False,
    witness: Witness | None = None,
    at: datetime | None = None,
) -> Transfer:
    """Put what arrived on the destination's shelves. Somebody else than the dispatcher does it.

    Without `arrived` everything did; with `rest_as_sent` everything that `arrived` does not name. What is short becomes
    a discrepancy of the dispatcher. Raises TransferNotFound, NotOnThisWard, TransferStatusConflict,
    ReceiverIsDispatcher, WitnessRequired (a controlled drug, by policy), ValidationFailed. `at` states when, where that
    is not now.
    """
    now = at or session.now
    transfer = _lock(session, actor, transfer_id, TransferStatus.DISPATCHED)
    ensure_of_ward(session, actor, transfer.destination_ward_id)
    if transfer.dispatched_by_id == actor.user_id:
        raise ReceiverIsDispatcher()
    lots = _lots(session, actor, transfer_id)
    received = _received(lots, arrived or (), rest_as_sent=rest_as_sent or arrived is None)
    ward_id, drugs = transfer.destination_ward_id, {lot.drug_id for lot in lots}
    witness_id = admit_custody_witness(session, actor=actor, ward_id=ward_id, drug_ids=drugs, witness=witness)
    cause = Cause(MovementReason.TRANSFER_IN, transfer_id, actor.user_id, now, witness_id)
    for drug_id, of_drug in groupby(lots, key=lambda lot: lot.drug_id):
        shelf = Shelf(actor.organization_id, ward_id, drug_id)
        _put_on(session, shelf, list(of_drug), received, cause, owner_id=transfer.dispatched_by_id)
    received_by = {"received_by_id": actor.user_id, "received_at": now}
    _change(session, actor, transfer_id, status=TransferStatus.RECEIVED, **received_by)
    return get_transfer(session, actor=actor, transfer_id=transfer_id)


def _put_on(
    session: Session, shelf: Shelf, lots: Sequence[Row[Any]], received: Mapping[UUID, int], cause: Cause, owner_id: UUID
) -> None:
    """Put what was `received` of a drug's lots on its shelf, and open a discrepancy for each lot that is short."""
    ledger.lock_shelf(session, shelf)
    came = [lot for lot in lots if received[lot.id]]
    if came:
        ledger.post(session, shelf, [Line(lot.lot_id, received[lot.id]) for lot in came], cause)
    for lot in came:
        add_received(session, organization_id=shelf.organization_id, lot=lot, units=received[lot.id])
    for lot in lots:
        if received[lot.id] < lot.dispatched_units:
            open_shortfall(
                session,
                shelf=shelf,
                lot_id=lot.lot_id,
                transfer_lot_id=lot.id,
                expected_units=lot.dispatched_units,
                found_units=received[lot.id],
                owner_id=owner_id,
                now=cause.occurred_at,
            )


@change(may=WARD_STAFF)
def cancel(session: Session, *, actor: Actor, transfer_id: UUID) -> Transfer:
    """End a transfer that was not dispatched. A nurse cancels those of her wards.

    Raises TransferNotFound, NotOnThisWard, TransferStatusConflict.
    """
    transfer = _lock(session, actor, transfer_id, TransferStatus.REQUESTED)
    ensure_of_ward(session, actor, transfer.destination_ward_id)
    cancelled_by = {"cancelled_by_id": actor.user_id, "cancelled_at": session.now}
    _change(session, actor, transfer_id, status=TransferStatus.CANCELLED, **cancelled_by)
    return get_transfer(session, actor=actor, transfer_id=transfer_id)


def add_received(session: Session, *, organization_id: UUID, lot: Any, units: int) -> None:
    """Counts units of a transfer's lot as received, on the lot and on its line."""
    change_lot(session, organization_id=organization_id, transfer_lot_id=lot.id, received_units=units)
    session.execute(
        bump(StockTransferLine, received_units=StockTransferLine.received_units + units).where(
            StockTransferLine.organization_id == organization_id, StockTransferLine.id == lot.line_id
        )
    )


def change_lot(session: Session, *, organization_id: UUID, transfer_lot_id: UUID, **units: int) -> None:
    """Adds `units` to received_units, returned_units or lost_units of a lot on its way."""
    lot = StockTransferLot
    session.execute(
        bump(lot, **{name: getattr(lot, name) + more for name, more in units.items()}).where(
            lot.organization_id == organization_id, lot.id == transfer_lot_id
        )
    )


def _lock(session: Session, actor: Actor, transfer_id: UUID, wanted: TransferStatus) -> Row[Any]:
    """The transfer, locked. Raises TransferNotFound, TransferStatusConflict."""
    transfer = StockTransfer
    row = session.execute(
        select(transfer.status, transfer.source_ward_id, transfer.destination_ward_id, transfer.dispatched_by_id)
        .where(transfer.organization_id == actor.organization_id, transfer.id == transfer_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise TransferNotFound()
    if row.status is not wanted:
        raise TransferStatusConflict(f"The transfer is {row.status}.", transfer_status=row.status)
    return row


def _change(session: Session, actor: Actor, transfer_id: UUID, **values: Any) -> None:
    session.execute(
        bump(StockTransfer, **values).where(
            StockTransfer.organization_id == actor.organization_id, StockTransfer.id == transfer_id
        )
    )


def _lines(session: Session, actor: Actor, transfer_id: UUID) -> Sequence[Row[Any]]:
    line = StockTransferLine
    return session.execute(
        select(line.id, line.drug_id, line.quantity_units)
        .where(line.organization_id == actor.organization_id, line.transfer_id == transfer_id)
        .order_by(line.drug_id)
    ).all()


def _units_to_send(lines: Sequence[Row[Any]], sent: Mapping[UUID, int] | None) -> dict[UUID, int]:
    asked = {line.drug_id: int(line.quantity_units) for line in lines}
    if sent is None:
        return asked
    for drug_id, units in sent.items():
        if drug_id not in asked:
            raise ValidationFailed.of("lines", f"drug {drug_id} is not part of this transfer")
        if units > asked[drug_id]:
            raise ValidationFailed.of("lines", f"more of drug {drug_id} than was asked for")
    if not any(sent.values()):
        raise ValidationFailed.of("lines", "nothing is sent: cancel the transfer")
    return {drug_id: sent.get(drug_id, 0) for drug_id in asked}


def _pick(session: Session, shelf: Shelf, units: int, today: Any) -> list[LotOnShelf]:
    ledger.lock_shelf(session, shelf)
    usable = [lot for lot in ledger.lock_lots(session, shelf, today=today) if lot.usable]
    try:
        return first_expiring_first(usable, units)
    except InsufficientStock as short:
        raise InsufficientStock(short.detail, drug_id=shelf.drug_id, **short.members) from None


def _send(session: Session, actor: Actor, line_id: UUID, picks: Sequence[LotOnShelf]) -> None:
    session.execute(
        insert(StockTransferLot),
        [
            {
                "organization_id": actor.organization_id,
                "id": new_id(),
                "line_id": line_id,
                "lot_id": pick.lot_id,
                "dispatched_units": pick.quantity_units,
            }
            for pick in picks
        ],
    )
    session.execute(
        bump(StockTransferLine, dispatched_units=sum(pick.quantity_units for pick in picks)).where(
            StockTransferLine.organization_id == actor.organization_id, StockTransferLine.id == line_id
        )
    )


def _lots(session: Session, actor: Actor, transfer_id: UUID) -> Sequence[Row[Any]]:
    """The lots of a transfer by drug and lot, locked."""
    line, lot = StockTransferLine, StockTransferLot
    return session.execute(
        select(lot.id, lot.line_id, line.drug_id, lot.lot_id, lot.dispatched_units)
        .join(line, same_hospital(line, by=lot.line_id))
        .where(
            lot.organization_id == actor.organization_id,
            line.organization_id == actor.organization_id,
            line.transfer_id == transfer_id,
        )
        .order_by(line.drug_id, lot.lot_id)
        .with_for_update(of=lot)
    ).all()


def _received(lots: Sequence[Row[Any]], arrived: Sequence[Arrived], *, rest_as_sent: bool) -> dict[UUID, int]:
    """Return the units of each lot on its way that arrived. Raises ValidationFailed for anything that leaves a
    doubt."""
    by_name: dict[tuple[UUID, UUID | None], list[Row[Any]]] = {}
    for lot in lots:
        for name in ((lot.drug_id, None), (lot.drug_id, lot.lot_id)):
            by_name.setdefault(name, []).append(lot)
    received: dict[UUID, int] = {}
    for line in arrived:
        sent = by_name.get((line.drug_id, line.lot_id), [])
        if not sent:
            raise ValidationFailed.of("lines", f"drug {line.drug_id}: not sent with this transfer")
        total = sum(lot.dispatched_units for lot in sent)
        if line.quantity_units > total:
            raise ValidationFailed.of("lines", f"drug {line.drug_id}: more than the {total} units that were sent")
        if len(sent) > 1 and line.quantity_units not in {0, total}:
            raise ValidationFailed.of("lines", f"drug {line.drug_id}: several lots were sent, say how much of each")
        for lot in sent:
            if lot.id in received:
                raise ValidationFailed.of("lines", f"drug {line.drug_id}: listed twice")
            received[lot.id] = (
                line.quantity_units if len(sent) == 1 else lot.dispatched_units * bool(line.quantity_units)
            )
    missing = next((lot.drug_id for lot in lots if lot.id not in received), None)
    if missing is not None and not rest_as_sent:
        raise ValidationFailed.of("lines", f"drug {missing}: say how much arrived, 0 for nothing")
    return {lot.id: received.get(lot.id, lot.dispatched_units) for lot in lots}
