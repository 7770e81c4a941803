"""Scanned packages."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.formulary.scanning import ScanUnreadable, parse_scan
from backend.domain.stock import scans
from backend.domain.stock.models import LotStatus
from backend.domain.stock.scans import ScanContradictsLot, ScannedDrugAmbiguous, ScannedDrugUnknown
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, ScannedCode

resource = Resource("scans")


class ScanQuery(Body):
    """What the scanner read, separators included (GS as %1D)."""

    scan = ScannedCode(required=True)


class ScanOut(Body):
    """What the package is; `lot_id` where the lot is known here, null where it would be new."""

    gtin = fields.String()
    serial = fields.String(allow_none=True)
    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    lot_number = fields.String(allow_none=True)
    expires_on = fields.Date(allow_none=True)
    lot_id = fields.UUID(allow_none=True)
    lot_status = fields.Enum(LotStatus, by_value=True, allow_none=True)


@resource.get(
    "/scans",
    "What a scanned package is",
    query=ScanQuery(),
    answer=ScanOut(),
    roles=frozenset({Role.NURSE, Role.PHARMACIST}),
    raises=(ScanUnreadable, ScannedDrugUnknown, ScannedDrugAmbiguous, ScanContradictsLot),
)
def identify(session: Session, call: Call) -> Any:
    """Drug, lot and expiry of a GS1 code. What was not in the code is null, never a guess."""
    scan = parse_scan(call.query["scan"])
    return scans.identify(session, organization_id=call.organization_id, scan=scan)
