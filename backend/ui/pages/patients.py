"""Patients: finding one, the chart of what was given, and what is wrong with an entry of it."""

from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.domain.administrations.models import RemainderKind
from backend.domain.orders.models import OrderStatus
from backend.errors import DomainError, ValidationFailed
from backend.ui.frame.asking import ask, ask_all, ask_from
from backend.ui.frame.chart import DAYS, Span, rows_of
from backend.ui.frame.forms import WITNESS_ADVICE, number_of, query_fields, with_witness
from backend.ui.frame.rendering import blueprint_of, form_key, local_now, zone
from backend.ui.frame.sealed_search import body_of, found_at, searched
from backend.ui.frame.ward_choice import wards
from backend.web.fields import Body, Day, Moment
from backend.web.parsing import load

blueprint = blueprint_of("patients")
ENTRY_PAGES, ORDER_PAGES, TEAM_PAGES = 10, 2, 1  # of LIMIT_MAX each
MARKING = frozenset({Role.NURSE, Role.PHARMACIST})
# What to do about a refusal, where the problem's own words do not say it.
ADVICE = {
    **WITNESS_ADVICE,
    "remainder_too_large": "Look at how much of the dose is open, and type no more than that.",
    "dose_has_remainder": "Ask the pharmacy to correct the stock.",
    "busy": "Nothing is known to have changed. Tap again: nothing is recorded twice.",
}


class ChartQuery(Body):
    """The last day of the chart, and from when on it shows doses without an entry, if not from its first day on."""

    last = Day()
    after = Moment()


@blueprint.get("/patients")
def show_patients() -> str:
    """Patients by name or medical record number, of one ward where it is chosen."""
    term, wanted = searched(), query_fields("ward_id", "cursor")
    page = ask("POST /patients/search", body=body_of(term, **wanted))
    found, more = page["items"], page["next_cursor"]
    return render_template(
        "patients.html", patients=found, more=more, wards=wards(), ward_id=wanted["ward_id"], searched=term
    )


@blueprint.post("/patients")
def find_patients() -> AnyResponse:
    """Goes to the page of who is found."""
    return found_at(".show_patients", ward_id=request.form.get("ward_id", "").strip())


@blueprint.get("/patients/<uuid:patient_id>")
def show_patient(patient_id: UUID) -> str:
    """One patient: allergies, active orders, and the chart of seven days.

    Where these have more entries than a page shows, `cursor` of the address names where the others begin.
    """
    where, now, wanted = {"patient_id": patient_id}, local_now(), query_fields("last", "after", "cursor")
    patient = ask("GET /patients/<uuid:patient_id>", path=where)
    chosen = load(ChartQuery(), {name: wanted[name] for name in ("last", "after") if wanted[name]})
    last = chosen.get("last", now.date())
    policies = ask("GET /organization")
    span = Span(last, zone(), now, timedelta(minutes=policies["dose_window_minutes"]), chosen.get("after"))
    times = {"from": span.since.astimezone(UTC).isoformat(), "to": span.until.astimezone(UTC).isoformat()}
    cursor = wanted["cursor"]
    entries, more = ask_from("GET /administrations", {**where, **times}, pages=ENTRY_PAGES, cursor=cursor)
    active, many_active = ask_all("GET /orders", {**where, "status": OrderStatus.ACTIVE.value}, pages=ORDER_PAGES)
    newest, many_orders = ask_all("GET /orders", where, pages=ORDER_PAGES)
    active_ids = {order["id"] for order in active}
    team, many_members = ask_all("GET /patients/<uuid:patient_id>/care-team", {}, path=where, pages=TEAM_PAGES)
    my_wards = {ward["id"] for ward in ask("GET /me")["wards"]} if g.actor.role is Role.NURSE else set()
    ended = [order for order in newest if order["id"] not in active_ids]
    step = timedelta(days=DAYS)
    return render_template(
        "patient.html",
        patient=patient,
        team=team,
        many_members=many_members,
        active=active,
        many_active=many_active,
        many_orders=many_orders,
        span=span,
        today=now.date(),
        rows=rows_of(span, [*active, *ended], entries, whole=not (cursor or more)),
        earlier=last - step,
        later=last + step if last < now.date() + step else None,
        cursor=cursor,
        more=more,
        role=g.actor.role,
        gives_on=my_wards,
    )


@blueprint.get("/patients/<uuid:patient_id>/orders")
def show_orders(patient_id: UUID) -> str:
    """Every order of the patient, newest first, of one state where it is chosen."""
    where, wanted = {"patient_id": patient_id}, query_fields("status", "cursor")
    patient = ask("GET /patients/<uuid:patient_id>", path=where)
    page = ask("GET /orders", query={**where, **wanted})
    return render_template(
        "patient_orders.html",
        patient=patient,
        orders=page["items"],
        more=page["next_cursor"],
        status=wanted["status"],
        states=list(OrderStatus),
    )


@blueprint.get("/doses/<uuid:administration_id>")
def show_dose(administration_id: UUID) -> str:
    """A recorded dose: its facts, and the forms for what is wrong with it."""
    return _dose_page(administration_id, None, {})


def _dose_page(administration_id: UUID, refusal: DomainError | None, given: dict[str, str]) -> str:
    dose = ask("GET /administrations/<uuid:administration_id>", path={"administration_id": administration_id})
    return render_template(
        "dose.html",
        dose=dose,
        open_units=dose["quantity_units"] - dose["wasted_units"] - dose["returned_units"],
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        given=given,
        may_mark=g.actor.role in MARKING,
        may_return=g.actor.role is Role.NURSE,
    )


@blueprint.post("/doses/<uuid:administration_id>/error")
def mark_in_error(administration_id: UUID) -> AnyResponse | tuple[str, int]:
    """Marks the entry as made in error, and goes back to the chart."""
    body = with_witness({"reason": request.form.get("reason", "").strip()})
    operation = "POST /administrations/<uuid:administration_id>/entered-in-error"
    return _change(administration_id, operation, body, "Marked as entered in error.", "error")


@blueprint.post("/doses/<uuid:administration_id>/remainder")
def leave_remainder(administration_id: UUID) -> AnyResponse | tuple[str, int]:
    """Wastes what is left of a dose or puts it back, and goes back to the chart."""
    kind = request.form.get("kind", "")
    if kind not in set(RemainderKind):
        raise ValidationFailed.of("kind", "waste or return")
    texts = {name: request.form.get(name, "").strip() for name in ("lot_id", "reason")}
    body: dict[str, Any] = {name: text for name, text in texts.items() if text}
    body["quantity_units"] = number_of(request.form.get("quantity_units", ""))
    said = "Recorded as wasted." if kind == RemainderKind.WASTE else "Put back on the shelf."
    operation = f"POST /administrations/<uuid:administration_id>/{kind}"
    return _change(administration_id, operation, with_witness(body), said, "remainder")


def _change(
    administration_id: UUID, operation: str, body: dict[str, Any], said: str, form: str
) -> AnyResponse | tuple[str, int]:
    where = {"administration_id": administration_id}
    try:
        ask(operation, path=where, body=body, key=form_key())
    except DomainError as refusal:
        typed = {name: value for name, value in request.form.items() if name != "witness_password"}
        return _dose_page(administration_id, refusal, {**typed, "form": form}), refusal.status
    dose = ask("GET /administrations/<uuid:administration_id>", path=where)
    flash(f"{said} {dose['drug_name']}, dose {dose['dose']}.")
    return redirect(url_for(".show_patient", patient_id=dose["patient_id"]))
