"""What the ledger tells: stock at a moment, consumption by day, the value of what expires."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.reports import consumption
from backend.domain.stock import history
from backend.domain.stock.level_queries import ExpiryHorizon
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Day, Id, Moment, PageQuery

resource = Resource("history")


class AsOfQuery(PageQuery):
    """Which shelves, and when."""

    at = Moment(required=True)
    ward_id = Id()
    drug_id = Id()


class LevelAsOfOut(Body):
    """Show what a shelf held at `as_of`; null with `figures_hidden`, see `GET /stock`."""

    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    on_hand_units = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()
    as_of = fields.AwareDateTime()


class ConsumptionQuery(PageQuery):
    """Which ward or drug or both, and which days of the hospital: `from` and `to` both count, the last 30 if absent."""

    ward_id = Id()
    drug_id = Id()
    since = Day(data_key="from")
    until = Day(data_key="to")


class ConsumptionOut(Body):
    """Units of a drug that were given on a ward on one day: withdrawn for doses, neither wasted nor put back."""

    day = fields.Date()
    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    unit = fields.String()
    units_given = fields.Integer()


class ExpiringValueQuery(PageQuery):
    """Which ward, and how many days ahead."""

    ward_id = Id()
    within_days = Choice(ExpiryHorizon, load_default=ExpiryHorizon.DAYS_30)


class ExpiringValueOut(Body):
    """Show what has expired on a ward and what will; `unpriced_units` of both are in no value.

    `figures_hidden`: shelves of the ward that are being counted blind, by a count that you may record, are left out.
    """

    ward_id = fields.UUID()
    ward_name = fields.String()
    expired_units = fields.Integer()
    expired_value_cents = fields.Integer()
    expiring_units = fields.Integer()
    expiring_value_cents = fields.Integer()
    unpriced_units = fields.Integer()
    figures_hidden = fields.Boolean()


@resource.get("/stock/as-of", "Shelves as they were", query=AsOfQuery(), answer=LevelAsOfOut(), page=cursors.BY_NAME)
def list_levels_as_of(session: Session, call: Call) -> Any:
    """What each shelf held at the moment `at`, by drug name."""
    filters = {name: call.query.get(name) for name in ("ward_id", "drug_id")}
    return history.levels_as_of(
        session,
        organization_id=call.organization_id,
        at=call.query["at"],
        hides=call.hides,
        now=session.now,
        page=call.page,
        **filters,
    )


@resource.get(
    "/stock/consumption",
    "Units given by day, ward and drug",
    query=ConsumptionQuery(),
    answer=ConsumptionOut(),
    page=cursors.BY_DAY,
)
def list_consumption(session: Session, call: Call) -> Any:
    """What was given each day, without what was wasted or put back of a dose; name a ward, a drug or both, and at most
    92 days."""
    filters = {name: call.query.get(name) for name in ("ward_id", "drug_id", "since", "until")}
    return consumption.list_consumption(
        session, organization_id=call.organization_id, now=session.now, page=call.page, **filters
    )


@resource.get(
    "/stock/expiring-value",
    "What has expired and what will, in cents",
    query=ExpiringValueQuery(),
    answer=ExpiringValueOut(),
    page=cursors.BY_TEXT,
    roles=frozenset({Role.PHARMACIST, Role.ADMIN}),
)
def list_expiring_value(session: Session, call: Call) -> Any:
    """By ward: units and value of stock that has expired and of stock that expires within the days."""
    return history.list_expiring_value(
        session,
        organization_id=call.organization_id,
        ward_id=call.query.get("ward_id"),
        within_days=call.query["within_days"],
        hides=call.hides,
        now=session.now,
        page=call.page,
    )
