"""Counts: a session lists a ward's lots, somebody counts them, and what differs becomes a discrepancy.

A line is compared with the ledger at the moment of counting (expectation.py), so a dose given between counting and
typing is no variance. A count writes no stock; the resolution of its discrepancies does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select

from backend.actor import Actor
from backend.db import Session, bump, new_id
from backend.db.filters import same_hospital
from backend.domain.custody import expectation
from backend.domain.custody.discrepancies import open_variance
from backend.domain.custody.errors import CountEnded, CountIncomplete, CountNotFound, CountOpen
from backend.domain.custody.models import CountStatus, StockCount, StockCountLine
from backend.domain.formulary.models import Drug
from backend.domain.identity.membership import ensure_of_ward
from backend.domain.organizations.wards import get_ward, touch_ward
from backend.domain.stock import ledger
from backend.domain.stock.adjustments import LotNotFound
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import Lot, StockLot
from backend.errors import ValidationFailed

UNCOUNTED_NAMED = 1_000  # in a refusal; the lines of the session have all of them
CLOCK_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Counted:
    """What somebody found of a lot, and when they looked, if that was not just now."""

    lot_id: UUID
    counted_units: int
    counted_at: datetime | None = None


def open_count(
    session: Session, *, actor: Actor, ward_id: UUID, drug_ids: Sequence[UUID] | None, controlled: bool, now: datetime
) -> UUID:
    """A session over the ward's lots: of `drug_ids`, or only of controlled drugs, or of all.

    However many they are, each gets its line. Raises WardNotFound, NotOnThisWard, CountOpen, ValidationFailed (nothing
    to count).
    """
    organization_id = actor.organization_id
    get_ward(session, organization_id=organization_id, ward_id=ward_id)
    ensure_of_ward(session, actor, ward_id)
    standing = select(StockCount.id).where(
        StockCount.organization_id == organization_id,
        StockCount.ward_id == ward_id,
        StockCount.status == CountStatus.OPEN,
    )
    open_id = session.execute(standing).scalar_one_or_none()
    if open_id is not None:
        raise CountOpen(count_id=open_id)
    lots = _lots_to_count(session, organization_id, ward_id, drug_ids, controlled)
    if not lots:
        raise ValidationFailed.of("ward_id", "there is nothing to count")
    count_id = new_id()
    session.execute(
        insert(StockCount).values(
            organization_id=organization_id, id=count_id, ward_id=ward_id, opened_by_id=actor.user_id, created_at=now
        )
    )
    _add_lines(session, organization_id, count_id, lots)
    touch_ward(session, organization_id=organization_id, ward_id=ward_id)  # its board hides what is counted blind
    return count_id


def shelves_of(session: Session, *, organization_id: UUID, count_id: UUID, lot_ids: Sequence[UUID]) -> list[Shelf]:
    """The shelves of the session's ward on which the lots lie: whose lanes a record takes. Raises CountNotFound."""
    ward_id = session.execute(
        select(StockCount.ward_id).where(StockCount.organization_id == organization_id, StockCount.id == count_id)
    ).scalar_one_or_none()
    if ward_id is None:
        raise CountNotFound()
    drugs = session.execute(
        select(Lot.drug_id).where(Lot.organization_id == organization_id, Lot.id.in_(lot_ids)).distinct()
    )
    return [Shelf(organization_id, ward_id, drug_id) for (drug_id,) in drugs]


def record(session: Session, *, actor: Actor, count_id: UUID, lines: Sequence[Counted], now: datetime) -> None:
    """Writes down what was found of some lots; the caller has taken the lanes of their shelves.

    A lot counted again replaces the first figure; a lot that the session does not list is added. Raises CountNotFound,
    NotOnThisWard, CountEnded, LotNotFound, ValidationFailed (a lot twice, or counted in the future or before the
    session).
    """
    count = _lock(session, actor, count_id)
    _change(session, actor, count_id)  # who ends the session with a snapshot from before these lines runs again
    if len({line.lot_id for line in lines}) < len(lines):
        raise ValidationFailed.of("lines", "a lot is listed twice")
    drugs = _drugs_of(session, actor.organization_id, [line.lot_id for line in lines])
    for number, line in enumerate(lines):
        if not count.created_at <= (line.counted_at or now) <= now + CLOCK_SKEW:
            raise ValidationFailed.of(f"lines/{number}/counted_at", "between the start of the session and now")
    for line in sorted(lines, key=lambda line: drugs[line.lot_id]):
        counted_at = min(line.counted_at or now, now)  # a clock that is ahead does not count the future
        _record_line(session, actor, count, drugs[line.lot_id], line, counted_at)


