"""Scans of packages: which drug and lot they are, and whether they agree with what somebody entered."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import select

from backend.db import Session
from backend.domain.formulary.models import Drug
from backend.domain.formulary.scanning import Scan, matches_gtin
from backend.domain.stock.models import Lot, LotStatus
from backend.errors import Conflict, NotFound


class ScannedDrugUnknown(NotFound):
    """No drug of your formulary has the scanned GTIN; `gtin` is what was read."""


class ScannedDrugAmbiguous(Conflict):
    """Several drugs of your formulary have the scanned GTIN; `gtin` is what was read, `drug_names` are theirs. Correct
    the codes of all but one."""


class ScanContradictsLot(Conflict):
    """What was scanned is not the lot that was named; `detail` says how they differ."""


@dataclass(frozen=True, slots=True)
class ScannedLot:
    """What a scan names: the drug, and the lot where it is known here (`lot_id`, `lot_status`)."""

    gtin: str
    serial: str | None
    drug_id: UUID
    drug_name: str
    strength: str
    lot_number: str | None
    expires_on: date | None
    lot_id: UUID | None
    lot_status: LotStatus | None


def identify(session: Session, *, organization_id: UUID, scan: Scan) -> ScannedLot:
    """The drug and lot of a scan. Raises ScannedDrugUnknown, ScannedDrugAmbiguous, ScanContradictsLot (a known lot with
    another expiry)."""
    forms = {scan.gtin.removeprefix("0" * zeros) for zeros in (0, 1, 2, 6) if scan.gtin.startswith("0" * zeros)}
    drugs = session.execute(
        select(Drug.id, Drug.name, Drug.strength)
        .where(Drug.organization_id == organization_id, Drug.archived_at.is_(None), Drug.gtin.in_(forms))
        .order_by(Drug.id)
    ).all()
    if not drugs:
        raise ScannedDrugUnknown(gtin=scan.gtin)
    if len(drugs) > 1:
        names = [f"{found.name} {found.strength}" for found in drugs]
        detail = f"More than one drug has the GTIN {scan.gtin}: {', '.join(names)}."
        raise ScannedDrugAmbiguous(detail, gtin=scan.gtin, drug_names=names)
    drug = drugs[0]
    lot_id, status, expires_on = _known(session, organization_id, drug.id, scan)
    return ScannedLot(
        *(scan.gtin, scan.serial, drug.id, drug.name, drug.strength, scan.lot_number, expires_on, lot_id, status)
    )


def _known(
    session: Session, organization_id: UUID, drug_id: UUID, scan: Scan
) -> tuple[UUID | None, LotStatus | None, date | None]:
    """The lot's id, status and expiry where exactly one lot is meant; an element that was not scanned stays absent."""
    if scan.lot_number is None:
        return None, None, scan.expires_on
    lots = session.execute(
        select(Lot.id, Lot.status, Lot.expires_on).where(
            Lot.organization_id == organization_id, Lot.drug_id == drug_id, Lot.lot_number == scan.lot_number
        )
    ).all()
    meant = [lot for lot in lots if scan.expires_on in {None, lot.expires_on}]
    if lots and not meant:
        known = ", ".join(sorted(lot.expires_on.isoformat() for lot in lots))
        raise ScanContradictsLot(f"Lot {scan.lot_number} is known to expire on {known}, not on {scan.expires_on}.")
    if len(meant) != 1:
        return None, None, scan.expires_on
    return meant[0].id, meant[0].status, meant[0].expires_on


def ensure_scan_agrees(
    session: Session, *, organization_id: UUID, scan: Scan, drug_id: UUID, lot_number: str, expires_on: date
) -> None:
    """Raises ScanContradictsLot unless `scan` is of this drug and, where it names them, of this lot and expiry; an
    unknown drug is left to the use case."""
    drug = session.execute(
        select(Drug.gtin, Drug.name).where(Drug.organization_id == organization_id, Drug.id == drug_id)
    ).one_or_none()
    if drug is None:
        return
    if not matches_gtin(scan.gtin, drug.gtin):
        raise ScanContradictsLot(f"The scanned package is not {drug.name}.")
    if scan.lot_number not in {None, lot_number}:
        raise ScanContradictsLot(f"The scanned package is of lot {scan.lot_number}, not of {lot_number}.")
    if scan.expires_on not in {None, expires_on}:
        raise ScanContradictsLot(f"The scanned package expires on {scan.expires_on}, not on {expires_on}.")


def ensure_scan_of_lot(session: Session, *, organization_id: UUID, scan: Scan, lot_id: UUID) -> None:
    """Raises ScanContradictsLot unless `scan` is of the lot; an unknown lot is left to the use case."""
    lot = session.execute(
        select(Lot.drug_id, Lot.lot_number, Lot.expires_on).where(
            Lot.organization_id == organization_id, Lot.id == lot_id
        )
    ).one_or_none()
    if lot is not None:
        ensure_scan_agrees(session, organization_id=organization_id, scan=scan, **lot._asdict())
