"""Override lists, and the review of what was given from unverified orders."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.orders import overrides
from backend.domain.orders.models import OverrideStatus, OverrideVerdict
from backend.domain.orders.overrides import (
    OverrideAlreadyReviewed,
    OverrideDrugListed,
    OverrideDrugNotFound,
    OverrideNotFound,
)
from backend.domain.organizations.wards import WardNotFound
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Id, Line, PageQuery

resource = Resource("overrides")
PHARMACIST = frozenset({Role.PHARMACIST})


class OverrideDrugQuery(PageQuery):
    """Of which ward."""

    ward_id = Id()


class OverrideDrugIn(Body):
    """A drug that a ward may give unverified."""

    ward_id = Id(required=True)
    drug_id = Id(required=True)


class OverrideDrugOut(Body):
    """An entry of a ward's override list."""

    id = fields.UUID()
    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    created_at = fields.AwareDateTime()


class OverrideQuery(PageQuery):
    """Which overrides."""

    status = Choice(OverrideStatus)
    ward_id = Id()
    nurse_id = Id()


class OverrideOut(Body):
    """A dose given from an unverified order, and its review."""

    id = fields.UUID()
    order_id = fields.UUID()
    administration_id = fields.UUID()
    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    nurse_id = fields.UUID()
    nurse_name = fields.String()
    reason = fields.String()
    status = fields.Enum(OverrideStatus, by_value=True)
    reviewed_at = fields.AwareDateTime(allow_none=True)
    review_note = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()


class ReviewIn(Body):
    """What the review found."""

    verdict = Choice(OverrideVerdict, required=True)
    note = Line(length=500, allow_none=True, load_default=None)


@resource.get(
    "/override-drugs",
    "Override lists, newest first",
    query=OverrideDrugQuery(),
    answer=OverrideDrugOut(),
    page=cursors.BY_TIME,
)
def list_listed(session: Session, call: Call) -> Any:
    """Drugs that wards may give from an unverified order, with a reason."""
    ward_id = call.query.get("ward_id")
    return overrides.list_listed(session, organization_id=call.organization_id, ward_id=ward_id, page=call.page)


@resource.post(
    "/override-drugs",
    "Put a drug on a ward's override list",
    body=OverrideDrugIn(),
    answer=OverrideDrugOut(),
    status=201,
    roles=PHARMACIST,
    raises=(WardNotFound, DrugNotFound, OverrideDrugListed),
)
def list_drug(session: Session, call: Call) -> Any:
    """Keep the list short: what cannot wait for a pharmacist."""
    entry_id = overrides.list_drug(session, organization_id=call.organization_id, **call.body)
    return overrides.get_listed(session, organization_id=call.organization_id, entry_id=entry_id)


@resource.delete(
    "/override-drugs/<uuid:entry_id>",
    "Take a drug off an override list",
    status=204,
    roles=PHARMACIST,
    raises=(OverrideDrugNotFound,),
)
def unlist_drug(session: Session, call: Call) -> Any:
    """From now on the ward waits for the verification."""
    overrides.unlist_drug(session, organization_id=call.organization_id, **call.path)


@resource.get(
    "/overrides",
    "Overrides, newest first",
    query=OverrideQuery(),
    answer=OverrideOut(),
    roles=frozenset({Role.PHARMACIST, Role.ADMIN}),
    page=cursors.BY_TIME,
)
def list_overrides(session: Session, call: Call) -> Any:
    """Doses given from unverified orders."""
    return overrides.list_overrides(session, organization_id=call.organization_id, page=call.page, **call.query)


@resource.post(
    "/overrides/<uuid:override_id>/review",
    "Review an override",
    body=ReviewIn(),
    answer=OverrideOut(),
    roles=PHARMACIST,
    raises=(OverrideNotFound, OverrideAlreadyReviewed),
)
def review(session: Session, call: Call) -> Any:
    """Whether it was appropriate; once."""
    verdict = OverrideStatus(call.body["verdict"])
    overrides.review(session, actor=call.actor, verdict=verdict, note=call.body["note"], now=session.now, **call.path)
    return overrides.get_override(session, organization_id=call.organization_id, **call.path)
