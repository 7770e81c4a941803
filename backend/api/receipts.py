"""Receipts: a lot, a delivery of many, a delivery as CSV."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.actor import Role
from backend.api.delivery_csv import in_file, read_delivery
from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Database, Session
from backend.domain.custody.blind import shown
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.formulary.scanning import ScanUnreadable, parse_scan
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock import receipts
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.receipts import LINES_MAX, Delivered, LotNotAvailable
from backend.domain.stock.scans import ScanContradictsLot, ensure_scan_agrees
from backend.errors import DomainError
from backend.web.endpoint import Call, Resource, shelf_of_body
from backend.web.fields import Body, Count, Day, Id, Line, ScannedCode, Several, Whole
from backend.web.tables import CSV

resource = Resource("receipts")
PHARMACIST = frozenset({Role.PHARMACIST})
FILE_NAMES_NOBODY = (
    "A controlled drug needs a second member of staff of the ward, whom no file names: send `POST /stock/deliveries`."
)


class ReceiptIn(Body):
    """A delivered lot; `scan` is what the package's code says, and must agree.

    A controlled drug is received before a witness where the hospital asks for one (`custody_witness_required`).
    """

    ward_id = Id(required=True)
    drug_id = Id(required=True)
    lot_number = Line(required=True, length=64)
    expires_on = Day(required=True)
    quantity_units = Count(required=True)
    scan = ScannedCode()
    witness = fields.Nested(WitnessIn)


class ReceiptOut(Body):
    """Show the receipt; `on_hand_units` is what the shelf holds now, null while you may be counting it blind."""

    id = fields.UUID()
    ward_id = fields.UUID()
    drug_id = fields.UUID()
    drug_name = fields.String()
    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    quantity_units = fields.Integer()
    on_hand_units = fields.Integer(allow_none=True)
    received_at = fields.AwareDateTime()


class DeliveredIn(Body):
    """One line of a delivery."""

    drug_id = Id(required=True)
    lot_number = Line(required=True, length=64)
    expires_on = Day(required=True)
    quantity_units = Count(required=True)


class DeliveredFileIn(Body):
    """List what arrived at a ward, as a file says it."""

    ward_id = Id(required=True)
    lines = Several(fields.Nested(DeliveredIn), most=LINES_MAX, least=1, required=True)


class DeliveryIn(DeliveredFileIn):
    """Record a delivery; before a witness where a drug of it is controlled and the hospital asks for one."""

    witness = fields.Nested(WitnessIn)


class DeliveryOut(Body):
    """What was received of every line, in their order."""

    receipts = Whole(fields.Nested(ReceiptOut), because="one for each line of the request")


@resource.post(
    "/stock/receipts",
    "Receive a lot",
    body=ReceiptIn(),
    answer=ReceiptOut(),
    status=201,
    roles=PHARMACIST,
    shelves=shelf_of_body,
    prepare=check_witness,
    raises=(WardNotFound, DrugNotFound, LotNotAvailable, ScanUnreadable, ScanContradictsLot, *REFUSALS),
)
def receive(session: Session, call: Call) -> Any:
    """Adds units of a new or known lot to a ward's stock."""
    lot = {name: call.body[name] for name in ("lot_number", "expires_on")}
    if "scan" in call.body:
        scan, drug_id = parse_scan(call.body["scan"]), call.body["drug_id"]
        ensure_scan_agrees(session, organization_id=call.organization_id, scan=scan, drug_id=drug_id, **lot)
    units = call.body["quantity_units"]
    done = receipts.receive(
        session,
        actor=call.actor,
        shelf=call.shelf,
        quantity_units=units,
        witness=call.prepared,
        now=session.now,
        **lot,
    )
    return shown(session, call.actor, [done])[0]


def _shelves(_database: Database, call: Call) -> Sequence[Shelf]:
    ward_id: UUID = call.body["ward_id"]
    return [Shelf(call.organization_id, ward_id, line["drug_id"]) for line in call.body["lines"]]


def _receive_lines(session: Session, call: Call) -> Any:
    lines = [Delivered(**line) for line in call.body["lines"]]
    ward_id = call.body["ward_id"]
    received = receipts.receive_delivery(
        session, actor=call.actor, ward_id=ward_id, lines=lines, witness=call.prepared, now=session.now
    )
    return {"receipts": shown(session, call.actor, received)}


@resource.post(
    "/stock/deliveries",
    "Receive a delivery",
    body=DeliveryIn(),
    answer=DeliveryOut(),
    status=201,
    roles=PHARMACIST,
    shelves=_shelves,
    prepare=check_witness,
    raises=(WardNotFound, DrugNotFound, LotNotAvailable, *REFUSALS),
)
def receive_delivery(session: Session, call: Call) -> Any:
    """Adds every line to the ward's stock, or none."""
    return _receive_lines(session, call)


@resource.post(
    "/wards/<uuid:ward_id>/deliveries",
    "Receive a delivery as CSV",
    body=DeliveredFileIn(),
    reads=read_delivery,
    media=CSV,
    answer=DeliveryOut(),
    status=201,
    roles=PHARMACIST,
    shelves=_shelves,
    raises=(WardNotFound, DrugNotFound, LotNotAvailable, WitnessRequired),
)
def receive_csv(session: Session, call: Call) -> Any:
    """Columns `drug_id`, `lot_number`, `expires_on` and `quantity_units`, named in the first line, UTF-8.

    Every line or none; an error names its line in the file. A file names no witness: where the hospital asks for one,
    controlled drugs are received by `POST /stock/deliveries`.
    """
    try:
        return _receive_lines(session, call)
    except WitnessRequired:
        raise WitnessRequired(FILE_NAMES_NOBODY) from None
    except DomainError as refusal:
        raise in_file(refusal, call.body.get("numbers", range(LINES_MAX))) from None
