"""Discrepancies of counts and transfers."""

from collections.abc import Sequence
from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Database, Session
from backend.domain.custody import discrepancies, resolving
from backend.domain.custody.discrepancies import DiscrepancyNotFound, DiscrepancyResolved
from backend.domain.custody.errors import VarianceOutdated
from backend.domain.custody.models import DiscrepancyKind, DiscrepancyStatus, Resolution
from backend.domain.identity.queries import UserNotFound
from backend.domain.stock.ledger import Shelf, StockWouldBeNegative
from backend.web import cursors
from backend.web.endpoint import Call, Resource, read
from backend.web.fields import Body, Choice, Id, Line, PageQuery

resource = Resource("discrepancies")
PHARMACIST = frozenset({Role.PHARMACIST})


class DiscrepancyQuery(PageQuery):
    """Which discrepancies."""

    ward_id = Id()
    drug_id = Id()
    owner_id = Id()
    kind = Choice(DiscrepancyKind)
    status = Choice(DiscrepancyStatus)


class DiscrepancyOut(Body):
    """Units of a lot that were expected and not found (negative variance), or found and not expected.

    `figures_hidden`: of a count, and its shelf is being counted blind again by a count that you may record. Until that
    ends only the variance is told.
    """

    id = fields.UUID()
    kind = fields.Enum(DiscrepancyKind, by_value=True)
    status = fields.Enum(DiscrepancyStatus, by_value=True)
    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID()
    drug_name = fields.String()
    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    expected_units = fields.Integer(allow_none=True)
    found_units = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()
    variance_units = fields.Integer()
    owner_id = fields.UUID()
    owner_name = fields.String()
    due_at = fields.AwareDateTime()
    resolution = fields.Enum(Resolution, by_value=True, allow_none=True)
    reason = fields.String(allow_none=True)
    resolved_by = fields.String(allow_none=True)
    witness_name = fields.String(allow_none=True)
    resolved_at = fields.AwareDateTime(allow_none=True)
    created_at = fields.AwareDateTime()


class AssignIn(Body):
    """Who is to review it."""

    owner_id = Id(required=True)


class ResolveIn(Body):
    """How it ended and why; before a witness where the drug is controlled.

    Of a count: `correction`, `loss` or `miscount`. Of a transfer: `found`, `returned` or `loss`.
    """

    resolution = Choice(Resolution, required=True)
    reason = Line(required=True, length=500)
    witness = fields.Nested(WitnessIn)


def _shelves(database: Database, call: Call) -> Sequence[Shelf]:
    wanted = {"organization_id": call.organization_id, "resolution": call.body["resolution"], **call.path}
    return [read(database, call, lambda session: resolving.shelf_of(session, **wanted))]


def _answer(session: Session, call: Call) -> Any:
    where = {"organization_id": call.organization_id, **call.path}
    return discrepancies.get_discrepancy(session, hides=call.hides, **where)


@resource.get(
    "/discrepancies",
    "Discrepancies, newest first",
    query=DiscrepancyQuery(),
    answer=DiscrepancyOut(),
    roles=frozenset({Role.NURSE, Role.PHARMACIST, Role.ADMIN}),
    page=cursors.BY_TIME,
)
def list_discrepancies(session: Session, call: Call) -> Any:
    """What counts and transfers could not account for."""
    where = {"organization_id": call.organization_id, **call.query}
    return discrepancies.list_discrepancies(session, hides=call.hides, page=call.page, **where)


@resource.get(
    "/discrepancies/<uuid:discrepancy_id>",
    "One discrepancy",
    answer=DiscrepancyOut(),
    roles=frozenset({Role.NURSE, Role.PHARMACIST, Role.ADMIN}),
    raises=(DiscrepancyNotFound,),
)
def read_discrepancy(session: Session, call: Call) -> Any:
    """One discrepancy."""
    return _answer(session, call)


@resource.post(
    "/discrepancies/<uuid:discrepancy_id>/assign",
    "Give a discrepancy to somebody",
    body=AssignIn(),
    answer=DiscrepancyOut(),
    roles=PHARMACIST,
    raises=(DiscrepancyNotFound, DiscrepancyResolved, UserNotFound),
)
def assign(session: Session, call: Call) -> Any:
    """Names who reviews it."""
    discrepancies.assign(session, organization_id=call.organization_id, **call.path, **call.body)
    return _answer(session, call)


@resource.post(
    "/discrepancies/<uuid:discrepancy_id>/resolve",
    "Resolve a discrepancy",
    body=ResolveIn(),
    answer=DiscrepancyOut(),
    roles=PHARMACIST,
    shelves=_shelves,
    prepare=check_witness,
    raises=(
        DiscrepancyNotFound,
        DiscrepancyResolved,
        VarianceOutdated,
        *REFUSALS,
        StockWouldBeNegative,
    ),
)
def resolve(session: Session, call: Call) -> Any:
    """Ends it once; only now stock changes, by its own movement."""
    resolving.resolve(
        session,
        actor=call.actor,
        shelf=call.shelf,
        resolution=call.body["resolution"],
        reason=call.body["reason"],
        witness=call.prepared,
        now=session.now,
        **call.path,
    )
    return _answer(session, call)
