"""The caller."""

from typing import Any

from marshmallow import fields

from backend.api.wards import WardOut
from backend.db import Session
from backend.http.endpoint import Call, Resource
from backend.http.fields import Body
from backend.identity import queries
from backend.organizations import organizations

resource = Resource("me")


class MeOut(Body):
    """Who asks, in which hospital, and on which wards they work."""

    id = fields.UUID()
    name = fields.String()
    email = fields.String()
    role = fields.String()
    organization = fields.String()
    organization_name = fields.String()
    second_factor = fields.Boolean()
    wards = fields.List(fields.Nested(WardOut))


@resource.get("/me", "Who am I", answer=MeOut())
def read_me(session: Session, call: Call) -> Any:
    """The caller with their wards."""
    organization_id, user_id = call.organization_id, call.actor.user_id
    assert user_id is not None  # noqa: S101 - a token always belongs to a user
    user = queries.get_user(session, organization_id=organization_id, user_id=user_id)
    hospital = organizations.get_organization(session, organization_id=organization_id)
    wards = queries.wards_of(session, organization_id=organization_id, user_id=user_id)
    return {
        **user._asdict(),
        "organization": hospital.slug,
        "organization_name": hospital.name,
        "second_factor": call.actor.second_factor,
        "wards": wards,
    }
