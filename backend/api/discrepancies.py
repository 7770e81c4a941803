"""Discrepancies of counts and transfers."""

from marshmallow import fields

from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db.paging import Page
from backend.db.use_cases import Bound
from backend.domain.custody import discrepancies, resolving
from backend.domain.custody.discrepancies import DiscrepancyNotFound, DiscrepancyResolved, DiscrepancyView
from backend.domain.custody.errors import VarianceOutdated
from backend.domain.custody.models import DiscrepancyKind, DiscrepancyStatus, Resolution
from backend.domain.identity.queries import UserNotFound
from backend.domain.stock.ledger import StockWouldBeNegative
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Id, Line, PageQuery

resource = Resource("discrepancies")


class DiscrepancyQuery(PageQuery):
    """Which discrepancies."""

    ward_id = Id()
    drug_id = Id()
    owner_id = Id()
    kind = Choice(DiscrepancyKind)
    status = Choice(DiscrepancyStatus)


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


@resource.get(
    "/discrepancies",
    "Discrepancies, newest first",
    does=discrepancies.list_discrepancies,
    query=DiscrepancyQuery(),
    page=cursors.BY_TIME,
)
def list_discrepancies(call: Call) -> Bound[Page[DiscrepancyView]]:
    """What counts and transfers could not account for."""
    return discrepancies.list_discrepancies.bind(actor=call.actor, page=call.page, **call.query)


@resource.get(
    "/discrepancies/<uuid:discrepancy_id>",
    "One discrepancy",
    does=discrepancies.get_discrepancy,
    raises=(DiscrepancyNotFound,),
)
def read_discrepancy(call: Call) -> Bound[DiscrepancyView]:
    """One discrepancy."""
    return discrepancies.get_discrepancy.bind(actor=call.actor, discrepancy_id=call.path["discrepancy_id"])


@resource.post(
    "/discrepancies/<uuid:discrepancy_id>/assign",
    "Give a discrepancy to somebody",
    does=discrepancies.assign,
    body=AssignIn(),
    raises=(DiscrepancyNotFound, DiscrepancyResolved, UserNotFound),
)
def assign(call: Call) -> Bound[DiscrepancyView]:
    """Names who reviews it."""
    return discrepancies.assign.bind(
        actor=call.actor, discrepancy_id=call.path["discrepancy_id"], owner_id=call.body["owner_id"]
    )


@resource.post(
    "/discrepancies/<uuid:discrepancy_id>/resolve",
    "Resolve a discrepancy",
    does=resolving.resolve,
    body=ResolveIn(),
    prepare=check_witness,
    raises=(DiscrepancyNotFound, DiscrepancyResolved, VarianceOutdated, *REFUSALS, StockWouldBeNegative),
)
def resolve(call: Call) -> Bound[DiscrepancyView]:
    """Ends it once; only now stock changes, by its own movement."""
    return resolving.resolve.bind(
        actor=call.actor,
        discrepancy_id=call.path["discrepancy_id"],
        resolution=call.body["resolution"],
        reason=call.body["reason"],
        witness=call.prepared,
    )
