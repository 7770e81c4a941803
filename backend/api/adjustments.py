"""Adjustments of stock, and movements undone."""

from collections.abc import Sequence
from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.api.stock import MovementOut
from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Database, Session
from backend.domain.custody.blind import shown
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock import adjustments, movement_queries
from backend.domain.stock.adjustments import (
    AdjustmentReason,
    LotNotFound,
    LotRecalled,
    MovementAlreadyCorrected,
    MovementNotCorrectable,
    MovementNotFound,
)
from backend.domain.stock.ledger import Shelf, StockWouldBeNegative
from backend.domain.stock.models import MovementReason
from backend.domain.stock.picking import InsufficientStock
from backend.web.endpoint import Call, Resource, read, shelf_of_body
from backend.web.fields import Body, Change, Choice, Id, Line, Whole

resource = Resource("adjustments")
PHARMACIST = frozenset({Role.PHARMACIST})


class AdjustmentIn(Body):
    """Signed units: negative ones leave, of `lot_id` or else of the first to expire, expired ones included."""

    ward_id = Id(required=True)
    drug_id = Id(required=True)
    quantity_units = Change(required=True)
    reason = Choice(AdjustmentReason, required=True)
    lot_id = Id()
    note = Line(length=500, allow_none=True, load_default=None)
    witness = fields.Nested(WitnessIn)


class AdjustedLotOut(Body):
    """Signed units of one lot."""

    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    quantity_units = fields.Integer()


class AdjustmentOut(Body):
    """Show the change; `on_hand_units` is what the shelf holds now, null while you may be counting it blind."""

    id = fields.UUID()
    ward_id = fields.UUID()
    drug_id = fields.UUID()
    drug_name = fields.String()
    reason = fields.Enum(MovementReason, by_value=True)
    quantity_units = fields.Integer()
    lots = Whole(fields.Nested(AdjustedLotOut), because="the lots that one adjustment took")
    on_hand_units = fields.Integer(allow_none=True)
    note = fields.String(allow_none=True)
    adjusted_by = fields.String()
    adjusted_at = fields.AwareDateTime()


class CorrectionIn(Body):
    """What was wrong."""

    reason = Line(required=True, length=500)
    witness = fields.Nested(WitnessIn)


@resource.post(
    "/stock/adjustments",
    "Adjust stock",
    body=AdjustmentIn(),
    answer=AdjustmentOut(),
    status=201,
    roles=PHARMACIST,
    shelves=shelf_of_body,
    prepare=check_witness,
    raises=(
        WardNotFound,
        DrugNotFound,
        LotNotFound,
        LotRecalled,
        InsufficientStock,
        StockWouldBeNegative,
        *REFUSALS,
    ),
)
def adjust(session: Session, call: Call) -> Any:
    """Waste, loss, correction or return, outside a dose; before a witness where the drug is controlled."""
    done = adjustments.adjust(
        session,
        actor=call.actor,
        shelf=call.shelf,
        units=call.body["quantity_units"],
        reason=MovementReason(call.body["reason"]),
        lot_id=call.body.get("lot_id"),
        note=call.body["note"],
        witness=call.prepared,
        now=session.now,
    )
    return shown(session, call.actor, [done])[0]


def _shelves(database: Database, call: Call) -> Sequence[Shelf]:
    def look(session: Session) -> Shelf:
        found = adjustments.get_movement(session, organization_id=call.organization_id, **call.path)
        return Shelf(call.organization_id, found.ward_id, found.drug_id)

    return [read(database, call, look)]


@resource.post(
    "/stock/movements/<uuid:movement_id>/correct",
    "Undo a movement",
    body=CorrectionIn(),
    answer=MovementOut(),
    status=201,
    roles=PHARMACIST,
    shelves=_shelves,
    prepare=check_witness,
    raises=(
        MovementNotFound,
        MovementNotCorrectable,
        MovementAlreadyCorrected,
        StockWouldBeNegative,
        *REFUSALS,
    ),
)
def correct(session: Session, call: Call) -> Any:
    """Undoes a receipt, waste or loss by a new movement that points at it, once. The answer is that movement."""
    reference_id = adjustments.correct_movement(
        session,
        actor=call.actor,
        shelf=call.shelf,
        note=call.body["reason"],
        witness=call.prepared,
        now=session.now,
        **call.path,
    )
    which = {"organization_id": call.organization_id, "reference_id": reference_id}
    return movement_queries.get_movement_of(session, hides=call.hides, **which)
