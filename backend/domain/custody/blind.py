"""Blind counts: while one is open, those who may record it see none of the figures of the shelves that it counts.

A shelf is counted blind while an open session has a blind line of its drug. The figures are what the shelf and its lots
hold, what of it may be given, the balance after a movement and the units of the movement, and what an earlier count
expected and found. They are NULL in answers, and pages show a dash in their place.

Decision: hidden from everybody who may record the session: the nurses of the ward, and every pharmacist. Because
somebody who counts next may read the figure before. There is no way to look all the same: whoever needs the figures
completes or cancels the session, which the audit trail shows. Doctors, admins and nurses of other wards record nothing
there and see the figures. Cost: pharmacists work without them until the session ends.

Decision: work goes on. Doses are given and name their lots, stock is moved, alerts stand, and a refusal for want of
stock still says that the shelf holds less than was asked for. Because a patient does not wait for a count. Cost:
somebody who tries to move more and more learns a bound, and leaves a trail of movements. And a request that was
answered before the session began is answered the same when it is repeated with its key.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, exists, false, select
from sqlalchemy.orm import aliased

from backend.actor import Actor, Role
from backend.db import Session
from backend.domain.custody.models import CountStatus, StockCount, StockCountLine
from backend.domain.identity.models import WardMembership
from backend.domain.stock.adjustments import Adjustment
from backend.domain.stock.hiding import Hides
from backend.domain.stock.ledger import Shelf, StockWouldBeNegative
from backend.domain.stock.models import StockLevel
from backend.domain.stock.picking import InsufficientStock
from backend.domain.stock.receipts import Receipt
from backend.errors import Conflict


class ShelfCountedBlind(Conflict):
    """This shelf is being counted blind, and an alert at another reorder point would tell you what it holds. Complete
    or cancel the count first."""


Changed = TypeVar("Changed", Adjustment, Receipt)
COUNTERS = frozenset({Role.NURSE, Role.PHARMACIST})  # who may record a session, a nurse on her wards only
# For prepared statements of people who may record the session of the ward.
_BLIND_LINES = """stock_counts bs
    JOIN stock_count_lines bl ON bl.organization_id = :organization_id::uuid AND bl.count_id = bs.id AND bl.blind
    WHERE bs.organization_id = :organization_id AND bs.status = 'open' AND bs.ward_id = """


def counted_blind(ward: str, drug: str) -> str:
    """Return the SQL condition that the shelf of `drug` on `ward`, SQL expressions both, is being counted blind."""
    return f"EXISTS (SELECT FROM {_BLIND_LINES}{ward} AND bl.drug_id = {drug})"


def drugs_counted_blind(ward: str) -> str:
    """Return the SQL array of the drugs that are being counted blind on `ward`: read once for the whole of a board."""
    return f"ARRAY(SELECT bl.drug_id FROM {_BLIND_LINES}{ward})"  # noqa: S608 - constants


def hidden_from(actor: Actor) -> Hides:
    """Return the conditions under which the figures of shelves are hidden from `actor`."""

    def hides(*, ward: Any = None, drug: Any = None) -> ColumnElement[bool]:
        if actor.role not in COUNTERS:
            return false()
        count, line, member = aliased(StockCount), aliased(StockCountLine), aliased(WardMembership)
        wanted = [
            count.organization_id == actor.organization_id,
            count.status == CountStatus.OPEN,
            line.organization_id == actor.organization_id,
            line.count_id == count.id,
            line.blind,
        ]
        if ward is not None:
            wanted.append(count.ward_id == ward)
        if drug is not None:
            wanted.append(line.drug_id == drug)
        if actor.role is Role.NURSE:
            mine = and_(member.organization_id == actor.organization_id, member.user_id == actor.user_id)
            wanted.append(count.ward_id.in_(select(member.ward_id).where(mine)))
        return exists().where(*wanted).correlate_except(count, line)

    return hides


def hidden_shelves(session: Session, actor: Actor, shelves: Collection[Shelf]) -> frozenset[Shelf]:
    """Find those of `shelves` whose figures are hidden from `actor`, in one statement."""
    if actor.role not in COUNTERS or not shelves:
        return frozenset()
    level = StockLevel
    found = session.execute(
        select(level.ward_id, level.drug_id).where(
            level.organization_id == actor.organization_id,
            level.ward_id.in_({shelf.ward_id for shelf in shelves}),
            level.drug_id.in_({shelf.drug_id for shelf in shelves}),
            hidden_from(actor)(ward=level.ward_id, drug=level.drug_id),
        )
    )
    return frozenset(shelves) & {Shelf(actor.organization_id, ward_id, drug_id) for ward_id, drug_id in found}


def shown(session: Session, actor: Actor, changes: Sequence[Changed]) -> list[Changed]:
    """Return `changes` of shelves as `actor` may see them: without `on_hand_units` where that is hidden."""
    shelves = {(change.ward_id, change.drug_id) for change in changes}
    hidden = hidden_shelves(session, actor, [Shelf(actor.organization_id, *shelf) for shelf in shelves])
    places = {(shelf.ward_id, shelf.drug_id) for shelf in hidden}
    return [
        replace(change, on_hand_units=None) if (change.ward_id, change.drug_id) in places else change
        for change in changes
    ]


def ensure_not_hidden(session: Session, actor: Actor, shelf: Shelf) -> None:
    """Raise ShelfCountedBlind where the figures of `shelf` are hidden from `actor`."""
    if hidden_shelves(session, actor, [shelf]):
        raise ShelfCountedBlind()


def hide_available_units(refusal: InsufficientStock | StockWouldBeNegative) -> None:
    """Change `refusal` so that it says only that the shelf holds less than was asked for."""
    refusal.members["available_units"] = None
    refusal.detail = "The shelf holds less than that. What it holds is hidden while it is being counted."
    refusal.args = (refusal.detail,)


@contextmanager
def refusing_blindly(session: Session, actor: Actor, shelves: Collection[Shelf]) -> Iterator[None]:
    """Hide what a shelf holds in a refusal that is raised inside, where it is hidden from `actor`.

    `shelves` are those of the request; a refusal that names a `drug_id` is about the shelf of that drug.
    """
    try:
        yield
    except (InsufficientStock, StockWouldBeNegative) as refusal:
        named = refusal.members.get("drug_id")
        about = [shelf for shelf in shelves if named in {None, str(shelf.drug_id)}]
        if hidden_shelves(session, actor, about):
            hide_available_units(refusal)
        raise
