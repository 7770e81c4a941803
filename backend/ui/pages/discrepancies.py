"""Discrepancies: what counts and transfers could not account for, whose they are, and how they end."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.domain.custody.models import DiscrepancyStatus, Resolution
from backend.errors import DomainError
from backend.ui.frame.asking import ask
from backend.ui.frame.forms import WITNESS_ADVICE, asked, typed, with_witness
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key, local_now
from backend.ui.frame.ward_choice import wards

blueprint = blueprint_of("discrepancies")
# How a discrepancy of a kind may end, in a person's words.
ENDS = {
    "count": (
        (Resolution.CORRECTION, "The ledger was wrong: take over what was counted"),
        (Resolution.LOSS, "Units are gone"),
        (Resolution.MISCOUNT, "The count was wrong: leave the ledger"),
    ),
    "transfer": (
        (Resolution.FOUND, "They turned up at the destination"),
        (Resolution.RETURNED, "They went back to the source"),
        (Resolution.LOSS, "Units are gone"),
    ),
}
ADVICE = {
    **WITNESS_ADVICE,
    "discrepancy_resolved": "Nothing is to be done.",
    "variance_outdated": "Count the ward again, and end this one as a miscount: nothing moves twice then.",
    "stock_would_be_negative": "The units have gone since the count: count the ward again.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/discrepancies")
def show_discrepancies() -> str:
    """Discrepancies, newest first: of a state, of a ward, of who looks."""
    wanted = asked("status", "ward_id", "mine", "cursor")
    mine = {"owner_id": g.actor.user_id} if wanted["mine"] else {}
    query = {name: wanted[name] for name in ("status", "ward_id", "cursor")}
    answer = ask("GET /discrepancies", query={**query, **mine})
    return render_template(
        "discrepancies.html",
        states=list(DiscrepancyStatus),
        found=[{**one, "overdue": _overdue(one)} for one in answer["items"]],
        more=answer["next_cursor"],
        places=wards(),
        wanted=wanted,
    )


def _overdue(found: dict[str, Any]) -> bool:
    due_at = datetime.fromisoformat(found["due_at"])
    return found["status"] != DiscrepancyStatus.RESOLVED and due_at < local_now()


@blueprint.get("/discrepancies/<uuid:discrepancy_id>")
def show_discrepancy(discrepancy_id: UUID) -> str:
    """One of them, and what may be done."""
    return _page(discrepancy_id, None, {})


def _page(discrepancy_id: UUID, refusal: DomainError | None, given: dict[str, str]) -> str:
    found = ask("GET /discrepancies/<uuid:discrepancy_id>", path={"discrepancy_id": discrepancy_id})
    drug = ask("GET /drugs/<uuid:drug_id>", path={"drug_id": UUID(found["drug_id"])})
    may_act = found["status"] != DiscrepancyStatus.RESOLVED and g.actor.role is Role.PHARMACIST
    mine = found["owner_id"] == str(g.actor.user_id)
    ends = [end for end in ENDS[found["kind"]] if end[0] is not Resolution.LOSS or found["variance_units"] < 0]
    return render_template(
        "discrepancy.html",
        found=found,
        drug=drug,
        overdue=_overdue(found),
        may_act=may_act,
        may_take=may_act and not (mine and found["status"] == DiscrepancyStatus.UNDER_REVIEW),
        ends=ends,
        words=dict(ENDS[found["kind"]]),
        given=given,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        key=kept_key(refusal),
    )


@blueprint.post("/discrepancies/<uuid:discrepancy_id>/assign")
def assign(discrepancy_id: UUID) -> AnyResponse | tuple[str, int]:
    """Who taps it reviews it."""
    body, where = {"owner_id": str(g.actor.user_id)}, {"discrepancy_id": discrepancy_id}
    try:
        ask("POST /discrepancies/<uuid:discrepancy_id>/assign", path=where, body=body, key=form_key())
    except DomainError as refusal:
        return _page(discrepancy_id, refusal, {}), refusal.status
    flash("It is yours now.")
    return redirect(url_for(".show_discrepancy", discrepancy_id=discrepancy_id))


@blueprint.post("/discrepancies/<uuid:discrepancy_id>/resolve")
def resolve(discrepancy_id: UUID) -> AnyResponse | tuple[str, int]:
    """Ends it, with a reason, before a witness where the drug is controlled."""
    given = {name: request.form.get(name, "").strip() for name in ("resolution", "reason")}
    where, body = {"discrepancy_id": discrepancy_id}, with_witness({**given})
    try:
        ask("POST /discrepancies/<uuid:discrepancy_id>/resolve", path=where, body=body, key=form_key())
    except DomainError as refusal:
        given["witness_email"] = typed("witness_").get("email", "")
        return _page(discrepancy_id, refusal, given), refusal.status
    flash("Resolved.")
    return redirect(url_for(".show_discrepancy", discrepancy_id=discrepancy_id))
