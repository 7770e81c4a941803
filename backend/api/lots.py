"""Lots: hold, release, recall, and what a lot touched."""

from collections.abc import Callable, Sequence
from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Database, Session
from backend.domain.custody.models import TransferStatus
from backend.domain.reports import tracing
from backend.domain.stock import lots
from backend.domain.stock.adjustments import LotNotFound
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.lots import LotStatusConflict
from backend.domain.stock.models import LotStatus
from backend.web import cursors
from backend.web.endpoint import Call, Resource, Route, read
from backend.web.fields import Body, Choice, Day, Id, Line, Moment, Newest, PageQuery, Whole

resource = Resource("lots")
PHARMACIST = frozenset({Role.PHARMACIST})


class LotQuery(PageQuery):
    """Which lots."""

    drug_id = Id()
    lot_number = Line(length=64)
    status = Choice(LotStatus)
    expires_from = Day()


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
    """Units of the lot on a ward; null with `figures_hidden`, see `GET /stock`."""

    ward_id = fields.UUID()
    ward_name = fields.String()
    quantity_units = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()


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


class TracedPatientOut(Body):
    """Somebody who was given the lot, and where they lie now, null after their stay. `doses` stand; of the others the
    entry proved wrong. `last_given_at` is the time of the last one that stands, where any does."""

    patient_id = fields.UUID()
    patient_name = fields.String()
    mrn = fields.String()
    ward_id = fields.UUID(allow_none=True)
    ward_name = fields.String(allow_none=True)
    bed = fields.String(allow_none=True)
    doses = fields.Integer()
    doses_in_error = fields.Integer()
    last_given_at = fields.AwareDateTime()


class LotTraceOut(LotOut):
    """A lot and everything it touches: stock by ward, transfers under way, all patients by name, each once.

    `dose_count` counts all doses. `doses` are the newest thousand, and `doses_truncated` says that there are more:
    `/lots/{lot_id}/doses` lists all of them."""

    stock = Whole(fields.Nested(TracedStockOut), because="one for each ward that holds the lot")
    in_transit = Whole(fields.Nested(TracedTransferOut), because="the transfers of the lot that are under way")
    patient_count = fields.Integer()
    patients = Whole(fields.Nested(TracedPatientOut), because="everybody who was given the lot, however many they are")
    dose_count = fields.Integer()
    doses = Newest(fields.Nested(TracedDoseOut), most=tracing.DOSES_MAX, listed_by="GET /lots/<uuid:lot_id>/doses")
    doses_truncated = fields.Boolean()


class DosesQuery(PageQuery):
    """Which doses of a lot; `from` counts, `to` does not."""

    ward_id = Id()
    patient_id = Id()
    since = Moment(data_key="from")
    until = Moment(data_key="to")


class LotReasonIn(Body):
    """Why."""

    reason = Line(required=True, length=500)


def _shelves(database: Database, call: Call) -> Sequence[Shelf]:
    wanted = {"organization_id": call.organization_id, **call.path}
    return read(database, call, lambda session: lots.shelves_of(session, **wanted))


@resource.get("/lots", "Lots, first to expire first", query=LotQuery(), answer=LotOut(), page=cursors.BY_EXPIRY)
def list_lots(session: Session, call: Call) -> Any:
    """List the lots of the hospital; with `expires_from` those that expire on that day or later."""
    filters = {name: call.query.get(name) for name in ("drug_id", "lot_number", "status", "expires_from")}
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
    return tracing.trace_lot(session, organization_id=call.organization_id, hides=call.hides, **call.path)


@resource.get(
    "/lots/<uuid:lot_id>/doses",
    "The doses given of a lot, newest first",
    query=DosesQuery(),
    answer=TracedDoseOut(),
    roles=PHARMACIST,
    page=cursors.BY_TIME,
    raises=(LotNotFound,),
)
def list_doses(session: Session, call: Call) -> Any:
    """Every dose of the lot, also those whose entry proved wrong."""
    names = ("ward_id", "patient_id", "since", "until")
    wanted: dict[str, Any] = {name: call.query.get(name) for name in names} | call.path
    return tracing.list_doses(session, organization_id=call.organization_id, page=call.page, **wanted)


@resource.get(
    "/lots/<uuid:lot_id>/patients",
    "Everybody who was given a lot, by name",
    query=PageQuery(),
    answer=TracedPatientOut(),
    roles=PHARMACIST,
    page=cursors.BY_ROW,
    raises=(LotNotFound,),
)
def list_patients(session: Session, call: Call) -> Any:
    """Each once, with their doses of the lot and where they lie now."""
    return tracing.list_patients(session, organization_id=call.organization_id, page=call.page, **call.path)


def _change(session: Session, call: Call, status: LotStatus, reason: str | None) -> None:
    lots.change_status(session, actor=call.actor, status=status, reason=reason, now=session.now, **call.path)


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
    return tracing.trace_lot(session, organization_id=call.organization_id, hides=call.hides, **call.path)
