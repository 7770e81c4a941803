"""Discrepancies: what counts and transfers could not account for, whose they are, and how they end."""

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.discrepancies.models import DiscrepancyStatus
from backend.errors import DomainError
from backend.ui.asking import ask
from backend.ui.forms import asked, with_witness
from backend.ui.pages import blueprint_of, form_key

blueprint = blueprint_of("discrepancies")
# How a discrepancy of a kind may end, in a person's words.
ENDS = {
    "count": (
        ("correction", "The ledger was wrong: take over what was counted"),
        ("loss", "Units are gone"),
        ("miscount", "The count was wrong: leave the ledger"),
    ),
    "transfer": (
        ("found", "They turned up at the destination"),
        ("returned", "They went back to the source"),
        ("loss", "Units are gone"),
    ),
}
ADVICE = {
    "witness_required": "Ask a second person to type their own email and password.",
    "discrepancy_resolved": "Nothing is to be done.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/discrepancies")
def show_discrepancies() -> str:
    """Discrepancies, newest first."""
    wanted = asked("status", "cursor")
    answer = ask("GET /discrepancies", query=wanted)
    return render_template("discrepancies.html", states=list(DiscrepancyStatus), status=wanted["status"], **answer)


@blueprint.get("/discrepancies/<uuid:discrepancy_id>")
def show_discrepancy(discrepancy_id: UUID) -> str:
    """One of them, and what may be done."""
    return _page(discrepancy_id, None)


def _page(discrepancy_id: UUID, refusal: DomainError | None) -> str:
    found = ask("GET /discrepancies/<uuid:discrepancy_id>", path={"discrepancy_id": discrepancy_id})
    mine = found["owner_id"] == str(g.actor.user_id)
    return render_template(
        "discrepancy.html", found=found, mine=mine, ends=ENDS[found["kind"]], refusal=refusal, advice=ADVICE
    )


@blueprint.post("/discrepancies/<uuid:discrepancy_id>/assign")
def assign(discrepancy_id: UUID) -> AnyResponse | tuple[str, int]:
    """Who taps it reviews it."""
    body, where = {"owner_id": str(g.actor.user_id)}, {"discrepancy_id": discrepancy_id}
    try:
        ask("POST /discrepancies/<uuid:discrepancy_id>/assign", path=where, body=body, key=form_key())
    except DomainError as refusal:
        return _page(discrepancy_id, refusal), refusal.status
    flash("It is yours now.")
    return redirect(url_for(".show_discrepancy", discrepancy_id=discrepancy_id))


@blueprint.post("/discrepancies/<uuid:discrepancy_id>/resolve")
def resolve(discrepancy_id: UUID) -> AnyResponse | tuple[str, int]:
    """Ends it, with a reason, before a witness where the drug is controlled."""
    said = {name: request.form.get(name, "").strip() for name in ("resolution", "reason")}
    where = {"discrepancy_id": discrepancy_id}
    try:
        ask(
            "POST /discrepancies/<uuid:discrepancy_id>/resolve", path=where, body=with_witness({**said}), key=form_key()
        )
    except DomainError as refusal:
        return _page(discrepancy_id, refusal), refusal.status
    flash("Resolved.")
    return redirect(url_for(".show_discrepancy", discrepancy_id=discrepancy_id))
