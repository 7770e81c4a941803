"""Reads of counts. Until a session is completed, no answer tells what a blind line expects: a cancelled one neither, or
somebody could start it, cancel it, and count what it said. While a shelf is counted blind once more, those who count
see nothing of what earlier sessions expected and found there."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, false, func, or_, select
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.custody.errors import CountNotFound
from backend.domain.custody.models import CountStatus, StockCount, StockCountLine
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.organizations.models import Ward
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.models import Lot, StockLot

LINES_SHOWN = 1_000  # of a session, beside its own facts; list_lines has all of them
LINE_ORDER = (Drug.name_key, StockCountLine.drug_id, Lot.expires_on, StockCountLine.lot_id)


class LineState(StrEnum):
    """Which lines of a session: those without a figure, or those where the figure is not what the ledger held."""

    UNCOUNTED = "uncounted"
    DIFFERING = "differing"


def _counts(organization_id: UUID) -> Rows:
    count, line, opener, ender = StockCount, StockCountLine, User, aliased(User)
    of_count = same_hospital(count, by=line.count_id)
    lines = select(func.count()).select_from(line).where(of_count).scalar_subquery()
    counted = select(func.count(line.counted_at)).where(of_count).scalar_subquery()
    return (
        select(
            count.id,
            count.ward_id,
            Ward.name.label("ward_name"),
            count.status,
            opener.name.label("opened_by"),
            count.created_at.label("opened_at"),
            ender.name.label("ended_by"),
            count.ended_at,
            lines.label("line_count"),
            counted.label("counted_count"),
        )
        .join(Ward, same_hospital(Ward, by=count.ward_id))
        .join(opener, same_hospital(opener, by=count.opened_by_id))
        .outerjoin(ender, same_hospital(ender, by=count.ended_by_id))
        .where(count.organization_id == organization_id)
    )


def _lines(organization_id: UUID, count: Row[Any], hides: Hides) -> Rows:
    line, held = StockCountLine, StockLot
    hidden = _hidden(count, hides)
    found_hidden = false() if count.status is CountStatus.OPEN else hides(ward=count.ward_id, drug=line.drug_id)
    expected = func.coalesce(line.expected_units, held.quantity_units, 0)
    return (
        select(
            line.drug_id,
            Drug.name.label("drug_name"),
            Drug.strength,
            Drug.unit,
            line.lot_id,
            Lot.lot_number,
            Lot.expires_on,
            line.blind,
            unless(found_hidden, line.counted_units).label("counted_units"),
            User.name.label("counted_by"),
            line.counted_at,
            unless(hidden, expected).label("expected_units"),
            unless(hidden, line.counted_units - line.expected_units).label("variance_units"),
            hidden.label("figures_hidden"),
        )
        .join(Drug, same_hospital(Drug, by=line.drug_id))
        .join(Lot, same_hospital(Lot, by=line.lot_id))
        .outerjoin(User, same_hospital(User, by=line.counted_by_id))
        .outerjoin(
            held,
            (held.organization_id == line.organization_id)
            & (held.ward_id == count.ward_id)
            & (held.drug_id == line.drug_id)
            & (held.lot_id == line.lot_id),
        )
        .where(line.organization_id == organization_id, line.count_id == count.id)
    )


def _hidden(count: Row[Any], hides: Hides) -> ColumnElement[bool]:
    """The condition that what a line expects is told to nobody, or not to whoever asks."""
    counted_again = hides(ward=count.ward_id, drug=StockCountLine.drug_id)
    return counted_again if count.status is CountStatus.COMPLETED else or_(StockCountLine.blind, counted_again)


def _differing(count: Row[Any], hides: Hides) -> ColumnElement[bool]:
    """The condition that a line differs and that whoever asks may know it."""
    return ~_hidden(count, hides) & (StockCountLine.counted_units != StockCountLine.expected_units)


def _count(session: Session, organization_id: UUID, count_id: UUID) -> Row[Any]:
    """The session without its lines. Raises CountNotFound."""
    count = session.execute(_counts(organization_id).where(StockCount.id == count_id)).one_or_none()
    if count is None:
        raise CountNotFound()
    return count


def get_count(session: Session, *, organization_id: UUID, count_id: UUID, hides: Hides) -> dict[str, Any]:
    """Read one session with the first LINES_SHOWN of its lines, and the key after which list_lines goes on.

    `lines` is a Page; `differing_count` counts the lines that list_lines lists as differing. Raises CountNotFound.
    """
    count, line = _count(session, organization_id, count_id), StockCountLine
    lines = read_page(session, _lines(organization_id, count, hides), PageRequest(LINES_SHOWN), *LINE_ORDER)
    of_count = (line.organization_id == organization_id, line.count_id == count_id)
    differing = select(func.count()).select_from(line).where(*of_count, _differing(count, hides))
    return {**count._asdict(), "lines": lines, "differing_count": session.execute(differing).scalar_one()}


def list_lines(
    session: Session, *, organization_id: UUID, count_id: UUID, state: LineState | None, hides: Hides, page: PageRequest
) -> Page:
    """Lines of a session by drug and expiry: all of them, or those in a state. Raises CountNotFound.

    A line whose figures are hidden from whoever asks is in no answer as differing.
    """
    count = _count(session, organization_id, count_id)
    rows = _lines(organization_id, count, hides)
    if state is LineState.UNCOUNTED:
        rows = rows.where(StockCountLine.counted_at.is_(None))
    if state is LineState.DIFFERING:
        rows = rows.where(_differing(count, hides))
    return read_page(session, rows, page, *LINE_ORDER)


def list_counts(
    session: Session, *, organization_id: UUID, ward_id: UUID | None, status: CountStatus | None, page: PageRequest
) -> Page:
    """Sessions without their lines, newest first."""
    count = StockCount
    rows = _counts(organization_id).where(*equal(count, ward_id=ward_id, status=status))
    return read_page(session, rows, page, count.created_at, count.id, descending=True)
