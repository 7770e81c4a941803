"""Medication orders."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.actor import Role
from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Session
from backend.db.idempotency import Answer
from backend.domain.administrations import fulfilment, skipping
from backend.domain.administrations.models import NotGiven, Outcome
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.formulary.scanning import ScanUnreadable, parse_scan
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.orders import cautions, errors, ordering, queries
from backend.domain.orders.models import OrderStatus, Priority
from backend.domain.orders.queries import OrderView
from backend.domain.organizations.wards import WardNotFound
from backend.domain.patients.admitting import PatientNotFound
from backend.domain.stock.picking import InsufficientStock
from backend.observability import FULFILMENTS, log
from backend.web import cursors
from backend.web.endpoint import Call, Resource, shelf_of_body
from backend.web.fields import Body, Choice, Count, Id, Line, Moment, PageQuery, ScannedCode, Whole
from backend.web.schemas import schema_of

resource = Resource("orders")
DOCTOR, PHARMACIST, NURSE = (frozenset({role}) for role in (Role.DOCTOR, Role.PHARMACIST, Role.NURSE))
DOSES_MAX, INTERVAL_MINUTES_MAX = 1_000, 60 * 24 * 366


class Verification(StrEnum):
    """Whether a pharmacist has looked at an order."""

    PENDING = "pending"
    VERIFIED = "verified"


class OrderIn(Body):
    """A new order: `quantity_units` of the drug, `doses` times, every `interval_minutes` from `first_due_at`."""

    patient_id = Id(required=True)
    drug_id = Id(required=True)
    ward_id = Id(required=True)
    quantity_units = Count(required=True)
    dose_text = Line(allow_none=True, load_default=None)
    route = Line(length=64, allow_none=True, load_default=None)
    priority = Choice(Priority, load_default=Priority.ROUTINE)
    doses = Count(high=DOSES_MAX, load_default=1)
    interval_minutes = Count(high=INTERVAL_MINUTES_MAX, allow_none=True, load_default=None)
    first_due_at = Moment(allow_none=True, load_default=None)


ORDER = schema_of(OrderView)


class OrderQuery(PageQuery):
    """Which orders."""

    status = Choice(OrderStatus)
    verification = Choice(Verification)
    ward_id = Id()
    patient_id = Id()
    drug_id = Id()
    prescriber_id = Id()


class CautionQuery(Body):
    """Of which drug."""

    drug_id = Id(required=True)


class StatisticsQuery(Body):
    """Of one ward, or of all."""

    ward_id = Id()


class StatisticsOut(Body):
    """How many orders there are. Overdue is one whose next dose is past the hospital's dose window, and never a PRN."""

    total = fields.Integer()
    active = fields.Integer()
    completed = fields.Integer()
    discontinued = fields.Integer()
    active_stat = fields.Integer()
    active_overdue = fields.Integer()
    active_unverified = fields.Integer()


class FulfilIn(Body):
    """Which dose, where the order has several, and who witnessed it, where that is asked for.

    `override_reason` gives an unverified order of a drug on the ward's override list; `scan` is the scanned package.
    """

    dose = Count(high=DOSES_MAX)
    witness = fields.Nested(WitnessIn)
    override_reason = Line(length=500)
    scan = ScannedCode()


class SkipIn(Body):
    """Why the dose was not given, and which, where the order has several."""

    reason = Choice(NotGiven, required=True)
    dose = Count(high=DOSES_MAX)
    note = Line(length=500, allow_none=True, load_default=None)


class SkippedOut(Body):
    """The dose that was not given; `due_at` is when the next one is due."""

    order_id = fields.UUID()
    status = fields.Enum(OrderStatus, by_value=True)
    dose = fields.Integer()
    outcome = fields.Enum(Outcome, by_value=True)
    note = fields.String(allow_none=True)
    administration_id = fields.UUID()
    recorded_by = fields.String()
    recorded_at = fields.AwareDateTime()
    due_at = fields.AwareDateTime()


class TakenOut(Body):
    """What was taken of one lot."""

    lot_number = fields.String()
    expires_on = fields.Date()
    quantity_units = fields.Integer()


class FulfilledOut(Body):
    """The dose that was given; `remaining_stock` is what the ward still holds of the drug, null while the shelf is
    being counted blind."""

    order_id = fields.UUID()
    status = fields.Enum(OrderStatus, by_value=True)
    patient_name = fields.String()
    drug_name = fields.String()
    dose = fields.Integer()
    quantity_units = fields.Integer()
    remaining_stock = fields.Integer(allow_none=True)
    lots = Whole(fields.Nested(TakenOut), because="the lots that one dose took")
    administration_id = fields.UUID()
    fulfilled_by = fields.String()
    fulfilled_at = fields.AwareDateTime()


class ReasonIn(Body):
    """Why."""

    reason = Line(required=True, length=500)


def _order_of(session: Session, call: Call) -> Any:
    return queries.get_order(session, organization_id=call.organization_id, order_id=call.path["order_id"])


@resource.get("/orders", "Orders, newest first", query=OrderQuery(), answer=ORDER, page=cursors.BY_TIME)
def list_orders(session: Session, call: Call) -> Any:
    """Orders; `prescriber_id` with your own id gives a doctor's own."""
    filters = dict(call.query)
    verification = filters.pop("verification", None)
    verified = None if verification is None else verification is Verification.VERIFIED
    where = {"organization_id": call.organization_id, **filters}
    return queries.list_orders(session, page=call.page, verified=verified, **where)


