"""The MAR board."""

from typing import Any

from flask import current_app
from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.db.idempotency import Answer
from backend.domain.administrations import board
from backend.domain.administrations.board import BoardCache, DueState, Key
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.organizations.wards import WardNotFound
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Id, PageCursor, Whole

resource = Resource("mar")


class BoardQuery(Body):
    """Which ward, and where a further page of its board begins."""

    ward_id = Id(required=True)
    cursor = PageCursor()


class DueOut(Body):
    """An active order and its next dose; `figures_hidden`: the shelf is being counted blind, and what it holds is null
    until that ends."""

    order_id = fields.UUID()
    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    form = fields.String()
    unit = fields.String()
    controlled = fields.Boolean()
    high_alert = fields.Boolean()
    quantity_units = fields.Integer()
    dose_text = fields.String(allow_none=True)
    route = fields.String(allow_none=True)
    priority = fields.String()
    dose = fields.Integer()
    doses = fields.Integer()
    due_at = fields.AwareDateTime()
    due_state = fields.Enum(DueState, by_value=True)
    verified = fields.Boolean()
    on_hand_units = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()


class BoardPatientOut(Body):
    """A patient with active orders, STAT first, then by time due."""

    patient_id = fields.UUID()
    name = fields.String()
    mrn = fields.String()
    date_of_birth = fields.Date()
    bed = fields.String(allow_none=True)
    allergies = Whole(fields.String(), because="what stands in the patient's record")
    orders = Whole(fields.Nested(DueOut), because="the patient's orders on this page of the board")


class BoardOut(Body):
    """A ward's board; `version` rises with everything on it. It has two thousand orders at most: where the ward has
    more, `truncated` says so and `next_cursor` begins the next page, with the same patient where they have more."""

    ward_id = fields.UUID()
    ward_name = fields.String()
    version = fields.Integer()
    patients = fields.List(fields.Nested(BoardPatientOut))
    truncated = fields.Boolean()
    next_cursor = fields.String(allow_none=True)


@resource.get(
    "/mar",
    "A ward's active orders by patient",
    query=BoardQuery(),
    answer=BoardOut(),
    roles=frozenset({Role.NURSE, Role.PHARMACIST}),
    raises=(WardNotFound, NotOnThisWard),
)
def read_mar(session: Session, call: Call) -> Any:
    """The board as it is now. Poll with If-None-Match: 304 while nothing on it has changed."""
    cache: BoardCache = current_app.extensions["valmed_boards"]
    after = cursors.page_request(None, call.query.get("cursor"), cursors.BY_BED).after
    found = board.read_board(
        session,
        actor=call.actor,
        ward_id=call.query["ward_id"],
        cache=cache,
        cursor_of=cursors.encode,
        after=Key(*after) if after is not None else None,
    )
    return Answer(200, found.body, etag=found.etag)
