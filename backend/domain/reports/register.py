"""The register of a controlled drug: every unit with balance, actor and witness, what was wasted of a dose included.

A line is a movement, or a waste of units that a dose had withdrawn: that one moves no stock, so its `units` are 0 and
`wasted_units` says how many were destroyed (21 CFR 1304.21: a record of each receipt and disposal).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Text, Uuid, cast, false, func, literal, null, select, union_all
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.filters import same_hospital, within
from backend.db.paging import Page, PageRequest, beyond, page_of
from backend.domain.administrations.models import DoseRemainder, MedicationAdministration, RemainderKind
from backend.domain.formulary.drugs import get_drug
from backend.domain.identity.models import User
from backend.domain.orders.models import MedicationOrder
from backend.domain.organizations.models import Ward
from backend.domain.patients.models import Patient
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.models import Lot, StockMovement


def read_register(
    session: Session,
    *,
    organization_id: UUID,
    drug_id: UUID,
    ward_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    hides: Hides,
    page: PageRequest,
) -> Page:
    """The lines of a drug's register, newest first; `since` counts, `until` does not.

    Lines of a shelf whose figures are hidden have no units and no balance. Raises DrugNotFound.
    """
    get_drug(session, organization_id=organization_id, drug_id=drug_id)

    def narrowed(rows: Rows, ward: Any, moment: Any, row_id: Any) -> Rows:
        of_ward = [ward == ward_id] if ward_id is not None else []
        bounds = [*of_ward, *within(moment, since, until), *beyond(page, moment, row_id, descending=True)]
        return rows.where(*bounds).order_by(moment.desc(), row_id.desc()).limit(page.limit + 1)

    movement, remainder, order = StockMovement, DoseRemainder, MedicationOrder
    moved = narrowed(_movements(organization_id, drug_id, hides), movement.ward_id, movement.recorded_at, movement.id)
    wasted = narrowed(_wastes(organization_id, drug_id), order.ward_id, remainder.recorded_at, remainder.id)
    lines = union_all(moved.subquery().select(), wasted.subquery().select()).subquery()
    rows = select(lines).order_by(lines.c.recorded_at.desc(), lines.c.id.desc()).limit(page.limit + 1)
    return page_of(session.execute(rows).all(), page, lambda row: (row.recorded_at, row.id))


def _movements(organization_id: UUID, drug_id: UUID, hides: Hides) -> Rows:
    movement, witness, dose, order = StockMovement, aliased(User), MedicationAdministration, MedicationOrder
    remainder = DoseRemainder
    hidden = hides(ward=movement.ward_id, drug=movement.drug_id)
    of_dose = func.coalesce(remainder.administration_id, movement.reference_id)

    return (
        select(
            movement.id,
            movement.recorded_at,
            movement.ward_id,
            Ward.name.label("ward_name"),
            Lot.lot_number,
            cast(movement.reason, Text).label("event"),
            unless(hidden, movement.units).label("units"),
            literal(0).label("wasted_units"),
            unless(hidden, movement.balance_after_units).label("balance_after_units"),
            hidden.label("figures_hidden"),
            Patient.name.label("patient_name"),
            User.name.label("actor_name"),
            witness.name.label("witness_name"),
            movement.note,
            movement.corrects_id,
        )
        .join(Ward, same_hospital(Ward, by=movement.ward_id))
        .join(Lot, same_hospital(Lot, by=movement.lot_id))
        .outerjoin(User, same_hospital(User, by=movement.actor_id))
        .outerjoin(witness, same_hospital(witness, by=movement.witness_id))
        .outerjoin(remainder, same_hospital(remainder, by=movement.reference_id))
        .outerjoin(dose, same_hospital(dose, by=of_dose, of=movement))
        .outerjoin(order, same_hospital(order, by=dose.order_id, of=movement))
        .outerjoin(Patient, same_hospital(Patient, by=order.patient_id, of=movement))
        .where(movement.organization_id == organization_id, movement.drug_id == drug_id)
    )


def _wastes(organization_id: UUID, drug_id: UUID) -> Rows:
    remainder, witness, dose, order = DoseRemainder, aliased(User), MedicationAdministration, MedicationOrder

    return (
        select(
            remainder.id,
            remainder.recorded_at,
            order.ward_id,
            Ward.name.label("ward_name"),
            Lot.lot_number,
            literal("dose_waste").label("event"),
            literal(0).label("units"),
            remainder.units.label("wasted_units"),
            cast(null(), Integer).label("balance_after_units"),
            false().label("figures_hidden"),
            Patient.name.label("patient_name"),
            User.name.label("actor_name"),
            witness.name.label("witness_name"),
            remainder.reason.label("note"),
            cast(null(), Uuid).label("corrects_id"),
        )
        .join(dose, same_hospital(dose, by=remainder.administration_id))
        .join(order, same_hospital(order, by=dose.order_id, of=remainder))
        .join(Patient, same_hospital(Patient, by=order.patient_id, of=remainder))
        .join(Ward, same_hospital(Ward, by=order.ward_id, of=remainder))
        .join(Lot, same_hospital(Lot, by=remainder.lot_id))
        .join(User, same_hospital(User, by=remainder.actor_id))
        .outerjoin(witness, same_hospital(witness, by=remainder.witness_id))
        .where(
            remainder.organization_id == organization_id,
            order.drug_id == drug_id,
            remainder.kind == RemainderKind.WASTE,
        )
    )
