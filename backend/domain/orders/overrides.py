"""Overrides: a drug on the ward's list may be given from an unverified order, with a reason, and is reviewed (ISMP)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select

from backend.actor import Actor
from backend.db import Prepared, Rows, Session, bump, new_id
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.formulary.drugs import get_drug
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.orders.errors import OrderNotVerified
from backend.domain.orders.models import MedicationOrder, OrderOverride, OverrideDrug, OverrideStatus
from backend.domain.organizations.models import Ward
from backend.domain.organizations.wards import get_ward
from backend.domain.stock.ledger import Shelf
from backend.errors import Conflict, NotFound


class OverrideNotFound(NotFound):
    """There is no such override in your organization."""


class OverrideAlreadyReviewed(Conflict):
    """This override has been reviewed; `verdict` says with what result."""


class OverrideDrugNotFound(NotFound):
    """This drug is not on an override list of your organization."""


class OverrideDrugListed(Conflict):
    """This drug is on the ward's override list already."""


_ON_LIST = Prepared(
    "on_override_list",
    """SELECT 1 FROM override_drugs
    WHERE organization_id = :organization_id::uuid AND ward_id = :ward_id::uuid AND drug_id = :drug_id::uuid""",
)


def ensure_overridable(session: Session, shelf: Shelf, reason: str | None) -> None:
    """Raises OrderNotVerified unless there is a reason and the drug is on the ward's override list."""
    where = {"organization_id": shelf.organization_id, "ward_id": shelf.ward_id, "drug_id": shelf.drug_id}
    if not session.run(_ON_LIST, **where):
        raise OrderNotVerified()
    if reason is None:
        raise OrderNotVerified("A pharmacist has not verified this order. Give it with an `override_reason`, or wait.")


def open_review(
    session: Session,
    actor: Actor,
    order_id: UUID,
    administration_id: UUID,
    ward_id: UUID,
    reason: str | None,
    now: datetime,
) -> None:
    """Notes that a dose was given from an unverified order, for a pharmacist to review."""
    session.execute(
        insert(OrderOverride).values(
            organization_id=actor.organization_id,
            id=new_id(),
            order_id=order_id,
            administration_id=administration_id,
            ward_id=ward_id,
            nurse_id=actor.user_id,
            reason=reason,
            created_at=now,
        )
    )


def review(
    session: Session, *, actor: Actor, override_id: UUID, verdict: OverrideStatus, note: str | None, now: datetime
) -> None:
    """A pharmacist says whether the override was appropriate. Raises OverrideNotFound, OverrideAlreadyReviewed."""
    override = OrderOverride
    mine = (override.organization_id == actor.organization_id, override.id == override_id)
    row = session.execute(select(override.status).where(*mine).with_for_update()).one_or_none()
    if row is None:
        raise OverrideNotFound()
    if row.status is not OverrideStatus.PENDING:
        raise OverrideAlreadyReviewed(verdict=row.status)
    session.execute(
        bump(override, status=verdict, reviewed_by_id=actor.user_id, reviewed_at=now, review_note=note).where(*mine)
    )


def _overrides(organization_id: UUID) -> Rows:
    override, order = OrderOverride, MedicationOrder
    return (
        select(
            override.id,
            override.order_id,
            override.administration_id,
            override.ward_id,
            Ward.name.label("ward_name"),
            order.drug_id,
            Drug.name.label("drug_name"),
            override.nurse_id,
            User.name.label("nurse_name"),
            override.reason,
            override.status,
            override.reviewed_at,
            override.review_note,
            override.created_at,
        )
        .join(order, same_hospital(order, by=override.order_id))
        .join(Drug, same_hospital(Drug, by=order.drug_id, of=override))
        .join(Ward, same_hospital(Ward, by=override.ward_id))
        .join(User, same_hospital(User, by=override.nurse_id))
        .where(override.organization_id == organization_id)
    )


def get_override(session: Session, *, organization_id: UUID, override_id: UUID) -> Row[Any]:
    """One override. Raises OverrideNotFound."""
    row = session.execute(_overrides(organization_id).where(OrderOverride.id == override_id)).one_or_none()
    if row is None:
        raise OverrideNotFound()
    return row


def list_overrides(session: Session, *, organization_id: UUID, page: PageRequest, **filters: Any) -> Page:
    """Overrides, newest first. `filters` are values of status, ward_id and nurse_id."""
    override = OrderOverride
    rows = _overrides(organization_id).where(*equal(override, **filters))
    return read_page(session, rows, page, override.created_at, override.id, descending=True)


def list_drug(session: Session, *, organization_id: UUID, ward_id: UUID, drug_id: UUID) -> UUID:
    """Puts a drug on the ward's override list. Raises WardNotFound, DrugNotFound, OverrideDrugListed."""
    get_ward(session, organization_id=organization_id, ward_id=ward_id)
    get_drug(session, organization_id=organization_id, drug_id=drug_id)
    if session.run(_ON_LIST, organization_id=organization_id, ward_id=ward_id, drug_id=drug_id):
        raise OverrideDrugListed()
    entry_id = new_id()
    session.execute(
        insert(OverrideDrug).values(organization_id=organization_id, id=entry_id, ward_id=ward_id, drug_id=drug_id)
    )
    return entry_id


def unlist_drug(session: Session, *, organization_id: UUID, entry_id: UUID) -> None:
    """Takes a drug off an override list. Raises OverrideDrugNotFound."""
    gone = session.execute(
        delete(OverrideDrug)
        .where(OverrideDrug.organization_id == organization_id, OverrideDrug.id == entry_id)
        .returning(OverrideDrug.id)
    )
    if gone.one_or_none() is None:
        raise OverrideDrugNotFound()


def _listed(organization_id: UUID) -> Rows:
    entry = OverrideDrug
    return (
        select(
            entry.id,
            entry.ward_id,
            Ward.name.label("ward_name"),
            entry.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            entry.created_at,
        )
        .join(Drug, same_hospital(Drug, by=entry.drug_id))
        .join(Ward, same_hospital(Ward, by=entry.ward_id))
        .where(entry.organization_id == organization_id)
    )


def get_listed(session: Session, *, organization_id: UUID, entry_id: UUID) -> Row[Any]:
    """One entry of an override list."""
    return session.execute(_listed(organization_id).where(OverrideDrug.id == entry_id)).one()


def list_listed(session: Session, *, organization_id: UUID, ward_id: UUID | None, page: PageRequest) -> Page:
    """The override lists, by the time of entry."""
    entry = OverrideDrug
    rows = _listed(organization_id).where(*equal(entry, ward_id=ward_id))
    return read_page(session, rows, page, entry.created_at, entry.id, descending=True)
