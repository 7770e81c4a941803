"""The doctor's pages: the orders that are theirs, one order, and placing one in three steps."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.db.idempotency import IdempotencyKeyReused
from backend.domain.orders.models import OrderStatus, Priority
from backend.errors import DomainError, ValidationFailed
from backend.ui.frame.asking import ask, is_answered
from backend.ui.frame.forms import number_of, query_fields
from backend.ui.frame.problem_text import plainly
from backend.ui.frame.rendering import blueprint_of, form_key, zone
from backend.ui.frame.sealed_search import body_of, found_at, searched
from backend.ui.frame.ward_choice import wards
from backend.web.fields import Body, Id
from backend.web.parsing import load

blueprint = blueprint_of("prescribing")
DOCTOR = frozenset({Role.DOCTOR})
MINUTES = {"minutes": 1, "hours": 60, "days": 1_440}
ROUTES = ("oral", "intravenous", "subcutaneous", "intramuscular", "inhaled", "topical", "rectal", "sublingual")
TEXTS = ("dose_text", "route", "priority")
UNCONFIRMED = 409
CONTRADICTED = "Something speaks against this order. Read it and confirm it, or choose another drug."
NOT_UNDERSTOOD = "Look at what is marked below, and place the order again."
USED = "This page has already placed an order, with other values. Place this one as well only if both are meant."


class Chosen(Body):
    """For whom, and what."""

    patient_id = Id()
    drug_id = Id()


@blueprint.get("/prescribing")
def show_orders() -> str:
    """The doctor's own orders, newest first, of one state where it is chosen."""
    wanted = query_fields("status", "cursor")
    page = ask("GET /orders", query={**wanted, "prescriber_id": g.actor.user_id})
    return render_template(
        "orders.html", orders=page["items"], more=page["next_cursor"], status=wanted["status"], states=list(OrderStatus)
    )


@blueprint.get("/prescribing/orders/<uuid:order_id>")
def show_order(order_id: UUID) -> str:
    """One order as it stands."""
    return _order_page(order_id, None, "")


def _order_page(order_id: UUID, refusal: DomainError | None, reason: str) -> str:
    order = ask("GET /orders/<uuid:order_id>", path={"order_id": order_id})
    ends = order["status"] == OrderStatus.ACTIVE and g.actor.role is Role.DOCTOR
    return render_template("order.html", order=order, may_end=ends, refusal=refusal, reason=reason)


@blueprint.post("/prescribing/orders/<uuid:order_id>/discontinue")
def discontinue(order_id: UUID) -> AnyResponse | tuple[str, int]:
    """Ends the order with a reason."""
    reason = request.form.get("reason", "").strip()
    operation = "POST /orders/<uuid:order_id>/discontinue"
    try:
        order = ask(operation, path={"order_id": order_id}, body={"reason": reason}, key=form_key())
    except DomainError as refusal:
        return _order_page(order_id, refusal, reason), refusal.status
    flash(f"Discontinued: {order['drug_name']} for {order['patient_name']}.")
    return redirect(url_for(".show_order", order_id=order_id))


@blueprint.get("/prescribing/new")
def show_new() -> str:
    """The next step of placing an order: whose it is, of which drug, or the form."""
    g.actor.require(DOCTOR)
    wanted = query_fields("patient_id", "drug_id", "q", "cursor")
    ids = load(Chosen(), {name: wanted[name] for name in ("patient_id", "drug_id") if wanted[name]})
    if "patient_id" not in ids:
        term = searched()
        page = ask("POST /patients/search", body=body_of(term, cursor=wanted["cursor"]))
        return render_template("choose_patient.html", page=page, searched=term, drug_id=wanted["drug_id"])
    if "drug_id" in ids:
        return _form_page(ids["patient_id"], ids["drug_id"], {})
    patient = ask("GET /patients/<uuid:patient_id>", path={"patient_id": ids["patient_id"]})
    page = ask("GET /drugs", query={"q": wanted["q"], "cursor": wanted["cursor"]})
    return render_template("choose_drug.html", page=page, q=wanted["q"], patient=patient)


