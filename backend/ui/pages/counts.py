"""Counts: start, enter what was found, complete, and what differs."""

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.db.paging import LIMIT_MAX
from backend.domain.custody.count_queries import LineState
from backend.domain.custody.models import CountStatus
from backend.errors import DomainError
from backend.ui.frame.asking import ask, ask_all
from backend.ui.frame.forms import by, form_fields, in_names, number_of, query_fields
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key
from backend.ui.frame.ward_choice import acts_for, own_wards

blueprint = blueprint_of("counts")
COUNT = "/counts/<uuid:count_id>"
STAFF = frozenset({Role.NURSE, Role.PHARMACIST})
SHEET = 100  # lots on a page: what is saved at once is one request
ADVICE = {
    "count_incomplete": "Count 0 for what is not there.",
    "count_open": "Go on with that count, or cancel it.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/counts")
def show_counts() -> str:
    """Counts, newest first, and the form that starts one."""
    return _counts_page(None)


def _counts_page(refusal: DomainError | None) -> str:
    wanted = query_fields("status", "cursor")
    answer = ask("GET /counts", query=wanted)
    return render_template(
        "counts.html",
        states=list(CountStatus),
        status=wanted["status"],
        counts=answer["items"],
        more=answer["next_cursor"],
        places=own_wards() if g.actor.role in STAFF else [],
        ward_id=request.form.get("ward_id", ""),
        refusal=refusal,
        advice=_advice(refusal),
        key=kept_key(refusal),
    )


def _advice(refusal: DomainError | None) -> str:
    return ADVICE.get(refusal.code, "") if refusal is not None else ""


@blueprint.post("/counts")
def start() -> AnyResponse | tuple[str, int]:
    """Starts a count of a ward, of everything or of controlled drugs."""
    body = {"ward_id": request.form.get("ward_id", ""), "controlled": request.form.get("scope") == "controlled"}
    try:
        made = ask("POST /counts", body=body, key=form_key())
    except DomainError as refusal:
        return _counts_page(refusal), refusal.status
    return redirect(url_for(".show_count", count_id=made["id"]))


@blueprint.get("/counts/<uuid:count_id>")
def show_count(count_id: UUID) -> str:
    """The lots to count, or the result."""
    return _count_page(count_id, _sheet(), None, {})


def _sheet() -> dict[str, str]:
    """Which lots are asked for: of a state, and from a cursor on."""
    return query_fields("state", "cursor")


def _count_page(count_id: UUID, sheet: dict[str, str], refusal: DomainError | None, units: dict[str, str]) -> str:
    where = {"count_id": count_id}
    count = ask(f"GET {COUNT}", path=where)
    incomplete = refusal is not None and refusal.code == "count_incomplete"
    if incomplete:
        sheet = {"state": LineState.UNCOUNTED.value, "cursor": ""}
    page = ask(f"GET {COUNT}/lines", path=where, query={**sheet, "limit": SHEET})
    return render_template(
        "count.html",
        count=count,
        lines=page["items"],
        drugs=list(by(page["items"], "drug_id").values()),
        more=page["next_cursor"],
        **sheet,
        may_count=count["status"] == CountStatus.OPEN and acts_for(count["ward_id"]),
        units=units,
        incomplete=incomplete,
        refusal=refusal,
        advice=_advice(refusal),
        key=kept_key(refusal),
    )


@blueprint.post("/counts/<uuid:count_id>/lines")
def record(count_id: UUID) -> AnyResponse | tuple[str, int]:
    """Saves what was typed and is new; then goes on to the next sheet, or with the button "complete" ends the count.

    A field's name tells the figure that it was shown with. Because a figure that nobody changed is not counted again,
    and somebody else's newer one is not undone by it.
    """
    where, sheet, following = {"count_id": count_id}, _sheet(), request.form.get("next", "")
    fields = {tuple(name.split("_", 1)): value for name, value in form_fields("units_").items() if "_" in name}
    units = {lot_id: value for (lot_id, _), value in fields.items()}
    fresh = {lot_id: number_of(value) for (lot_id, was), value in fields.items() if str(number_of(value)) != was}
    try:
        _save(where, fresh)
        if "complete" in request.form:
            ask(f"POST {COUNT}/complete", path=where, key=form_key())
    except DomainError as refusal:
        return _count_page(count_id, sheet, refusal, units), refusal.status
    if "complete" in request.form:
        flash("The count is completed.")
        return redirect(url_for(".show_count", count_id=count_id))
    flash(f"Saved: {len(fresh)} {'lot' if len(fresh) == 1 else 'lots'}.")
    state, cursor = sheet["state"] or None, following or sheet["cursor"] or None
    return redirect(url_for(".show_count", count_id=count_id, state=state, cursor=cursor))


def _save(where: dict[str, Any], fresh: dict[str, int | str]) -> None:
    """Records the figures; refused in the names of drugs and lots."""
    if not fresh:
        return
    lines = [{"lot_id": lot_id, "counted_units": units} for lot_id, units in fresh.items()]
    try:
        ask(f"POST {COUNT}/lines", path=where, body={"lines": lines}, key=f"{form_key()}-lines")
    except DomainError as refusal:
        pages = ask(f"GET {COUNT}", path=where)["line_count"] // LIMIT_MAX + 1
        known, _ = ask_all(f"GET {COUNT}/lines", {}, path=where, pages=pages)
        names = {line["lot_id"]: f"{line['drug_name']}, lot {line['lot_number']}" for line in known}
        raise in_names(refusal, list(fresh), names) from refusal


@blueprint.post("/counts/<uuid:count_id>/cancel")
def cancel(count_id: UUID) -> AnyResponse | tuple[str, int]:
    """Gives the count up."""
    try:
        ask(f"POST {COUNT}/cancel", path={"count_id": count_id}, key=form_key())
    except DomainError as refusal:
        return _count_page(count_id, _sheet(), refusal, {}), refusal.status
    flash("The count is cancelled.")
    return redirect(url_for(".show_counts"))
