"""Transfers between wards, and replenishment."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Session
from backend.db.paging import Page
from backend.db.use_cases import Bound
from backend.domain.custody import replenishment, transfers
from backend.domain.custody import transfer_queries as queries
from backend.domain.custody.errors import (
    NothingToReplenish,
    ReceiverIsDispatcher,
    TransferNotFound,
    TransferStatusConflict,
)
from backend.domain.custody.models import TransferStatus
from backend.domain.custody.transfer_queries import Transfer
from backend.domain.custody.transfers import LINES_MAX, LOTS_MAX, WARD_STAFF, Arrived, Wanted
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock.picking import InsufficientStock
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Count, Flag, Id, PageCursor, PageQuery, Several

resource = Resource("transfers")


class TransferQuery(PageQuery):
    """Which transfers."""

    status = Choice(TransferStatus)
    source_ward_id = Id()
    destination_ward_id = Id()


class TransferLineIn(Body):
    """Units of a drug."""

    drug_id = Id(required=True)
    quantity_units = Count(required=True)


class TransferIn(Body):
    """What is to go from one ward to another."""

    source_ward_id = Id(required=True)
    destination_ward_id = Id(required=True)
    lines = Several(fields.Nested(TransferLineIn), most=LINES_MAX, least=1, required=True)


class DispatchLineIn(Body):
    """Units of a drug that are sent, 0 for none."""

    drug_id = Id(required=True)
    quantity_units = Count(required=True, low=0)


class DispatchIn(Body):
    """List what is sent where it is less than was asked for; a drug that is not named is not sent.

    A controlled drug is sent before a witness where the hospital asks for one (`custody_witness_required`).
    """

    lines = Several(fields.Nested(DispatchLineIn), most=LINES_MAX, least=1, once_by="drug_id")
    witness = fields.Nested(WitnessIn)


class ArrivalLineIn(Body):
    """Units of a drug that arrived, 0 for none; of each lot, where several were sent and not all arrived."""

    drug_id = Id(required=True)
    quantity_units = Count(required=True, low=0)
    lot_id = Id()


class ArrivalIn(Body):
    """List what arrived of every drug where not everything did; before a witness as when it was sent.

    With `rest_as_sent` the lines name only what did not arrive as it was sent: everything else did.
    """

    lines = Several(fields.Nested(ArrivalLineIn), most=LOTS_MAX, least=1)
    rest_as_sent = Flag()  # without a default: a repeat of what the release before was asked is the same request
    witness = fields.Nested(WitnessIn)


class ProposalQuery(Body):
    """For which ward, and where a further page begins."""

    ward_id = Id(required=True)
    cursor = PageCursor()


class ProposedOut(Body):
    """A drug that the ward lacks: par minus available minus inbound."""

    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    unit = fields.String()
    reorder_point_units = fields.Integer()
    par_level_units = fields.Integer()
    available_units = fields.Integer()
    inbound_units = fields.Integer()
    proposed_units = fields.Integer()
    below_reorder_point = fields.Boolean()


class ProposalOut(Body):
    """Propose what brings the ward to its par levels, the most urgent first, two hundred drugs at a time.

    That is as many as one transfer takes. Where the ward lacks more, `next_cursor` begins the next page.

    `figures_hidden`: drugs of the ward that are being counted blind, by a count that you may record, are left out.
    """

    ward_id = fields.UUID()
    lines = fields.List(fields.Nested(ProposedOut))
    next_cursor = fields.String(allow_none=True)
    figures_hidden = fields.Boolean()


class ReplenishIn(Body):
    """The ward that lacks, and the one that gives."""

    ward_id = Id(required=True)
    source_ward_id = Id(required=True)


@resource.get(
    "/transfers", "Transfers, newest first", does=queries.list_transfers, query=TransferQuery(), page=cursors.BY_TIME
)
def list_transfers(call: Call) -> Bound[Page[Transfer]]:
    """Transfers with their lines and lots."""
    return queries.list_transfers.bind(actor=call.actor, page=call.page, **call.query)


@resource.post(
    "/transfers",
    "Request a transfer",
    does=transfers.request_transfer,
    body=TransferIn(),
    status=201,
    raises=(WardNotFound, DrugNotFound, NotOnThisWard),
)
def request_transfer(call: Call) -> Bound[Transfer]:
    """Asks for stock of another ward; no unit moves yet. A nurse asks for her own wards."""
    return transfers.request_transfer.bind(actor=call.actor, **wanted_of(call.body))


@resource.get("/transfers/<uuid:transfer_id>", "One transfer", does=queries.get_transfer, raises=(TransferNotFound,))
def read_transfer(call: Call) -> Bound[Transfer]:
    """One transfer with its lines and lots."""
    return queries.get_transfer.bind(actor=call.actor, transfer_id=call.path["transfer_id"])


def wanted_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a request for stock that a body holds."""
    return {**body, "lines": [Wanted(**line) for line in body["lines"]]}


