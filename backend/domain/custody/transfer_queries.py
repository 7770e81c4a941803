"""Reads of transfers."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from backend.actor import Actor
from backend.db import Rows, Session, read
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.db.typed import Kept, rows_as
from backend.domain.custody.errors import TransferNotFound
from backend.domain.custody.models import StockTransfer, StockTransferLine, StockTransferLot, TransferStatus
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.organizations.models import Ward
from backend.domain.stock.models import Lot


@dataclass(frozen=True, slots=True)
class TransferLot:
    """Units of one lot; what was neither received, returned nor lost is still on the way."""

    lot_id: UUID
    lot_number: str
    expires_on: date
    dispatched_units: int
    received_units: int
    returned_units: int
    lost_units: int


@dataclass(frozen=True, slots=True)
class TransferLine:
    """One drug of a transfer."""

    drug_id: UUID
    drug_name: str
    strength: str
    controlled: bool
    quantity_units: int
    dispatched_units: int
    received_units: int
    lots: Annotated[list[TransferLot], Kept("the lots that were sent of one drug")]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer as it stands."""

    id: UUID
    status: TransferStatus
    source_ward_id: UUID
    source_ward_name: str
    destination_ward_id: UUID
    destination_ward_name: str
    lines: Annotated[list[TransferLine], Kept("a transfer has at most two hundred drugs")]
    requested_by: str
    requested_at: datetime
    dispatched_by: str | None
    dispatched_at: datetime | None
    received_by: str | None
    received_at: datetime | None
    cancelled_by: str | None
    cancelled_at: datetime | None


def _lots_of_line() -> Any:
    """The lots of a line as JSON, first expiring first."""
    sent = StockTransferLot
    lot = func.jsonb_build_object(
        *("lot_id", sent.lot_id),
        *("lot_number", Lot.lot_number),
        *("expires_on", Lot.expires_on),
        *("dispatched_units", sent.dispatched_units),
        *("received_units", sent.received_units),
        *("returned_units", sent.returned_units),
        *("lost_units", sent.lost_units),
    )
    return (
        select(func.coalesce(func.jsonb_agg(aggregate_order_by(lot, Lot.expires_on, Lot.id)), func.jsonb_build_array()))
        .select_from(sent)
        .join(Lot, same_hospital(Lot, by=sent.lot_id))
        .where(same_hospital(StockTransferLine, by=sent.line_id))
        .scalar_subquery()
    )


def _lines_of_transfer() -> Any:
    line = StockTransferLine
    shown = func.jsonb_build_object(
        *("drug_id", line.drug_id),
        *("drug_name", Drug.name),
        *("strength", Drug.strength),
        *("controlled", Drug.controlled_schedule.is_not(None)),
        *("quantity_units", line.quantity_units),
        *("dispatched_units", line.dispatched_units),
        *("received_units", line.received_units),
        *("lots", _lots_of_line()),
    )
    return (
        select(func.jsonb_agg(aggregate_order_by(shown, Drug.name_key, line.id)))
        .select_from(line)
        .join(Drug, same_hospital(Drug, by=line.drug_id))
        .where(same_hospital(StockTransfer, by=line.transfer_id))
        .scalar_subquery()
    )


def _transfers(organization_id: UUID) -> Rows:
    transfer, source, destination = StockTransfer, aliased(Ward), aliased(Ward)
    people = {name: aliased(User) for name in ("requested", "dispatched", "received", "cancelled")}
    rows = (
        select(
            transfer.id,
            transfer.status,
            transfer.source_ward_id,
            source.name.label("source_ward_name"),
            transfer.destination_ward_id,
            destination.name.label("destination_ward_name"),
            transfer.created_at.label("requested_at"),
            transfer.dispatched_at,
            transfer.received_at,
            transfer.cancelled_at,
            _lines_of_transfer().label("lines"),
            *(person.name.label(f"{name}_by") for name, person in people.items()),
        )
        .join(source, same_hospital(source, by=transfer.source_ward_id))
        .join(
            destination,
            same_hospital(destination, by=transfer.destination_ward_id),
        )
        .where(transfer.organization_id == organization_id)
    )
    for name, person in people.items():
        who = getattr(transfer, f"{name}_by_id")
        rows = rows.outerjoin(person, same_hospital(person, by=who))
    return rows


@read()
def get_transfer(session: Session, *, actor: Actor, transfer_id: UUID) -> Transfer:
    """Read one transfer with its lines and lots. Raises TransferNotFound."""
    found = session.execute(_transfers(actor.organization_id).where(StockTransfer.id == transfer_id)).all()
    if not found:
        raise TransferNotFound()
    return rows_as(Transfer, found)[0]


@read()
def list_transfers(
    session: Session,
    *,
    actor: Actor,
    page: PageRequest,
    status: TransferStatus | None = None,
    source_ward_id: UUID | None = None,
    destination_ward_id: UUID | None = None,
) -> Page[Transfer]:
    """List transfers, newest first, of one status or between certain wards where that is said."""
    transfer = StockTransfer
    wanted = {"status": status, "source_ward_id": source_ward_id, "destination_ward_id": destination_ward_id}
    rows = _transfers(actor.organization_id).where(*equal(transfer, **wanted))
    return read_page(session, rows, page, transfer.created_at, transfer.id, descending=True).of(Transfer)
