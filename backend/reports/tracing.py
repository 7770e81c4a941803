"""Tracing a lot: where it lies, what of it is on its way, and who was given it. One snapshot, for a recall."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select

from backend.administrations.models import MedicationAdministration
from backend.db import Session
from backend.identity.models import User
from backend.orders.models import MedicationOrder
from backend.organizations.models import Ward
from backend.patients.models import Patient
from backend.stock.lots import get_lot
from backend.stock.models import MovementReason, StockLot, StockMovement
from backend.transfers.models import StockTransfer, StockTransferLine, StockTransferLot

DOSES_MAX = 1_000


def trace_lot(session: Session, *, organization_id: UUID, lot_id: UUID) -> dict[str, Any]:
    """A lot with its `stock` by ward, what is `in_transit`, and the `doses` given of it, newest first.

    At most DOSES_MAX doses, the rest is said by `doses_truncated`. Raises LotNotFound.
    """
    lot = get_lot(session, organization_id=organization_id, lot_id=lot_id)
    doses = _doses(session, organization_id, lot_id)
    return {
        **lot._asdict(),
        "stock": _stock(session, organization_id, lot_id),
        "in_transit": _in_transit(session, organization_id, lot_id),
        "doses": doses[:DOSES_MAX],
        "doses_truncated": len(doses) > DOSES_MAX,
    }


def _stock(session: Session, organization_id: UUID, lot_id: UUID) -> Sequence[Row[Any]]:
    held = StockLot
    return session.execute(
        select(held.ward_id, Ward.name.label("ward_name"), held.quantity_units)
        .join(Ward, (Ward.organization_id == held.organization_id) & (Ward.id == held.ward_id))
        .where(held.organization_id == organization_id, held.lot_id == lot_id, held.quantity_units > 0)
        .order_by(Ward.name)
    ).all()


def _in_transit(session: Session, organization_id: UUID, lot_id: UUID) -> Sequence[Row[Any]]:
    lot, line, transfer, source = StockTransferLot, StockTransferLine, StockTransfer, Ward.__table__.alias("source")
    on_the_way = lot.dispatched_units - lot.received_units - lot.returned_units - lot.lost_units
    return session.execute(
        select(
            transfer.id.label("transfer_id"),
            source.c.name.label("source_ward_name"),
            transfer.destination_ward_id,
            Ward.name.label("destination_ward_name"),
            transfer.status.label("transfer_status"),
            transfer.dispatched_at,
            on_the_way.label("quantity_units"),
        )
        .join(line, (line.organization_id == lot.organization_id) & (line.id == lot.line_id))
        .join(transfer, (transfer.organization_id == lot.organization_id) & (transfer.id == line.transfer_id))
        .join(
            source,
            (source.c.organization_id == lot.organization_id) & (source.c.id == transfer.source_ward_id),
        )
        .join(Ward, (Ward.organization_id == lot.organization_id) & (Ward.id == transfer.destination_ward_id))
        .where(lot.organization_id == organization_id, lot.lot_id == lot_id, on_the_way > 0)
        .order_by(transfer.dispatched_at, transfer.id)
    ).all()


def _doses(session: Session, organization_id: UUID, lot_id: UUID) -> Sequence[Row[Any]]:
    """The movements of the lot's shelves, by their own index: a recall is rare, an index by lot would cost every
    dose."""
    held, movement, dose, order = StockLot, StockMovement, MedicationAdministration, MedicationOrder

    def same(table: Any, column: Any) -> Any:
        return (table.organization_id == organization_id) & (table.id == column)

    return session.execute(
        select(
            dose.id.label("administration_id"),
            order.patient_id,
            Patient.name.label("patient_name"),
            Patient.mrn,
            movement.ward_id,
            Ward.name.label("ward_name"),
            dose.order_id,
            dose.dose_number.label("dose"),
            func.abs(movement.units).label("quantity_units"),
            User.name.label("given_by"),
            dose.administered_at.label("given_at"),
            dose.entered_in_error_at,
        )
        .select_from(held)
        .join(
            movement,
            (movement.organization_id == held.organization_id)
            & (movement.ward_id == held.ward_id)
            & (movement.drug_id == held.drug_id)
            & (movement.lot_id == held.lot_id),
        )
        .join(dose, same(dose, movement.reference_id))
        .join(order, same(order, dose.order_id))
        .join(Patient, same(Patient, order.patient_id))
        .join(Ward, same(Ward, movement.ward_id))
        .join(User, same(User, dose.nurse_id))
        .where(
            held.organization_id == organization_id,
            held.lot_id == lot_id,
            movement.reason == MovementReason.FULFILMENT,
        )
        .order_by(dose.administered_at.desc(), dose.id.desc())
        .limit(DOSES_MAX + 1)
    ).all()