@blueprint.post("/prescribing/patients")
def find_patients() -> AnyResponse:
    """Goes to the page of who is found, for whom a drug may be chosen already."""
    g.actor.require(DOCTOR)
    return found_at(".show_new", drug_id=request.form.get("drug_id", "").strip())


def _cautions(patient_id: UUID, drug_id: UUID) -> list[dict[str, Any]]:
    operation = "GET /patients/<uuid:patient_id>/cautions"
    found: list[dict[str, Any]] = ask(operation, path={"patient_id": patient_id}, query={"drug_id": drug_id})[
        "cautions"
    ]
    return found


def _form_page(
    patient_id: UUID, drug_id: UUID, given: Mapping[str, str], said: str = "", errors: Sequence[dict[str, str]] = ()
) -> str:
    patient = ask("GET /patients/<uuid:patient_id>", path={"patient_id": patient_id})
    drug = ask("GET /drugs/<uuid:drug_id>", path={"drug_id": drug_id})
    return render_template(
        "prescribe.html",
        patient=patient,
        drug=drug,
        cautions=_cautions(patient_id, drug_id),
        confirmed=request.form.getlist("confirmed"),
        said=said,
        given=given,
        errors={error["pointer"].strip("/"): plainly(error["detail"]) for error in errors},
        wards=[ward for ward in wards() if ward["kind"] == "ward"],
        priorities=list(Priority),
        routes=ROUTES,
        periods=list(MINUTES),
        zone=zone(),
    )


@blueprint.post("/prescribing/new")
def place() -> AnyResponse | tuple[str, int]:
    """Places the order; asks first where something speaks against it that is not confirmed."""
    g.actor.require(DOCTOR)
    ids = load(Chosen(), {name: request.form.get(name, "") for name in ("patient_id", "drug_id")})
    which = (ids["patient_id"], ids["drug_id"])
    body, key = _body(request.form), form_key()
    try:
        if not is_answered("POST /orders", body=body, key=key):
            unconfirmed = {caution["key"] for caution in _cautions(*which)} - set(request.form.getlist("confirmed"))
            if unconfirmed:
                return _form_page(*which, request.form, CONTRADICTED), UNCONFIRMED
        order = ask("POST /orders", body=body, key=key)
    except ValidationFailed as refusal:
        return _form_page(*which, request.form, NOT_UNDERSTOOD, refusal.members["errors"]), refusal.status
    except IdempotencyKeyReused as refusal:
        return _form_page(*which, request.form, USED), refusal.status
    flash(f"Ordered: {order['drug_name']} {order['strength']} for {order['patient_name']}.")
    return redirect(url_for(".show_order", order_id=order["id"]))


def _body(form: Mapping[str, str]) -> dict[str, Any]:
    """What was typed, as the operation wants it; what it cannot be is left for the operation to refuse."""
    body: dict[str, Any] = {name: form.get(name, "") for name in ("patient_id", "drug_id", "ward_id")}
    body["quantity_units"] = number_of(form.get("quantity_units", ""))
    body |= {name: form[name].strip() for name in TEXTS if form.get(name, "").strip()}
    if form.get("doses", "").strip():
        body["doses"] = number_of(form["doses"])
    if form.get("interval", "").strip():
        body["interval_minutes"] = _minutes(number_of(form["interval"]), form.get("period", ""))
    if form.get("first_due_at", "").strip():
        body["first_due_at"] = _instant(form["first_due_at"].strip())
    return body


def _minutes(interval: int | str, period: str) -> int | str:
    return interval * MINUTES[period] if isinstance(interval, int) and period in MINUTES else str(interval)


def _instant(typed: str) -> str:
    """The moment that the hospital's clocks show as `typed`; the text itself where they never do.

    Where a clock is set back and shows a time twice, the first is meant.
    """
    try:
        shown = datetime.fromisoformat(typed)
        moment = shown.replace(tzinfo=zone()).astimezone(UTC)
    except (ValueError, OverflowError):
        return typed
    exists = moment.astimezone(zone()).replace(tzinfo=None) == shown
    return moment.isoformat() if exists else typed
