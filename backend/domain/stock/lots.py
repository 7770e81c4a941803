"""Lots: on hold, released, recalled. Available <-> on hold; recalled is final.

A change takes the lanes of the drug on every ward that holds it, so every fulfilment is before or after it; it also
writes the lot's row on every shelf, so that a writer who missed a lane fails with 40001 and runs again. A shelf that
comes to hold the lot meanwhile raises the lot's version (domain/stock/ledger.py), and then the recall runs again.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.actor import Actor
from backend.db import Rows, Session, bump
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.stock import ledger
from backend.domain.stock.adjustments import LotNotFound
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import Lot, LotStatus, StockLevel, StockLot
from backend.errors import Conflict

MAY_BECOME = {
    LotStatus.AVAILABLE: frozenset({LotStatus.ON_HOLD, LotStatus.RECALLED}),
    LotStatus.ON_HOLD: frozenset({LotStatus.AVAILABLE, LotStatus.RECALLED}),
    LotStatus.RECALLED: frozenset[LotStatus](),
}


class LotStatusConflict(Conflict):
    """The lot's state does not allow this: available and on hold change into one another, recalled is final.
    `lot_status` is the present one."""


def shelves_of(session: Session, *, organization_id: UUID, lot_id: UUID) -> list[Shelf]:
    """Every shelf of the lot's drug: what a change of the lot takes the lanes of. Raises LotNotFound."""
    drug_id = session.execute(
        select(Lot.drug_id).where(Lot.organization_id == organization_id, Lot.id == lot_id)
    ).scalar_one_or_none()
    if drug_id is None:
        raise LotNotFound()
    wards = session.execute(
        select(StockLevel.ward_id)
        .where(StockLevel.organization_id == organization_id, StockLevel.drug_id == drug_id)
        .order_by(StockLevel.ward_id)
    )
    return [Shelf(organization_id, ward_id, drug_id) for (ward_id,) in wards]


def change_status(
    session: Session, *, actor: Actor, lot_id: UUID, status: LotStatus, reason: str | None, now: datetime
) -> None:
    """Holds, releases or recalls a lot on every shelf at once; the caller has taken the lanes of `shelves_of`.

    Raises LotNotFound, LotStatusConflict.
    """
    mine = (Lot.organization_id == actor.organization_id, Lot.id == lot_id)
    row = session.execute(select(Lot.drug_id, Lot.status).where(*mine)).one_or_none()
    if row is None:
        raise LotNotFound()
    for shelf in shelves_of(session, organization_id=actor.organization_id, lot_id=lot_id):
        ledger.lock_shelf(session, shelf)  # and every board shows it
    if status not in MAY_BECOME[row.status]:
        raise LotStatusConflict(f"The lot is {row.status.replace('_', ' ')}.", lot_status=row.status)
    session.execute(bump(StockLot).where(StockLot.organization_id == actor.organization_id, StockLot.lot_id == lot_id))
    changed = {"status": status, "status_reason": reason, "status_changed_at": now}
    session.execute(bump(Lot, status_changed_by_id=actor.user_id, **changed).where(*mine))


def _lots(organization_id: UUID) -> Rows:
    return (
        select(
            Lot.id,
            Lot.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            Lot.lot_number,
            Lot.expires_on,
            Lot.status,
            Lot.status_reason,
            User.name.label("status_changed_by"),
            Lot.status_changed_at,
            Lot.created_at,
        )
        .join(Drug, same_hospital(Drug, by=Lot.drug_id))
        .outerjoin(User, same_hospital(User, by=Lot.status_changed_by_id))
        .where(Lot.organization_id == organization_id)
    )


def get_lot(session: Session, *, organization_id: UUID, lot_id: UUID) -> Row[Any]:
    """One lot. Raises LotNotFound."""
    row = session.execute(_lots(organization_id).where(Lot.id == lot_id)).one_or_none()
    if row is None:
        raise LotNotFound()
    return row


def list_lots(
    session: Session,
    *,
    organization_id: UUID,
    drug_id: UUID | None,
    lot_number: str | None,
    status: LotStatus | None,
    expires_from: date | None,
    page: PageRequest,
) -> Page:
    """List lots by expiry, the first to expire first; those that expire before `expires_from` are left out."""
    rows = _lots(organization_id).where(*equal(Lot, drug_id=drug_id, lot_number=lot_number, status=status))
    if expires_from is not None:
        rows = rows.where(Lot.expires_on >= expires_from)
    return read_page(session, rows, page, Lot.expires_on, Lot.id)
