"""Stock: levels and the ledger."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.custody.blind import ShelfCountedBlind, ensure_not_hidden
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock import level_queries, levels, movement_queries
from backend.domain.stock.level_queries import ExpiryHorizon, LevelView, StockState
from backend.domain.stock.models import MovementReason
from backend.web import cursors
from backend.web.endpoint import Call, Resource, shelf_of_body
from backend.web.fields import Body, Choice, Count, Id, Moment, PageQuery, Search
from backend.web.schemas import schema_of

resource = Resource("stock")


class LevelQuery(PageQuery):
    """Which shelves."""

    ward_id = Id()
    drug_id = Id()
    q = Search(length=100)
    state = Choice(StockState)
    within_days = Choice(ExpiryHorizon, load_default=ExpiryHorizon.DAYS_30)


class MovementQuery(PageQuery):
    """Which movements; `from` counts, `to` does not."""

    ward_id = Id()
    drug_id = Id()
    since = Moment(data_key="from")
    until = Moment(data_key="to")


class MovementOut(Body):
    """One line of the ledger; `figures_hidden`: its units are null as long as its shelf's are, see `GET /stock`."""

    id = fields.UUID()
    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    sequence = fields.Integer()
    units = fields.Integer(allow_none=True)
    balance_after_units = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()
    reason = fields.Enum(MovementReason, by_value=True)
    reference_id = fields.UUID()
    corrects_id = fields.UUID(allow_none=True)
    note = fields.String(allow_none=True)
    actor_id = fields.UUID(allow_none=True)
    actor_name = fields.String(allow_none=True)
    witness_name = fields.String(allow_none=True)
    occurred_at = fields.AwareDateTime()
    recorded_at = fields.AwareDateTime()


@resource.get("/stock", "Shelves by drug name", query=LevelQuery(), answer=schema_of(LevelView), page=cursors.BY_NAME)
def list_levels(session: Session, call: Call) -> Any:
    """List shelves. `state`: low, out (nothing that may be given), expiring (within_days), expired; a shelf whose
    figures are hidden is in none."""
    filters = {name: call.query.get(name) for name in ("ward_id", "drug_id", "q", "state")}
    return level_queries.list_levels(
        session,
        organization_id=call.organization_id,
        within_days=call.query["within_days"],
        hides=call.hides,
        now=session.now,
        page=call.page,
        **filters,
    )


class LevelsIn(Body):
    """How much a ward wants to hold of a drug: an alert at the reorder point, replenishment up to par."""

    ward_id = Id(required=True)
    drug_id = Id(required=True)
    reorder_point_units = Count(required=True, low=0)
    par_level_units = Count(required=True, low=0)


class LevelsOut(Body):
    """What was set."""

    ward_id = fields.UUID()
    drug_id = fields.UUID()
    reorder_point_units = fields.Integer()
    par_level_units = fields.Integer()


@resource.put(
    "/stock/levels",
    "Set reorder point and par",
    body=LevelsIn(),
    answer=LevelsOut(),
    roles=frozenset({Role.PHARMACIST}),
    shelves=shelf_of_body,
    raises=(WardNotFound, DrugNotFound, ShelfCountedBlind),
)
def set_levels(session: Session, call: Call) -> Any:
    """Of one shelf; par is not below the reorder point."""
    ensure_not_hidden(session, call.actor, call.shelf)
    wanted = {name: call.body[name] for name in ("reorder_point_units", "par_level_units")}
    levels.set_levels(session, call.shelf, **wanted)
    return call.body


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
    return movement_queries.list_movements(
        session, organization_id=call.organization_id, hides=call.hides, page=call.page, **filters
    )
