"""Transfers between wards, and replenishment."""

from collections.abc import Callable, Sequence
from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Database, Session
from backend.domain.custody import replenishment, transfer_queries, transfers
from backend.domain.custody.errors import (
    NothingToReplenish,
    ReceiverIsDispatcher,
    TransferNotFound,
    TransferStatusConflict,
)
from backend.domain.custody.models import TransferStatus
from backend.domain.custody.transfers import LINES_MAX, LOTS_MAX, Arrived, Wanted
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.picking import InsufficientStock
from backend.web import cursors
from backend.web.endpoint import Call, Resource, read
from backend.web.fields import Body, Choice, Count, Flag, Id, PageCursor, PageQuery, Several, Whole

resource = Resource("transfers")
PHARMACIST = frozenset({Role.PHARMACIST})
WARD_STAFF = frozenset({Role.NURSE, Role.PHARMACIST})


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


class TransferLotOut(Body):
    """Units of one lot; what was neither received, returned nor lost is still on the way."""

    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    dispatched_units = fields.Integer()
    received_units = fields.Integer()
    returned_units = fields.Integer()
    lost_units = fields.Integer()


class TransferLineOut(Body):
    """One drug of a transfer."""

    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    controlled = fields.Boolean()
    quantity_units = fields.Integer()
    dispatched_units = fields.Integer()
    received_units = fields.Integer()
    lots = Whole(fields.Nested(TransferLotOut), because="the lots that were sent of one drug")


class TransferOut(Body):
    """A transfer as it stands."""

    id = fields.UUID()
    status = fields.Enum(TransferStatus, by_value=True)
    source_ward_id = fields.UUID()
    source_ward_name = fields.String()
    destination_ward_id = fields.UUID()
    destination_ward_name = fields.String()
    lines = Whole(fields.Nested(TransferLineOut), because="a transfer has at most two hundred drugs")
    requested_by = fields.String()
    requested_at = fields.AwareDateTime()
    dispatched_by = fields.String(allow_none=True)
    dispatched_at = fields.AwareDateTime(allow_none=True)
    received_by = fields.String(allow_none=True)
    received_at = fields.AwareDateTime(allow_none=True)
    cancelled_by = fields.String(allow_none=True)
    cancelled_at = fields.AwareDateTime(allow_none=True)


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


def _shelves(end: int) -> Callable[[Database, Call], Sequence[Shelf]]:
    """The shelves at the source (0) or at the destination (1)."""

    def of_transfer(database: Database, call: Call) -> Sequence[Shelf]:
        wanted = {"organization_id": call.organization_id, "transfer_id": call.path["transfer_id"]}
        return read(database, call, lambda session: transfers.shelves_of(session, **wanted))[end]

    return of_transfer


def _answer(session: Session, call: Call) -> Any:
    return transfer_queries.get_transfer(
        session, organization_id=call.organization_id, transfer_id=call.path["transfer_id"]
    )


@resource.get(
    "/transfers", "Transfers, newest first", query=TransferQuery(), answer=TransferOut(), page=cursors.BY_TIME
)
def list_transfers(session: Session, call: Call) -> Any:
    """Transfers with their lines and lots."""
    return transfer_queries.list_transfers(session, organization_id=call.organization_id, page=call.page, **call.query)


@resource.post(
    "/transfers",
    "Request a transfer",
    body=TransferIn(),
    answer=TransferOut(),
    status=201,
    roles=WARD_STAFF,
    raises=(WardNotFound, DrugNotFound, NotOnThisWard),
)
def request_transfer(session: Session, call: Call) -> Any:
    """Asks for stock of another ward; no unit moves yet. A nurse asks for her own wards."""
    wanted = {**call.body, "lines": [Wanted(**line) for line in call.body["lines"]]}
    transfer_id = transfers.request_transfer(session, actor=call.actor, now=session.now, **wanted)
    return transfer_queries.get_transfer(session, organization_id=call.organization_id, transfer_id=transfer_id)


@resource.get("/transfers/<uuid:transfer_id>", "One transfer", answer=TransferOut(), raises=(TransferNotFound,))
def read_transfer(session: Session, call: Call) -> Any:
    """One transfer with its lines and lots."""
    return _answer(session, call)


@resource.post(
    "/transfers/<uuid:transfer_id>/dispatch",
    "Dispatch a transfer",
    body=DispatchIn(),
    answer=TransferOut(),
    roles=PHARMACIST,
    shelves=_shelves(0),
    prepare=check_witness,
    raises=(TransferNotFound, TransferStatusConflict, InsufficientStock, *REFUSALS),
)
def dispatch(session: Session, call: Call) -> Any:
    """Takes the units off the source's shelves, first expiring first; until they are received they are on the way.

    Of more lots than a receipt may list nothing is sent: send less, and the rest by another transfer.
    """
    lines = call.body.get("lines")
    sent = None if lines is None else {line["drug_id"]: line["quantity_units"] for line in lines}
    transfers.dispatch(session, actor=call.actor, sent=sent, witness=call.prepared, now=session.now, **call.path)
    return _answer(session, call)


@resource.post(
    "/transfers/<uuid:transfer_id>/receive",
    "Receive a transfer",
    body=ArrivalIn(),
    answer=TransferOut(),
    roles=WARD_STAFF,
    shelves=_shelves(1),
    prepare=check_witness,
    raises=(
        TransferNotFound,
        NotOnThisWard,
        TransferStatusConflict,
        ReceiverIsDispatcher,
        *REFUSALS,
    ),
)
def receive(session: Session, call: Call) -> Any:
    """Puts what arrived on the destination's shelves; what is short becomes a discrepancy and stays on the way.

    By somebody else than who dispatched it; a nurse receives for her own wards.
    """
    lines = call.body.get("lines")
    arrived = None if lines is None else [Arrived(**line) for line in lines]
    transfers.receive_transfer(
        session,
        actor=call.actor,
        arrived=arrived,
        rest_as_sent=call.body.get("rest_as_sent", False),
        witness=call.prepared,
        now=session.now,
        **call.path,
    )
    return _answer(session, call)


@resource.post(
    "/transfers/<uuid:transfer_id>/cancel",
    "Cancel a transfer",
    answer=TransferOut(),
    roles=WARD_STAFF,
    raises=(TransferNotFound, NotOnThisWard, TransferStatusConflict),
)
def cancel(session: Session, call: Call) -> Any:
    """Ends a transfer that was not dispatched."""
    transfers.cancel(session, actor=call.actor, now=session.now, **call.path)
    return _answer(session, call)


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
    body=ReplenishIn(),
    answer=TransferOut(),
    status=201,
    roles=WARD_STAFF,
    raises=(WardNotFound, NotOnThisWard, NothingToReplenish),
)
def replenish(session: Session, call: Call) -> Any:
    """Turns the proposal into a transfer; a second request finds the first on its way."""
    transfer_id = replenishment.replenish(session, actor=call.actor, hides=call.hides, now=session.now, **call.body)
    return transfer_queries.get_transfer(session, organization_id=call.organization_id, transfer_id=transfer_id)