def complete(session: Session, *, actor: Actor, count_id: UUID, now: datetime) -> None:
    """End the session; every difference becomes a discrepancy.

    What a line expects is looked at again: a dose that was under way when the lot was counted may have been recorded
    since. Raises CountNotFound, NotOnThisWard, CountEnded, CountIncomplete.
    """
    count = _lock(session, actor, count_id)
    lines = expectation.brought_up_to_date(session, count=count)
    uncounted = [str(row.lot_id) for row in lines if row.counted_units is None]
    if uncounted:
        raise CountIncomplete(uncounted_count=len(uncounted), uncounted_lot_ids=uncounted[:UNCOUNTED_NAMED])
    for row in lines:
        if row.counted_units != row.expected_units:
            open_variance(
                session,
                shelf=Shelf(actor.organization_id, count.ward_id, row.drug_id),
                lot_id=row.lot_id,
                count_line_id=row.id,
                expected_units=row.expected_units,
                found_units=row.counted_units,
                sequence=row.shelf_sequence,
                owner_id=actor.user_id,
                now=now,
            )
    _end(session, actor, count, CountStatus.COMPLETED, now)


def cancel(session: Session, *, actor: Actor, count_id: UUID, now: datetime) -> None:
    """Gives a session up; nothing was changed by it. Raises CountNotFound, NotOnThisWard, CountEnded."""
    count = _lock(session, actor, count_id)
    _end(session, actor, count, CountStatus.CANCELLED, now)


def _lots_to_count(
    session: Session, organization_id: UUID, ward_id: UUID, drug_ids: Sequence[UUID] | None, controlled: bool
) -> Sequence[Row[Any]]:
    rows = (
        select(StockLot.lot_id, StockLot.drug_id, Drug.controlled_schedule.is_not(None).label("blind"))
        .join(Drug, same_hospital(Drug, by=StockLot.drug_id))
        .where(
            StockLot.organization_id == organization_id,
            StockLot.ward_id == ward_id,
            StockLot.quantity_units > 0,
        )
        .order_by(StockLot.drug_id, StockLot.lot_id)
    )
    if drug_ids is not None:
        rows = rows.where(StockLot.drug_id.in_(drug_ids))
    if controlled:
        rows = rows.where(Drug.controlled_schedule.is_not(None))
    return session.execute(rows).all()


def _add_lines(session: Session, organization_id: UUID, count_id: UUID, lots: Sequence[Any]) -> None:
    session.execute(
        insert(StockCountLine),
        [
            {
                "organization_id": organization_id,
                "id": new_id(),
                "count_id": count_id,
                "drug_id": lot.drug_id,
                "lot_id": lot.lot_id,
                "blind": lot.blind,
            }
            for lot in lots
        ],
    )


def _lock(session: Session, actor: Actor, count_id: UUID) -> Row[Any]:
    """The open session, locked: those who record and who ends it go one after another."""
    row = session.execute(
        select(StockCount.organization_id, StockCount.id, StockCount.ward_id, StockCount.status, StockCount.created_at)
        .where(StockCount.organization_id == actor.organization_id, StockCount.id == count_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise CountNotFound()
    ensure_of_ward(session, actor, row.ward_id)
    if row.status is not CountStatus.OPEN:
        raise CountEnded(count_status=row.status)
    return row


def _drugs_of(session: Session, organization_id: UUID, lot_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The drug of each lot. Raises LotNotFound."""
    wanted = select(Lot.id, Lot.drug_id).where(Lot.organization_id == organization_id, Lot.id.in_(lot_ids))
    drugs = {row.id: row.drug_id for row in session.execute(wanted)}
    if len(drugs) < len(lot_ids):
        raise LotNotFound()
    return drugs


def _record_line(
    session: Session, actor: Actor, count: Row[Any], drug_id: UUID, line: Counted, counted_at: datetime
) -> None:
    shelf = Shelf(actor.organization_id, count.ward_id, drug_id)
    level = ledger.lock_shelf(session, shelf)  # and raises the version on which the ward's board hangs
    counted = {
        "expected_units": expectation.held_at(session, shelf, line.lot_id, counted_at),
        "sequence": level.sequence,
        "counted_units": line.counted_units,
        "counted_by_id": actor.user_id,
        "counted_at": counted_at,
    }
    mine = (
        StockCountLine.organization_id == actor.organization_id,
        StockCountLine.count_id == count.id,
        StockCountLine.lot_id == line.lot_id,
    )
    known = session.execute(bump(StockCountLine, **counted).where(*mine).returning(StockCountLine.id))
    if known.one_or_none() is None:
        scheduled = select(Drug.controlled_schedule.is_not(None)).where(
            Drug.organization_id == actor.organization_id, Drug.id == drug_id
        )
        session.execute(
            insert(StockCountLine).values(
                organization_id=actor.organization_id,
                id=new_id(),
                count_id=count.id,
                drug_id=drug_id,
                lot_id=line.lot_id,
                blind=session.execute(scheduled).scalar_one(),
                **counted,
            )
        )


def _end(session: Session, actor: Actor, count: Row[Any], status: CountStatus, now: datetime) -> None:
    _change(session, actor, count.id, status=status, ended_by_id=actor.user_id, ended_at=now)
    touch_ward(session, organization_id=actor.organization_id, ward_id=count.ward_id)


def _change(session: Session, actor: Actor, count_id: UUID, **values: Any) -> None:
    session.execute(
        bump(StockCount, **values).where(StockCount.organization_id == actor.organization_id, StockCount.id == count_id)
    )
