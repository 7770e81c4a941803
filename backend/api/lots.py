"""Lots: hold, release, recall, and what a lot touched."""

from collections.abc import Callable, Sequence
from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Database, Session
from backend.http import cursors
from backend.http.endpoint import Call, Resource, Route, read
from backend.http.fields import Body, Choice, Id, Line, PageQuery
from backend.reports.tracing import trace_lot
from backend.stock import lots
from backend.stock.adjustments import LotNotFound
from backend.stock.ledger import Shelf
from backend.stock.lots import LotStatusConflict
from backend.stock.models import LotStatus
from backend.transfers.models import TransferStatus

resource = Resource("lots")
PHARMACIST = frozenset({Role.PHARMACIST})


class LotQuery(PageQuery):
    """Which lots."""

    drug_id = Id()
    lot_number = Line(length=64)
    status = Choice(LotStatus)


class LotOut(Body):
    """A batch of a drug with one expiry date."""

    id = fields.UUID()
    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    lot_number = fields.String()
    expires_on = fields.Date()
    status = fields.Enum(LotStatus, by_value=True)
    status_reason = fields.String(allow_none=True)
    status_changed_by = fields.String(allow_none=True)
    status_changed_at = fields.AwareDateTime(allow_none=True)
    created_at = fields.AwareDateTime()


class TracedStockOut(Body):
    """Units of the lot on a ward."""

    ward_id = fields.UUID()
    ward_name = fields.String()
    quantity_units = fields.Integer()


class TracedTransferOut(Body):
    """Units of the lot that a transfer has not accounted for."""

    transfer_id = fields.UUID()
    transfer_status = fields.Enum(TransferStatus, by_value=True)
    source_ward_name = fields.String()
    destination_ward_id = fields.UUID()
    destination_ward_name = fields.String()
    quantity_units = fields.Integer()
    dispatched_at = fields.AwareDateTime()


class TracedDoseOut(Body):
    """A patient who was given the lot; `entered_in_error_at` where the entry proved wrong."""

    patient_id = fields.UUID()
    patient_name = fields.String()
    mrn = fields.String()
    ward_id = fields.UUID()
    ward_name = fields.String()
    order_id = fields.UUID()
    administration_id = fields.UUID()
    dose = fields.Integer()
    quantity_units = fields.Integer()
    given_by = fields.String()
    given_at = fields.AwareDateTime()
    entered_in_error_at = fields.AwareDateTime(allow_none=True)


class LotTraceOut(LotOut):
    """A lot and everything it touches: stock by ward, transfers under way, doses given."""

    stock = fields.List(fields.Nested(TracedStockOut))
    in_transit = fields.List(fields.Nested(TracedTransferOut))
    doses = fields.List(fields.Nested(TracedDoseOut))
    doses_truncated = fields.Boolean()


class LotReasonIn(Body):
    """Why."""

    reason = Line(required=True, length=500)


def _shelves(database: Database, call: Call) -> Sequence[Shelf]:
    wanted = {"organization_id": call.organization_id, **call.path}
    return read(database, call, lambda session: lots.shelves_of(session, **wanted))


@resource.get("/lots", "Lots, first to expire first", query=LotQuery(), answer=LotOut(), page=cursors.BY_EXPIRY)
def list_lots(session: Session, call: Call) -> Any:
    """Lots of the hospital."""
    filters = {name: call.query.get(name) for name in ("drug_id", "lot_number", "status")}
    return lots.list_lots(session, organization_id=call.organization_id, page=call.page, **filters)


@resource.get(
    "/lots/<uuid:lot_id>",
    "A lot and what it touches",
    answer=LotTraceOut(),
    roles=PHARMACIST,
    raises=(LotNotFound,),
)
def read_lot(session: Session, call: Call) -> Any:
    """Stock by ward, transfers under way and the patients who were given the lot."""
    return trace_lot(session, organization_id=call.organization_id, **call.path)


def _change(session: Session, call: Call, status: LotStatus, reason: str | None) -> None:
    lots.change_status(session, actor=call.actor, status=status, reason=reason, now=call.now, **call.path)


def _status(verb: str, summary: str, *, body: Body | None, answer: Body) -> Callable[[Route], Route]:
    return resource.post(
        f"/lots/<uuid:lot_id>/{verb}",
        summary,
        body=body,
        answer=answer,
        roles=PHARMACIST,
        shelves=_shelves,
        raises=(LotNotFound, LotStatusConflict),
    )


@_status("hold", "Put a lot on hold", body=LotReasonIn(), answer=LotOut())
def hold(session: Session, call: Call) -> Any:
    """Nothing of the lot is given or sent until it is released."""
    _change(session, call, LotStatus.ON_HOLD, call.body["reason"])
    return lots.get_lot(session, organization_id=call.organization_id, **call.path)


@_status("release", "Release a lot from hold", body=None, answer=LotOut())
def release(session: Session, call: Call) -> Any:
    """The lot may be given again."""
    _change(session, call, LotStatus.AVAILABLE, None)
    return lots.get_lot(session, organization_id=call.organization_id, **call.path)


@_status("recall", "Recall a lot", body=LotReasonIn(), answer=LotTraceOut())
def recall(session: Session, call: Call) -> Any:
    """For good: every fulfilment is either in the answer or refused. The lot leaves by waste or return."""
    _change(session, call, LotStatus.RECALLED, call.body["reason"])
    return trace_lot(session, organization_id=call.organization_id, **call.path)