def sent_of(body: dict[str, Any]) -> dict[UUID, int] | None:
    """Return the units by drug that a body lists as sent, None if it lists nothing."""
    return {line["drug_id"]: line["quantity_units"] for line in body["lines"]} if "lines" in body else None


def arrived_of(body: dict[str, Any]) -> list[Arrived] | None:
    """Return what a body lists as arrived, None if it lists nothing."""
    return [Arrived(**line) for line in body["lines"]] if "lines" in body else None


@resource.post(
    "/transfers/<uuid:transfer_id>/dispatch",
    "Dispatch a transfer",
    does=transfers.dispatch,
    body=DispatchIn(),
    prepare=check_witness,
    raises=(TransferNotFound, TransferStatusConflict, InsufficientStock, *REFUSALS),
)
def dispatch(call: Call) -> Bound[Transfer]:
    """Takes the units off the source's shelves, first expiring first; until they are received they are on the way.

    Of more lots than a receipt may list nothing is sent: send less, and the rest by another transfer.
    """
    return transfers.dispatch.bind(
        actor=call.actor, transfer_id=call.path["transfer_id"], sent=sent_of(call.body), witness=call.prepared
    )


@resource.post(
    "/transfers/<uuid:transfer_id>/receive",
    "Receive a transfer",
    does=transfers.receive_transfer,
    body=ArrivalIn(),
    prepare=check_witness,
    raises=(TransferNotFound, NotOnThisWard, TransferStatusConflict, ReceiverIsDispatcher, *REFUSALS),
)
def receive(call: Call) -> Bound[Transfer]:
    """Puts what arrived on the destination's shelves; what is short becomes a discrepancy and stays on the way.

    By somebody else than who dispatched it; a nurse receives for her own wards.
    """
    return transfers.receive_transfer.bind(
        actor=call.actor,
        transfer_id=call.path["transfer_id"],
        arrived=arrived_of(call.body),
        rest_as_sent=call.body.get("rest_as_sent", False),
        witness=call.prepared,
    )


@resource.post(
    "/transfers/<uuid:transfer_id>/cancel",
    "Cancel a transfer",
    does=transfers.cancel,
    raises=(TransferNotFound, NotOnThisWard, TransferStatusConflict),
)
def cancel(call: Call) -> Bound[Transfer]:
    """Ends a transfer that was not dispatched."""
    return transfers.cancel.bind(actor=call.actor, transfer_id=call.path["transfer_id"])


@resource.get(
    "/stock/replenishment",
    "What a ward lacks",
    query=ProposalQuery(),
    answer=ProposalOut(),
    roles=WARD_STAFF,
    raises=(WardNotFound,),
)
def propose(session: Session, call: Call) -> Any:
    """Par minus available minus inbound, for every drug of the ward where that is positive."""
    ward_id = call.query["ward_id"]
    where = {"organization_id": call.organization_id, "ward_id": ward_id, "hides": call.hides}
    asked = cursors.page_request(None, call.query.get("cursor"), cursors.BY_LACK, unless_said=LINES_MAX)
    page = replenishment.propose(session, now=session.now, page=asked, **where)
    return {
        "ward_id": ward_id,
        "lines": page.items,
        "next_cursor": cursors.encode(page.next_key),
        "figures_hidden": replenishment.hides_some(session, **where),
    }


@resource.post(
    "/stock/replenishment",
    "Request what a ward lacks",
    does=replenishment.replenish,
    body=ReplenishIn(),
    status=201,
    raises=(WardNotFound, NotOnThisWard, NothingToReplenish),
)
def replenish(call: Call) -> Bound[Transfer]:
    """Turns the proposal into a transfer; a second request finds the first on its way."""
    return replenishment.replenish.bind(actor=call.actor, **call.body)
