"""Scanning at the bedside: what was scanned must be the order's drug, and of the lot that the dose is taken from."""

from collections.abc import Sequence

from sqlalchemy import select

from backend.db import Session
from backend.domain.formulary.models import Drug
from backend.domain.formulary.scanning import Scan, matches_gtin
from backend.domain.orders.errors import ScanContradicts
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import Lot, LotStatus
from backend.domain.stock.picking import LotOnShelf


def ensure_scanned(session: Session, shelf: Shelf, scan: Scan, picks: Sequence[LotOnShelf]) -> None:
    """Raises ScanContradicts unless `scan` is of the shelf's drug and, where it names a lot, of one of `picks`."""
    drug = select(Drug.gtin, Drug.name).where(Drug.organization_id == shelf.organization_id, Drug.id == shelf.drug_id)
    gtin, name = session.execute(drug).one()
    if not matches_gtin(scan.gtin, gtin):
        raise ScanContradicts(f"This is not {name}, which the order asks for.", contradiction="other_drug")
    if scan.lot_number is None or any(_is(scan, pick) for pick in picks):
        return
    first = picks[0]
    raise ScanContradicts(
        f"{_why_not(session, shelf, scan)} Take lot {first.lot_number}, which expires on {first.expires_on}.",
        contradiction="other_lot",
        lot_number=first.lot_number,
        expires_on=first.expires_on,
    )


def _is(scan: Scan, lot: LotOnShelf) -> bool:
    return scan.lot_number == lot.lot_number and scan.expires_on in {None, lot.expires_on}


def _why_not(session: Session, shelf: Shelf, scan: Scan) -> str:
    lot = session.execute(
        select(Lot.status, Lot.expires_on)
        .where(
            Lot.organization_id == shelf.organization_id,
            Lot.drug_id == shelf.drug_id,
            Lot.lot_number == scan.lot_number,
        )
        .order_by(Lot.expires_on)
        .limit(1)
    ).one_or_none()
    if lot is None:
        return f"Lot {scan.lot_number} was never received."
    if lot.status is LotStatus.RECALLED:
        return f"Lot {scan.lot_number} is recalled."
    if lot.status is LotStatus.ON_HOLD:
        return f"Lot {scan.lot_number} is on hold."
    if scan.expires_on not in {None, lot.expires_on}:
        return f"Lot {scan.lot_number} expires on {lot.expires_on}, not on {scan.expires_on}."
    return f"Lot {scan.lot_number} is not what this dose is taken from."
