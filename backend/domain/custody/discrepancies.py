"""Discrepancies: opened by a count or a transfer, owned by somebody, resolved once."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select
from sqlalchemy.orm import aliased

from backend.actor import Actor, Role
from backend.db import Rows, Session, bump, change, new_id, read
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.db.typed import rows_as
from backend.domain.custody.blind import hidden_from
from backend.domain.custody.models import Discrepancy, DiscrepancyKind, DiscrepancyStatus, Resolution
from backend.domain.formulary.drugs import get_drug
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.identity.queries import get_user
from backend.domain.identity.witnesses import Witness, admit_witness
from backend.domain.organizations.models import Organization, Ward
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import Lot
from backend.errors import Conflict, NotFound, ValidationFailed

READERS = frozenset({Role.NURSE, Role.PHARMACIST, Role.ADMIN})
RESOLUTIONS = {
    DiscrepancyKind.COUNT: frozenset({Resolution.CORRECTION, Resolution.LOSS, Resolution.MISCOUNT}),
    DiscrepancyKind.TRANSFER: frozenset({Resolution.FOUND, Resolution.RETURNED, Resolution.LOSS}),
}


@dataclass(frozen=True, slots=True)
class DiscrepancyView:
    """Units of a lot that were expected and not found (negative variance), or found and not expected.

    `figures_hidden`: of a count, and its shelf is being counted blind again by a count that you may record. Until that
    ends only the variance is told.
    """

    id: UUID
    kind: DiscrepancyKind
    status: DiscrepancyStatus
    ward_id: UUID
    ward_name: str
    drug_id: UUID
    drug_name: str
    lot_id: UUID
    lot_number: str
    expires_on: date
    expected_units: int | None
    found_units: int | None
    figures_hidden: bool
    variance_units: int
    owner_id: UUID
    owner_name: str
    due_at: datetime
    resolution: Resolution | None
    reason: str | None
    resolved_by: str | None
    witness_name: str | None
    resolved_at: datetime | None
    created_at: datetime


class DiscrepancyNotFound(NotFound):
    """There is no such discrepancy in your organization."""


class DiscrepancyResolved(Conflict):
    """This discrepancy has been resolved; `resolution` says how."""


def open_variance(
    session: Session,
    *,
    shelf: Shelf,
    lot_id: UUID,
    count_line_id: UUID,
    expected_units: int,
    found_units: int,
    sequence: int,
    owner_id: UUID | None,
    now: datetime,
) -> UUID:
    """Open the discrepancy of a counted lot, owned by the person who completed the count.

    `sequence` is the number of the shelf's last movement that `expected_units` knows of.
    """
    source = {"kind": DiscrepancyKind.COUNT, "count_line_id": count_line_id, "sequence": sequence}
    return _open(session, shelf, lot_id, expected_units, found_units, owner_id, now, source)


def open_shortfall(
    session: Session,
    *,
    shelf: Shelf,
    lot_id: UUID,
    transfer_lot_id: UUID,
    expected_units: int,
    found_units: int,
    owner_id: UUID | None,
    now: datetime,
) -> UUID:
    """The discrepancy of a lot that arrived short, owned by who sent it."""
    source = {"kind": DiscrepancyKind.TRANSFER, "transfer_lot_id": transfer_lot_id}
    return _open(session, shelf, lot_id, expected_units, found_units, owner_id, now, source)


def _open(
    session: Session,
    shelf: Shelf,
    lot_id: UUID,
    expected_units: int,
    found_units: int,
    owner_id: UUID | None,
    now: datetime,
    source: dict[str, Any],
) -> UUID:
    hours = session.execute(
        select(Organization.discrepancy_hours).where(Organization.id == shelf.organization_id)
    ).scalar_one()
    discrepancy_id = new_id()
    session.execute(
        insert(Discrepancy).values(
            organization_id=shelf.organization_id,
            id=discrepancy_id,
            ward_id=shelf.ward_id,
            drug_id=shelf.drug_id,
            lot_id=lot_id,
            expected_units=expected_units,
            found_units=found_units,
            owner_id=owner_id,
            due_at=now + timedelta(hours=hours),
            created_at=now,
            **source,
        )
    )
    return discrepancy_id


def find_discrepancy(session: Session, *, organization_id: UUID, discrepancy_id: UUID, lock: bool = False) -> Row[Any]:
    """The discrepancy as its table has it. Raises DiscrepancyNotFound."""
    mine = (Discrepancy.organization_id == organization_id, Discrepancy.id == discrepancy_id)
    rows = select(*Discrepancy.__table__.columns).where(*mine)
    row = session.execute(rows.with_for_update() if lock else rows).one_or_none()
    if row is None:
        raise DiscrepancyNotFound()
    return row


def lock_unresolved(session: Session, *, organization_id: UUID, discrepancy_id: UUID) -> Row[Any]:
    """The discrepancy, locked. Raises DiscrepancyNotFound, DiscrepancyResolved."""
    row = find_discrepancy(session, organization_id=organization_id, discrepancy_id=discrepancy_id, lock=True)
    if row.status is DiscrepancyStatus.RESOLVED:
        raise DiscrepancyResolved(resolution=row.resolution)
    return row


@change(may=frozenset({Role.PHARMACIST}))
def assign(session: Session, *, actor: Actor, discrepancy_id: UUID, owner_id: UUID) -> DiscrepancyView:
    """Give a discrepancy to somebody to review.

    Raises DiscrepancyNotFound, DiscrepancyResolved, UserNotFound, ValidationFailed (who has left).
    """
    organization_id = actor.organization_id
    lock_unresolved(session, organization_id=organization_id, discrepancy_id=discrepancy_id)
    if not get_user(session, organization_id=organization_id, user_id=owner_id).active:
        raise ValidationFailed.of("owner_id", "this user has left")
    _change(session, organization_id, discrepancy_id, owner_id=owner_id, status=DiscrepancyStatus.UNDER_REVIEW)
    return get_discrepancy(session, actor=actor, discrepancy_id=discrepancy_id)


def close(
    session: Session,
    *,
    actor: Actor,
    discrepancy: Row[Any],
    resolution: Resolution,
    reason: str,
    witness: Witness | None,
    now: datetime,
) -> UUID | None:
    """Writes down how a locked discrepancy ended and returns who witnessed it; the caller posts the stock.

    Raises ValidationFailed, WitnessRequired (a controlled drug).
    """
    drug = get_drug(session, organization_id=actor.organization_id, drug_id=discrepancy.drug_id)
    needed = drug.controlled_schedule is not None
    witness_id = admit_witness(session, actor=actor, ward_id=discrepancy.ward_id, witness=witness, needed=needed)
    possible = RESOLUTIONS[discrepancy.kind]
    if resolution not in possible:
        raise ValidationFailed.of("resolution", f"of a {discrepancy.kind}: {', '.join(sorted(possible))}")
    if resolution is Resolution.LOSS and discrepancy.found_units > discrepancy.expected_units:
        raise ValidationFailed.of("resolution", "more was found than expected: nothing is lost")
    _change(
        session,
        discrepancy.organization_id,
        discrepancy.id,
        status=DiscrepancyStatus.RESOLVED,
        resolution=resolution,
        reason=reason,
        resolved_by_id=actor.user_id,
        witness_id=witness_id,
        resolved_at=now,
    )
    return witness_id


def _change(session: Session, organization_id: UUID, discrepancy_id: UUID, **values: Any) -> None:
    session.execute(
        bump(Discrepancy, **values).where(
            Discrepancy.organization_id == organization_id, Discrepancy.id == discrepancy_id
        )
    )


def _discrepancies(organization_id: UUID, hides: Hides) -> Rows:
    """Discrepancies with names; those of a count do not say what the ledger held where the shelf's figures are hidden.

    The variance stays: it tells what was missing, and no balance.
    """
    case, owner, resolver, witness = Discrepancy, aliased(User), aliased(User), aliased(User)

    hidden = (case.kind == DiscrepancyKind.COUNT) & hides(ward=case.ward_id, drug=case.drug_id)

    return (
        select(
            case.id,
            case.kind,
            case.status,
            case.ward_id,
            Ward.name.label("ward_name"),
            case.drug_id,
            Drug.name.label("drug_name"),
            case.lot_id,
            Lot.lot_number,
            Lot.expires_on,
            unless(hidden, case.expected_units).label("expected_units"),
            unless(hidden, case.found_units).label("found_units"),
            hidden.label("figures_hidden"),
            (case.found_units - case.expected_units).label("variance_units"),
            case.owner_id,
            owner.name.label("owner_name"),
            case.due_at,
            case.resolution,
            case.reason,
            resolver.name.label("resolved_by"),
            witness.name.label("witness_name"),
            case.resolved_at,
            case.created_at,
        )
        .join(Ward, same_hospital(Ward, by=case.ward_id))
        .join(Drug, same_hospital(Drug, by=case.drug_id))
        .join(Lot, same_hospital(Lot, by=case.lot_id))
        .join(owner, same_hospital(owner, by=case.owner_id))
        .outerjoin(resolver, same_hospital(resolver, by=case.resolved_by_id))
        .outerjoin(witness, same_hospital(witness, by=case.witness_id))
        .where(case.organization_id == organization_id)
    )


@read(may=READERS)
def get_discrepancy(session: Session, *, actor: Actor, discrepancy_id: UUID) -> DiscrepancyView:
    """Read one discrepancy. Raises DiscrepancyNotFound."""
    rows = _discrepancies(actor.organization_id, hidden_from(actor))
    found = session.execute(rows.where(Discrepancy.id == discrepancy_id)).all()
    if not found:
        raise DiscrepancyNotFound()
    return rows_as(DiscrepancyView, found)[0]


@read(may=READERS)
def list_discrepancies(
    session: Session,
    *,
    actor: Actor,
    page: PageRequest,
    ward_id: UUID | None = None,
    drug_id: UUID | None = None,
    owner_id: UUID | None = None,
    kind: DiscrepancyKind | None = None,
    status: DiscrepancyStatus | None = None,
) -> Page[DiscrepancyView]:
    """List discrepancies, newest first; of a ward, a drug, an owner, a kind or a status where that is said."""
    case = Discrepancy
    wanted = {"ward_id": ward_id, "drug_id": drug_id, "owner_id": owner_id, "kind": kind, "status": status}
    rows = _discrepancies(actor.organization_id, hidden_from(actor)).where(*equal(case, **wanted))
    return read_page(session, rows, page, case.created_at, case.id, descending=True).of(DiscrepancyView)
