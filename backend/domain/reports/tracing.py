"""Tracing a lot: where it lies, what of it is on its way, and who was given it. One snapshot, for a recall.

Decision: an index of the doses by their lot, although it costs every dose an entry. Because a recall reads them while
it holds the lanes of every shelf of the drug: without it, it reads whatever these shelves ever moved, and each page
of the list does so again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, select, tuple_
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.filters import equal, same_hospital, within
from backend.db.paging import Page, PageRequest, page_of, read_page
from backend.domain.administrations.models import MedicationAdministration
from backend.domain.custody.models import StockTransfer, StockTransferLine, StockTransferLot
from backend.domain.identity.models import User
from backend.domain.orders.models import MedicationOrder
from backend.domain.organizations.models import Ward
from backend.domain.patients.models import Patient
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.lots import get_lot
from backend.domain.stock.models import MovementReason, StockLot, StockMovement

DOSES_MAX = 1_000


def trace_lot(session: Session, *, organization_id: UUID, lot_id: UUID, hides: Hides) -> dict[str, Any]:
    """Return a lot with its `stock` by ward, what is `in_transit`, and everybody who was given it.

    `patients` are all of them, each once, by name; `dose_count` counts all doses. `doses` are the newest DOSES_MAX,
    `doses_truncated` says that there are more: `list_doses` lists all. Raises LotNotFound.
    """
    lot = get_lot(session, organization_id=organization_id, lot_id=lot_id)
    patients = session.execute(_patients(organization_id, lot_id)).all()
    newest = PageRequest(limit=DOSES_MAX)
    movement = StockMovement
    doses = read_page(
        session, _doses(organization_id, lot_id), newest, movement.occurred_at, movement.id, descending=True
    )
    return {
        **lot._asdict(),
        "stock": _stock(session, organization_id, lot_id, hides),
        "in_transit": _in_transit(session, organization_id, lot_id),
        "patient_count": len(patients),
        "patients": patients,
        "dose_count": sum(patient.doses + patient.doses_in_error for patient in patients),
        "doses": doses.items,
        "doses_truncated": doses.next_key is not None,
    }


def _stock(session: Session, organization_id: UUID, lot_id: UUID, hides: Hides) -> Sequence[Row[Any]]:
    held = StockLot
    hidden = hides(ward=held.ward_id, drug=held.drug_id)
    return session.execute(
        select(
            held.ward_id,
            Ward.name.label("ward_name"),
            unless(hidden, held.quantity_units).label("quantity_units"),
            hidden.label("figures_hidden"),
        )
        .join(Ward, same_hospital(Ward, by=held.ward_id))
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
        .join(line, same_hospital(line, by=lot.line_id))
        .join(transfer, same_hospital(transfer, by=line.transfer_id, of=lot))
        .join(
            source,
            same_hospital(source.c, by=transfer.source_ward_id, of=lot),
        )
        .join(Ward, same_hospital(Ward, by=transfer.destination_ward_id, of=lot))
        .where(lot.organization_id == organization_id, lot.lot_id == lot_id, on_the_way > 0)
        .order_by(transfer.dispatched_at, transfer.id)
    ).all()


def list_doses(
    session: Session,
    *,
    organization_id: UUID,
    lot_id: UUID,
    ward_id: UUID | None,
    patient_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    page: PageRequest,
) -> Page:
    """List the doses given of a lot, newest first: on a ward, to a patient, from `since` on and before `until`.

    Raises LotNotFound.
    """
    get_lot(session, organization_id=organization_id, lot_id=lot_id)
    movement = StockMovement
    rows = _doses(organization_id, lot_id).where(
        *equal(movement, ward_id=ward_id),
        *equal(MedicationOrder, patient_id=patient_id),
        *within(movement.occurred_at, since, until),
    )
    return read_page(session, rows, page, movement.occurred_at, movement.id, descending=True)


def list_patients(session: Session, *, organization_id: UUID, lot_id: UUID, page: PageRequest) -> Page:
    """List everybody who was given a lot, each once, by name.

    The key of a page is the id of its last patient: it travels in URLs, which name no patient. Raises LotNotFound.
    """
    get_lot(session, organization_id=organization_id, lot_id=lot_id)
    rows = _patients(organization_id, lot_id)
    if page.after is not None:
        last = aliased(Patient)
        known = last.organization_id == organization_id, last.id == page.after[0]
        name_key = select(last.name_key).where(*known).scalar_subquery()
        rows = rows.where(tuple_(Patient.name_key, Patient.id) > tuple_(name_key, page.after[0]))
    return page_of(session.execute(rows.limit(page.limit + 1)).all(), page, lambda row: (row.patient_id,))


def _same(organization_id: UUID, table: Any, row_id: Any) -> ColumnElement[bool]:
    return and_(table.organization_id == organization_id, table.id == row_id)


def _given(organization_id: UUID, lot_id: UUID, *columns: Any) -> Rows:
    """The movements that took units of the lot for a dose, each with its dose and order, by their own index."""
    movement, dose, order = StockMovement, MedicationAdministration, MedicationOrder
    return (
        select(*columns)
        .select_from(movement)
        .join(dose, _same(organization_id, dose, movement.reference_id))
        .join(order, _same(organization_id, order, dose.order_id))
        .where(
            movement.organization_id == organization_id,
            movement.lot_id == lot_id,
            movement.reason == MovementReason.FULFILMENT,
        )
    )


def _doses(organization_id: UUID, lot_id: UUID) -> Rows:
    movement, dose, order = StockMovement, MedicationAdministration, MedicationOrder
    rows = _given(
        organization_id,
        lot_id,
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
    return (
        rows.join(Patient, _same(organization_id, Patient, order.patient_id))
        .join(Ward, _same(organization_id, Ward, movement.ward_id))
        .join(User, _same(organization_id, User, dose.nurse_id))
    )


def _patients(organization_id: UUID, lot_id: UUID) -> Rows:
    """Who was given the lot, by name, with the ward and the bed where they lie now."""
    dose, order = MedicationAdministration, MedicationOrder
    stands = dose.entered_in_error_at.is_(None)
    given_at = func.max(dose.administered_at)
    given = (
        _given(
            organization_id,
            lot_id,
            order.patient_id,
            func.count().filter(stands).label("doses"),
            func.count().filter(~stands).label("doses_in_error"),
            func.coalesce(given_at.filter(stands), given_at).label("last_given_at"),
        )
        .group_by(order.patient_id)
        .subquery("given")
    )
    return (
        select(
            given.c.patient_id,
            Patient.name.label("patient_name"),
            Patient.mrn,
            Patient.ward_id,
            Ward.name.label("ward_name"),
            Patient.bed,
            given.c.doses,
            given.c.doses_in_error,
            given.c.last_given_at,
        )
        .join(Patient, _same(organization_id, Patient, given.c.patient_id))
        .outerjoin(Ward, _same(organization_id, Ward, Patient.ward_id))
        .order_by(Patient.name_key, Patient.id)
    )
