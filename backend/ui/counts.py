"""Counts: start, enter what was found, complete, and what differs."""

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.counts.models import CountStatus
from backend.errors import DomainError
from backend.ui.asking import ask
from backend.ui.forms import asked, number_of, typed
from backend.ui.pages import blueprint_of, form_key

blueprint = blueprint_of("counts")
LINES_AT_ONCE = 200  # what POST /counts/{id}/lines takes
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
    wanted = asked("status", "cursor")
    wards = ask("GET /wards", query={"limit": 200})["items"]
    answer = ask("GET /counts", query=wanted)
    return render_template(
        "counts.html",
        states=list(CountStatus),
        status=wanted["status"],
        wards=wards,
        refusal=refusal,
        advice=ADVICE,
        **answer,
    )


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
    return _count_page(count_id, None, {})


def _count_page(count_id: UUID, refusal: DomainError | None, given: dict[str, str]) -> str:
    count = ask("GET /counts/<uuid:count_id>", path={"count_id": count_id})
    missing = refusal.members.get("uncounted_lot_ids", []) if refusal is not None else []
    return render_template(
        "count.html", count=count, refusal=refusal, given=given, advice=ADVICE, missing={str(each) for each in missing}
    )


@blueprint.post("/counts/<uuid:count_id>/lines")
def record(count_id: UUID) -> AnyResponse | tuple[str, int]:
    """Saves what was typed and is new; with the button "complete" ends the count too."""
    given, where = typed("units_"), {"count_id": count_id}
    try:
        saved = _save(where, given)
        if "complete" in request.form:
            ask("POST /counts/<uuid:count_id>/complete", path=where, key=form_key())
    except DomainError as refusal:
        return _count_page(count_id, refusal, given), refusal.status
    flash("The count is completed." if "complete" in request.form else f"Saved: {saved} lots.")
    return redirect(url_for(".show_count", count_id=count_id))


def _save(where: dict[str, Any], given: dict[str, str]) -> int:
    """Records the lots whose figure is new, and says how many those are."""
    count = ask("GET /counts/<uuid:count_id>", path=where)
    known = {line["lot_id"]: line["counted_units"] for line in count["lines"]}
    lines = [{"lot_id": lot_id, "counted_units": number_of(value)} for lot_id, value in given.items()]
    fresh = [line for line in lines if known.get(line["lot_id"]) != line["counted_units"]]
    for start_at in range(0, len(fresh), LINES_AT_ONCE):
        part, key = fresh[start_at : start_at + LINES_AT_ONCE], f"{form_key()}-{start_at}"
        ask("POST /counts/<uuid:count_id>/lines", path=where, body={"lines": part}, key=key)
    return len(fresh)


@blueprint.post("/counts/<uuid:count_id>/cancel")
def cancel(count_id: UUID) -> AnyResponse | tuple[str, int]:
    """Gives the count up."""
    try:
        ask("POST /counts/<uuid:count_id>/cancel", path={"count_id": count_id}, key=form_key())
    except DomainError as refusal:
        return _count_page(count_id, refusal, {}), refusal.status
    flash("The count is cancelled.")
    return redirect(url_for(".show_counts"))
