"""The order, the shelf and the entry of a recorded dose, locked in the order of db/transaction.py."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.actor import Actor
from backend.db import Session, bump
from backend.db.filters import same_hospital
from backend.domain.administrations.errors import AdministrationNotFound
from backend.domain.administrations.models import MedicationAdministration
from backend.domain.formulary.models import Drug
from backend.domain.identity.membership import ensure_of_ward
from backend.domain.orders.errors import OrderNotFound
from backend.domain.orders.models import MedicationOrder
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import MovementReason, StockMovement


@dataclass(frozen=True, slots=True)
class Entry:
    """A recorded dose with its order, both locked, and whether its drug is controlled."""

    administration: Row[Any]
    order: Row[Any]
    controlled: bool


def shelf_of(session: Session, *, organization_id: UUID, administration_id: UUID) -> Shelf:
    """The shelf that an administration's order takes from. Raises AdministrationNotFound."""
    order, entry = MedicationOrder, MedicationAdministration
    row = session.execute(
        select(order.ward_id, order.drug_id)
        .join(entry, same_hospital(order, by=entry.order_id))
        .where(entry.organization_id == organization_id, entry.id == administration_id)
    ).one_or_none()
    if row is None:
        raise AdministrationNotFound()
    return Shelf(organization_id, row.ward_id, row.drug_id)


def lock_order(session: Session, *, actor: Actor, order_id: UUID) -> Row[Any]:
    """The order, locked. Raises OrderNotFound."""
    order = MedicationOrder
    row = session.execute(
        select(*order.__table__.columns)
        .where(order.organization_id == actor.organization_id, order.id == order_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise OrderNotFound()
    return row


def lock_entry(session: Session, *, actor: Actor, shelf: Shelf, administration_id: UUID) -> Entry:
    """A recorded dose of the shelf, locked; the caller has taken the shelf's lane.

    Raises AdministrationNotFound, NotOnThisWard.
    """
    entry = MedicationAdministration
    mine = (entry.organization_id == actor.organization_id, entry.id == administration_id)
    order_id = session.execute(select(entry.order_id).where(*mine)).scalar_one_or_none()
    if order_id is None:
        raise AdministrationNotFound()
    ensure_of_ward(session, actor, shelf.ward_id)
    order = lock_order(session, actor=actor, order_id=order_id)
    ledger.lock_shelf(session, shelf)
    administration = session.execute(select(*entry.__table__.columns).where(*mine).with_for_update()).one()
    scheduled = select(Drug.controlled_schedule).where(
        Drug.organization_id == actor.organization_id, Drug.id == shelf.drug_id
    )
    return Entry(administration, order, session.execute(scheduled).scalar_one() is not None)


def withdrawn(session: Session, *, organization_id: UUID, administration_id: UUID) -> list[Row[Any]]:
    """The movements that took the dose from stock: id, lot_id and units, which are negative."""
    movement = StockMovement
    rows = session.execute(
        select(movement.id, movement.lot_id, movement.units)
        .where(
            movement.organization_id == organization_id,
            movement.reference_id == administration_id,
            movement.reason == MovementReason.FULFILMENT,
        )
        .order_by(movement.sequence)
    )
    return list(rows)


def change_administration(session: Session, *, organization_id: UUID, administration_id: UUID, **values: Any) -> None:
    """Changes a locked entry."""
    entry = MedicationAdministration
    session.execute(
        bump(entry, **values).where(entry.organization_id == organization_id, entry.id == administration_id)
    )


def change_order(session: Session, *, organization_id: UUID, order_id: UUID, **values: Any) -> None:
    """Changes a locked order."""
    order = MedicationOrder
    session.execute(bump(order, **values).where(order.organization_id == organization_id, order.id == order_id))
