"""Wards."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.organizations import wards
from backend.domain.organizations.models import WardKind
from backend.domain.organizations.wards import WardNameTaken
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Line, PageQuery

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


@resource.get("/wards", "Wards by name", query=PageQuery(), answer=WardOut(), page=cursors.BY_TEXT)
def list_wards(session: Session, call: Call) -> Any:
    """The wards of the hospital."""
    return wards.list_wards(session, organization_id=call.organization_id, page=call.page)


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
    ward_id = wards.add_ward(session, organization_id=call.organization_id, **call.body)
    return wards.get_ward(session, organization_id=call.organization_id, ward_id=ward_id)
