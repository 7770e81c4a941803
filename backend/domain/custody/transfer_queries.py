"""Reads of transfers."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.custody.errors import TransferNotFound
from backend.domain.custody.models import StockTransfer, StockTransferLine, StockTransferLot
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.organizations.models import Ward
from backend.domain.stock.models import Lot


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


def get_transfer(session: Session, *, organization_id: UUID, transfer_id: UUID) -> Row[Any]:
    """One transfer with its lines and lots. Raises TransferNotFound."""
    row = session.execute(_transfers(organization_id).where(StockTransfer.id == transfer_id)).one_or_none()
    if row is None:
        raise TransferNotFound()
    return row


def list_transfers(session: Session, *, organization_id: UUID, page: PageRequest, **filters: Any) -> Page:
    """Transfers, newest first. `filters` are values of status, source_ward_id and destination_ward_id."""
    transfer = StockTransfer
    rows = _transfers(organization_id).where(*equal(transfer, **filters))
    return read_page(session, rows, page, transfer.created_at, transfer.id, descending=True)
