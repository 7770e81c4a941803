"""The caller's hospital and its policies."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.organizations import hospitals
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Count, Flag, Line, Several, Whole

resource = Resource("organization")
HOURS_MAX = 720


class OrganizationOut(Body):
    """A hospital and its policies."""

    id = fields.UUID()
    slug = fields.String()
    name = fields.String()
    time_zone = fields.String()
    verification_required = fields.Boolean()
    witness_required = fields.Boolean()
    custody_witness_required = fields.Boolean()
    dose_window_minutes = fields.Integer()
    discrepancy_hours = fields.Integer()
    transit_hours = fields.Integer()
    second_factor_roles = Whole(fields.String(), because="there are four roles")


class OrganizationIn(Body):
    """What an admin may change."""

    name = Line()
    time_zone = Line(length=64)
    verification_required = Flag()
    witness_required = Flag()
    custody_witness_required = Flag()
    dose_window_minutes = Count(low=0, high=1_440)
    discrepancy_hours = Count(high=HOURS_MAX)
    transit_hours = Count(high=HOURS_MAX)
    second_factor_roles = Several(Choice(Role), most=len(Role), once=True)


@resource.get("/organization", "The hospital and its policies", answer=OrganizationOut())
def read_organization(session: Session, call: Call) -> Any:
    """The caller's own hospital."""
    return hospitals.get_organization(session, organization_id=call.organization_id)


@resource.patch(
    "/organization",
    "Change policies",
    body=OrganizationIn(),
    answer=OrganizationOut(),
    roles=frozenset({Role.ADMIN}),
)
def change_organization(session: Session, call: Call) -> Any:
    """Say if orders must be verified, doses of controlled drugs witnessed (`witness_required`) and their receipts and
    transfers too (`custody_witness_required`), how wide a dose's window is, how long a
    discrepancy and a transfer may take, which roles sign in with a second factor (from their next sign-in on); name
    and time zone."""
    if call.body:
        hospitals.change_organization(session, organization_id=call.organization_id, **call.body)
    return hospitals.get_organization(session, organization_id=call.organization_id)
