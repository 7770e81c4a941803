"""The caller's hospital and its policies."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.http.endpoint import Call, Resource
from backend.http.fields import Body, Flag, Line
from backend.organizations import organizations

resource = Resource("organization")


class OrganizationOut(Body):
    """A hospital and its policies."""

    id = fields.UUID()
    slug = fields.String()
    name = fields.String()
    time_zone = fields.String()
    verification_required = fields.Boolean()
    witness_required = fields.Boolean()


class OrganizationIn(Body):
    """What an admin may change."""

    name = Line()
    time_zone = Line(length=64)
    verification_required = Flag()
    witness_required = Flag()


@resource.get("/organization", "The hospital and its policies", answer=OrganizationOut())
def read_organization(session: Session, call: Call) -> Any:
    """The caller's own hospital."""
    return organizations.get_organization(session, organization_id=call.organization_id)


@resource.patch(
    "/organization",
    "Change policies",
    body=OrganizationIn(),
    answer=OrganizationOut(),
    roles=frozenset({Role.ADMIN}),
)
def change_organization(session: Session, call: Call) -> Any:
    """Whether orders must be verified and controlled drugs witnessed; name and time zone."""
    if call.body:
        organizations.change_organization(session, organization_id=call.organization_id, **call.body)
    return organizations.get_organization(session, organization_id=call.organization_id)
