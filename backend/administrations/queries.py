"""Reads of recorded doses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, tuple_
from sqlalchemy.orm import aliased

from backend.administrations.errors import AdministrationNotFound
from backend.administrations.models import MedicationAdministration
from backend.db import Rows, Session
from backend.db.paging import Page, PageRequest, page_of
from backend.formulary.models import Drug
from backend.identity.models import User
from backend.orders.models import MedicationOrder
from backend.patients.models import Patient


def _administrations(organization_id: UUID) -> Rows:
    entry, order, witness, marker = MedicationAdministration, MedicationOrder, aliased(User), aliased(User)

    def same(table: Any, column: Any) -> Any:
        return (table.organization_id == entry.organization_id) & (table.id == column)

    return (
        select(
            entry.id,
            entry.order_id,
            order.patient_id,
            Patient.name.label("patient_name"),
            order.ward_id,
            order.drug_id,
            Drug.name.label("drug_name"),
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
        .join(order, same(order, entry.order_id))
        .join(Patient, same(Patient, order.patient_id))
        .join(Drug, same(Drug, order.drug_id))
        .join(User, same(User, entry.nurse_id))
        .outerjoin(witness, same(witness, entry.witness_id))
        .outerjoin(marker, same(marker, entry.in_error_by_id))
        .where(entry.organization_id == organization_id)
    )


def get_administration(session: Session, *, organization_id: UUID, administration_id: UUID) -> Row[Any]:
    """One recorded dose. Raises AdministrationNotFound."""
    rows = _administrations(organization_id).where(MedicationAdministration.id == administration_id)
    row = session.execute(rows).one_or_none()
    if row is None:
        raise AdministrationNotFound()
    return row


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
    wanted = (
        (entry.order_id, order_id),
        (order.patient_id, patient_id),
        (order.ward_id, ward_id),
        (entry.nurse_id, nurse_id),
    )
    rows = _administrations(organization_id).where(*(column == value for column, value in wanted if value is not None))
    if since is not None:
        rows = rows.where(entry.administered_at >= since)
    if until is not None:
        rows = rows.where(entry.administered_at < until)
    if page.after is not None:
        rows = rows.where(tuple_(entry.administered_at, entry.id) < page.after)
    rows = rows.order_by(entry.administered_at.desc(), entry.id.desc()).limit(page.limit + 1)
    return page_of(session.execute(rows).all(), page, lambda row: (row.administered_at, row.id))
