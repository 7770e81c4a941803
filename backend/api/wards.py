"""Wards."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.http.endpoint import Call, Resource
from backend.http.fields import Body, Choice, Line
from backend.organizations import organizations
from backend.organizations.models import WardKind
from backend.organizations.organizations import WardNameTaken

resource = Resource("wards")


class WardIn(Body):
    """A new ward."""

    name = Line(required=True, length=100)
    kind = Choice(WardKind, load_default=WardKind.WARD)


class WardOut(Body):
    """A place that holds stock."""

    id = fields.UUID()
    name = fields.String()
    kind = fields.Enum(WardKind, by_value=True)


class WardsOut(Body):
    """Every ward of the hospital."""

    items = fields.List(fields.Nested(WardOut))
    next_cursor = fields.String(allow_none=True)


@resource.get("/wards", "Wards by name", answer=WardsOut())
def list_wards(session: Session, call: Call) -> Any:
    """Every ward of the hospital: a few, so there is one page."""
    wards = organizations.list_wards(session, organization_id=call.organization_id)
    return {"items": wards, "next_cursor": None}


@resource.post(
    "/wards",
    "Open a ward",
    body=WardIn(),
    answer=WardOut(),
    status=201,
    roles=frozenset({Role.ADMIN}),
    raises=(WardNameTaken,),
)
def open_ward(session: Session, call: Call) -> Any:
    """A new place that holds stock."""
    ward_id = organizations.add_ward(session, organization_id=call.organization_id, **call.body)
    return organizations.get_ward(session, organization_id=call.organization_id, ward_id=ward_id)