@resource.post(
    "/orders",
    "Place an order",
    body=OrderIn(),
    answer=ORDER,
    status=201,
    roles=DOCTOR,
    shelves=shelf_of_body,
    raises=(PatientNotFound, DrugNotFound, WardNotFound),
)
def place(session: Session, call: Call) -> Any:
    """A new active order."""
    values = {name: value for name, value in call.body.items() if name not in {"ward_id", "drug_id"}}
    order_id = ordering.place(session, actor=call.actor, shelf=call.shelf, now=session.now, **values)
    return queries.get_order(session, organization_id=call.organization_id, order_id=order_id)


@resource.get("/orders/statistics", "How many orders", query=StatisticsQuery(), answer=StatisticsOut())
def statistics(session: Session, call: Call) -> Any:
    """Orders by state, and the active ones that are urgent, overdue or unverified."""
    ward_id = call.query.get("ward_id")
    return queries.order_statistics(session, organization_id=call.organization_id, ward_id=ward_id, now=session.now)


@resource.get("/orders/<uuid:order_id>", "One order", answer=ORDER, raises=(errors.OrderNotFound,))
def read_order(session: Session, call: Call) -> Any:
    """One order."""
    return _order_of(session, call)


@resource.post(
    "/orders/<uuid:order_id>/verify",
    "Verify an order",
    answer=ORDER,
    roles=PHARMACIST,
    raises=(errors.OrderNotFound, errors.OrderAlreadyCompleted, errors.OrderDiscontinued),
)
def verify(session: Session, call: Call) -> Any:
    """A pharmacist has checked the order; a second time changes nothing."""
    ordering.verify(session, actor=call.actor, shelf=call.shelf, order_id=call.path["order_id"], now=session.now)
    return _order_of(session, call)


@resource.post(
    "/orders/<uuid:order_id>/discontinue",
    "Discontinue an order",
    body=ReasonIn(),
    answer=ORDER,
    roles=DOCTOR,
    raises=(errors.OrderNotFound, errors.OrderAlreadyCompleted, errors.OrderDiscontinued),
)
def discontinue(session: Session, call: Call) -> Any:
    """A doctor ends the order with a reason; no further dose is given."""
    ordering.discontinue(
        session,
        actor=call.actor,
        shelf=call.shelf,
        order_id=call.path["order_id"],
        reason=call.body["reason"],
        now=session.now,
    )
    return _order_of(session, call)


def report_fulfilment(order_id: UUID | str, outcome: str) -> None:
    """Count and log a fulfilment or the refusal of one; `outcome` is "done", "replayed" or a problem's code."""
    FULFILMENTS.labels(outcome).inc()
    event = "order_fulfilled" if outcome in {"done", "replayed"} else "fulfilment_refused"
    log.info(event, order_id=str(order_id), outcome=outcome)


def _report_fulfilment(path: dict[str, Any], outcome: str, _answer: Answer | None) -> None:
    report_fulfilment(path["order_id"], outcome)


@resource.post(
    "/orders/<uuid:order_id>/fulfill",
    "Fulfil an order",
    body=FulfilIn(),
    answer=FulfilledOut(),
    roles=NURSE,
    prepare=check_witness,
    answers_itself=True,
    report=_report_fulfilment,
    raises=(
        errors.OrderNotFound,
        errors.OrderAlreadyCompleted,
        errors.DoseAlreadyGiven,
        errors.DoseOutOfSequence,
        errors.OrderDiscontinued,
        errors.DoseTooSoon,
        errors.OrderNotVerified,
        errors.ScanContradicts,
        *REFUSALS,
        InsufficientStock,
        ScanUnreadable,
    ),
)
def fulfil(session: Session, call: Call) -> Any:
    """Gives the next dose from the first expiring lots of the order's ward and closes the order with the last.

    Stock, ledger, order and administration change in one transaction, or nothing does.
    """
    return fulfilment.fulfil(
        session,
        actor=call.actor,
        order_id=call.path["order_id"],
        shelf=call.shelf,
        dose=call.body.get("dose"),
        witness=call.prepared,
        key=call.key,
        override_reason=call.body.get("override_reason"),
        scan=parse_scan(call.body["scan"]) if "scan" in call.body else None,
    )


@resource.post(
    "/orders/<uuid:order_id>/skip",
    "Record a dose that is not given",
    body=SkipIn(),
    answer=SkippedOut(),
    roles=NURSE,
    raises=(
        errors.OrderNotFound,
        NotOnThisWard,
        errors.OrderAlreadyCompleted,
        errors.DoseAlreadyGiven,
        errors.DoseOutOfSequence,
        errors.OrderDiscontinued,
    ),
)
def skip(session: Session, call: Call) -> Any:
    """The next dose was held, refused or unavailable. No stock moves; the last dose closes the order."""
    return skipping.skip(
        session,
        actor=call.actor,
        order_id=call.path["order_id"],
        shelf=call.shelf,
        dose=call.body.get("dose"),
        outcome=Outcome(call.body["reason"]),
        note=call.body["note"],
        now=session.now,
    )


@resource.get(
    "/patients/<uuid:patient_id>/cautions",
    "What speaks against an order of a drug for a patient",
    query=CautionQuery(),
    answer=schema_of(cautions.Cautions),
    raises=(PatientNotFound, DrugNotFound),
)
def read_cautions(session: Session, call: Call) -> Any:
    """Allergies by the drug's name, and active orders of the same drug. Classes of drugs are not compared."""
    return cautions.find_cautions(session, organization_id=call.organization_id, **call.path, **call.query)
