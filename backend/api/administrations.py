"""Doses that were recorded: the history of the MAR, and what is wrong with an entry."""

from collections.abc import Callable, Sequence
from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Database, Session
from backend.domain.administrations import entries, errors_in_entry, queries, remainders
from backend.domain.administrations.errors import (
    AdministrationNotFound,
    AlreadyEnteredInError,
    DoseHasRemainder,
    DoseNotGiven,
    RemainderTooLarge,
)
from backend.domain.administrations.models import Outcome, RemainderKind
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.stock.ledger import Shelf
from backend.web import cursors
from backend.web.endpoint import Call, Resource, Route, read
from backend.web.fields import Body, Count, Id, Line, Moment, PageQuery, Whole

resource = Resource("administrations")
NURSE = frozenset({Role.NURSE})


class AdministrationQuery(PageQuery):
    """Which entries; `from` counts, `to` does not."""

    order_id = Id()
    patient_id = Id()
    ward_id = Id()
    nurse_id = Id()
    since = Moment(data_key="from")
    until = Moment(data_key="to")


class AdministrationOut(Body):
    """A recorded dose. `quantity_units` were withdrawn; those neither wasted nor returned were given."""

    id = fields.UUID()
    order_id = fields.UUID()
    patient_id = fields.UUID()
    patient_name = fields.String()
    ward_id = fields.UUID()
    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    unit = fields.String()
    controlled = fields.Boolean()
    dose = fields.Integer()
    outcome = fields.Enum(Outcome, by_value=True)
    note = fields.String(allow_none=True)
    quantity_units = fields.Integer()
    wasted_units = fields.Integer()
    returned_units = fields.Integer()
    nurse_name = fields.String()
    witness_name = fields.String(allow_none=True)
    administered_at = fields.AwareDateTime()
    entered_in_error_at = fields.AwareDateTime(allow_none=True)
    entered_in_error_by = fields.String(allow_none=True)
    error_reason = fields.String(allow_none=True)


class WithdrawnOut(Body):
    """What a dose took of one lot."""

    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    quantity_units = fields.Integer()


class AdministrationWithLotsOut(AdministrationOut):
    """A recorded dose with the lots it came from."""

    lots = Whole(fields.Nested(WithdrawnOut), because="the lots that one dose took")


class EnteredInErrorIn(Body):
    """What was wrong with the entry; a controlled drug's stock returns before a witness."""

    reason = Line(required=True, length=500)
    witness = fields.Nested(WitnessIn)


class RemainderIn(Body):
    """Units that were withdrawn and not given; `lot_id` where the dose came from several lots."""

    quantity_units = Count(required=True)
    lot_id = Id()
    reason = Line(length=500, allow_none=True, load_default=None)
    witness = fields.Nested(WitnessIn)


class RemainderOut(Body):
    """How the dose stands now: withdrawn units are given, wasted or returned."""

    id = fields.UUID()
    administration_id = fields.UUID()
    kind = fields.Enum(RemainderKind, by_value=True)
    lot_id = fields.UUID()
    quantity_units = fields.Integer()
    withdrawn_units = fields.Integer()
    given_units = fields.Integer()
    wasted_units = fields.Integer()
    returned_units = fields.Integer()
    recorded_by = fields.String()
    recorded_at = fields.AwareDateTime()


def _shelves(database: Database, call: Call) -> Sequence[Shelf]:
    administration_id, organization_id = call.path["administration_id"], call.organization_id
    return [
        read(
            database,
            call,
            lambda session: entries.shelf_of(
                session, organization_id=organization_id, administration_id=administration_id
            ),
        )
    ]


@resource.get(
    "/administrations",
    "Recorded doses, newest first",
    query=AdministrationQuery(),
    answer=AdministrationOut(),
    page=cursors.BY_TIME,
)
def list_administrations(session: Session, call: Call) -> Any:
    """Doses given or not given, entries in error included."""
    return queries.list_administrations(session, organization_id=call.organization_id, page=call.page, **call.query)


@resource.get(
    "/administrations/<uuid:administration_id>",
    "One recorded dose",
    answer=AdministrationWithLotsOut(),
    raises=(AdministrationNotFound,),
)
def read_administration(session: Session, call: Call) -> Any:
    """One recorded dose and what it took of each lot: who puts a remainder back names one of them."""
    which = {"organization_id": call.organization_id, **call.path}
    return {**queries.get_administration(session, **which)._asdict(), "lots": queries.lots_of(session, **which)}


@resource.post(
    "/administrations/<uuid:administration_id>/entered-in-error",
    "Mark an entry as made in error",
    body=EnteredInErrorIn(),
    answer=AdministrationOut(),
    roles=frozenset({Role.NURSE, Role.PHARMACIST}),
    shelves=_shelves,
    prepare=check_witness,
    raises=(
        AdministrationNotFound,
        NotOnThisWard,
        AlreadyEnteredInError,
        DoseHasRemainder,
        *REFUSALS,
    ),
)
def mark_entered_in_error(session: Session, call: Call) -> Any:
    """The dose was not given as recorded: its units return to their lots, and the order's latest dose is open again."""
    administration_id = call.path["administration_id"]
    errors_in_entry.mark_entered_in_error(
        session,
        actor=call.actor,
        shelf=call.shelf,
        administration_id=administration_id,
        reason=call.body["reason"],
        witness=call.prepared,
        now=session.now,
    )
    return queries.get_administration(
        session, organization_id=call.organization_id, administration_id=administration_id
    )


def _remainder(kind: RemainderKind, summary: str) -> Callable[[Route], Route]:
    return resource.post(
        f"/administrations/<uuid:administration_id>/{kind}",
        summary,
        body=RemainderIn(),
        answer=RemainderOut(),
        status=201,
        roles=NURSE,
        shelves=_shelves,
        prepare=check_witness,
        raises=(
            AdministrationNotFound,
            NotOnThisWard,
            AlreadyEnteredInError,
            DoseNotGiven,
            RemainderTooLarge,
            *REFUSALS,
        ),
    )


def _record(session: Session, call: Call, kind: RemainderKind) -> Any:
    return remainders.record_remainder(
        session,
        actor=call.actor,
        shelf=call.shelf,
        administration_id=call.path["administration_id"],
        kind=kind,
        units=call.body["quantity_units"],
        lot_id=call.body.get("lot_id"),
        reason=call.body["reason"],
        witness=call.prepared,
        now=session.now,
    )


@_remainder(RemainderKind.WASTE, "Waste what is left of a dose")
def waste(session: Session, call: Call) -> Any:
    """Units withdrawn for the dose are destroyed, before a witness where the drug is controlled."""
    return _record(session, call, RemainderKind.WASTE)


@_remainder(RemainderKind.RETURN, "Put back what is left of a dose")
def put_back(session: Session, call: Call) -> Any:
    """Untouched units withdrawn for the dose go back on the shelf."""
    return _record(session, call, RemainderKind.RETURN)
