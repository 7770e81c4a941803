"""Stock: levels, receipts and the ledger."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.formulary.drugs import DrugNotFound
from backend.http import cursors
from backend.http.endpoint import Call, Resource
from backend.http.fields import Body, Choice, Count, Day, Id, Line, Moment, PageQuery, Search
from backend.organizations.organizations import WardNotFound
from backend.stock import queries, receipts
from backend.stock.models import LotStatus, MovementReason
from backend.stock.queries import StockState
from backend.stock.receipts import LotNotAvailable

resource = Resource("stock")


class LevelQuery(PageQuery):
    """Which shelves."""

    ward_id = Id()
    drug_id = Id()
    q = Search(length=100)
    state = Choice(StockState)


class LotOnShelfOut(Body):
    """Units of one lot on a shelf."""

    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    status = fields.Enum(LotStatus, by_value=True)
    quantity_units = fields.Integer()


class LevelOut(Body):
    """A shelf: `available_units` leaves out what has expired, is on hold or was recalled."""

    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    form = fields.String()
    unit = fields.String()
    on_hand_units = fields.Integer()
    available_units = fields.Integer()
    reorder_point_units = fields.Integer()
    par_level_units = fields.Integer()
    lots = fields.List(fields.Nested(LotOnShelfOut))


class ReceiptIn(Body):
    """A delivered lot."""

    ward_id = Id(required=True)
    drug_id = Id(required=True)
    lot_number = Line(required=True, length=64)
    expires_on = Day(required=True)
    quantity_units = Count(required=True)


class ReceiptOut(Body):
    """What was received; `on_hand_units` is what the shelf holds now."""

    id = fields.UUID()
    ward_id = fields.UUID()
    drug_id = fields.UUID()
    drug_name = fields.String()
    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    quantity_units = fields.Integer()
    on_hand_units = fields.Integer()
    received_at = fields.AwareDateTime()


class MovementQuery(PageQuery):
    """Which movements; `from` counts, `to` does not."""

    ward_id = Id()
    drug_id = Id()
    since = Moment(data_key="from")
    until = Moment(data_key="to")


class MovementOut(Body):
    """One line of the ledger."""

    id = fields.UUID()
    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    sequence = fields.Integer()
    units = fields.Integer()
    balance_after_units = fields.Integer()
    reason = fields.Enum(MovementReason, by_value=True)
    reference_id = fields.UUID()
    actor_id = fields.UUID(allow_none=True)
    actor_name = fields.String(allow_none=True)
    occurred_at = fields.AwareDateTime()
    recorded_at = fields.AwareDateTime()


@resource.get("/stock", "Shelves by drug name", query=LevelQuery(), answer=LevelOut(), page=cursors.BY_NAME)
def list_levels(session: Session, call: Call) -> Any:
    """What lies where. `state`: low, out (nothing that may be given), expiring (30 days), expired."""
    filters = {name: call.query.get(name) for name in ("ward_id", "drug_id", "q", "state")}
    return queries.list_levels(session, organization_id=call.organization_id, now=call.now, page=call.page, **filters)


def _received_on(body: dict[str, Any]) -> tuple[UUID, UUID]:
    return body["ward_id"], body["drug_id"]


@resource.post(
    "/stock/receipts",
    "Receive a lot",
    body=ReceiptIn(),
    answer=ReceiptOut(),
    status=201,
    roles=frozenset({Role.PHARMACIST}),
    shelf=_received_on,
    raises=(WardNotFound, DrugNotFound, LotNotAvailable),
)
def receive(session: Session, call: Call) -> Any:
    """Adds units of a new or known lot to a ward's stock."""
    return receipts.receive(
        session,
        actor=call.actor,
        shelf=call.shelf,
        lot_number=call.body["lot_number"],
        expires_on=call.body["expires_on"],
        quantity_units=call.body["quantity_units"],
        now=call.now,
    )


@resource.get(
    "/stock/movements",
    "The ledger, newest first",
    query=MovementQuery(),
    answer=MovementOut(),
    page=cursors.BY_TIME,
)
def list_movements(session: Session, call: Call) -> Any:
    """Every unit that came or went, with the balance after it."""
    filters = {name: call.query.get(name) for name in ("ward_id", "drug_id", "since", "until")}
    return queries.list_movements(session, organization_id=call.organization_id, page=call.page, **filters)
