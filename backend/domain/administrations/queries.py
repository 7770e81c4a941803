"""Reads of recorded doses.

Decision: the entries of a patient or an order are found first, as a materialised list of ids, by the two partial
indexes that together hold every entry of an order. Because the planner, left to itself, walks back through the doses
of the whole hospital in the hope of meeting the patient's. Cost: all of a patient's ids are read for one page of them.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select, union_all
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.filters import equal, same_hospital, within
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.administrations.errors import AdministrationNotFound
from backend.domain.administrations.models import MedicationAdministration
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.orders.models import MedicationOrder
from backend.domain.patients.models import Patient
from backend.domain.stock.models import Lot, MovementReason, StockMovement


def _administrations(organization_id: UUID) -> Rows:
    entry, order, witness, marker = MedicationAdministration, MedicationOrder, aliased(User), aliased(User)

    return (
        select(
            entry.id,
            entry.order_id,
            order.patient_id,
            Patient.name.label("patient_name"),
            order.ward_id,
            order.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            Drug.unit,
            Drug.controlled_schedule.is_not(None).label("controlled"),
            entry.dose_number.label("dose"),
            entry.outcome,
            entry.reason.label("note"),
            entry.quantity_units,
            entry.wasted_units,
            entry.returned_units,
            User.name.label("nurse_name"),
            witness.name.label("witness_name"),
            entry.administered_at,
            entry.entered_in_error_at,
            marker.name.label("entered_in_error_by"),
            entry.error_reason,
        )
        .join(order, same_hospital(order, by=entry.order_id))
        .join(Patient, same_hospital(Patient, by=order.patient_id, of=entry))
        .join(Drug, same_hospital(Drug, by=order.drug_id, of=entry))
        .join(User, same_hospital(User, by=entry.nurse_id))
        .outerjoin(witness, same_hospital(witness, by=entry.witness_id))
        .outerjoin(marker, same_hospital(marker, by=entry.in_error_by_id))
        .where(entry.organization_id == organization_id)
    )


def get_administration(session: Session, *, organization_id: UUID, administration_id: UUID) -> Row[Any]:
    """One recorded dose. Raises AdministrationNotFound."""
    rows = _administrations(organization_id).where(MedicationAdministration.id == administration_id)
    row = session.execute(rows).one_or_none()
    if row is None:
        raise AdministrationNotFound()
    return row


def lots_of(session: Session, *, organization_id: UUID, administration_id: UUID) -> list[dict[str, Any]]:
    """What a dose took of each lot, first expiring first; nothing where it was not given."""
    movement = StockMovement
    same_lot = same_hospital(Lot, by=movement.lot_id)
    rows = session.execute(
        select(movement.lot_id, Lot.lot_number, Lot.expires_on, (-movement.units).label("quantity_units"))
        .join(Lot, same_lot)
        .where(
            movement.organization_id == organization_id,
            movement.reference_id == administration_id,
            movement.reason == MovementReason.FULFILMENT,
        )
        .order_by(Lot.expires_on, movement.lot_id)
    )
    return [row._asdict() for row in rows]


def _of_orders(organization_id: UUID, order_id: UUID | None, patient_id: UUID | None) -> Select[tuple[UUID]]:
    """The ids of the entries of an order, of a patient's orders, or of both."""
    entry, order = MedicationAdministration, MedicationOrder
    orders = select(order.id).where(order.organization_id == organization_id)
    if order_id is not None:
        orders = orders.where(order.id == order_id)
    if patient_id is not None:
        orders = orders.where(order.patient_id == patient_id)
    mine = select(entry.id).where(entry.organization_id == organization_id, entry.order_id.in_(orders))
    found = union_all(mine.where(entry.stands), mine.where(~entry.stands)).cte("entries").prefix_with("MATERIALIZED")
    return select(found.c.id)


def list_administrations(
    session: Session,
    *,
    organization_id: UUID,
    page: PageRequest,
    order_id: UUID | None = None,
    patient_id: UUID | None = None,
    ward_id: UUID | None = None,
    nurse_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """Recorded doses, newest first; `since` counts, `until` does not."""
    entry, order = MedicationAdministration, MedicationOrder
    rows = _administrations(organization_id).where(
        *equal(order, ward_id=ward_id), *equal(entry, nurse_id=nurse_id), *within(entry.administered_at, since, until)
    )
    if order_id is not None or patient_id is not None:
        rows = rows.where(entry.id.in_(_of_orders(organization_id, order_id, patient_id)))
    return read_page(session, rows, page, entry.administered_at, entry.id, descending=True)
