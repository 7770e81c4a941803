"""Discrepancies: what counts and transfers could not account for, whose they are, and how they end."""

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.api.discrepancies import DiscrepancyQuery, ResolveIn
from backend.domain.custody import discrepancies as domain
from backend.domain.custody import resolving
from backend.domain.custody.discrepancies import DiscrepancyView
from backend.domain.custody.models import DiscrepancyKind, DiscrepancyStatus, Resolution
from backend.errors import DomainError
from backend.ui.frame.asking import ask
from backend.ui.frame.doing import do, do_before_witness, look, page_of_query
from backend.ui.frame.forms import WITNESS_ADVICE, form_fields, query_fields
from backend.ui.frame.rendering import blueprint_of, kept_key, local_now
from backend.ui.frame.ward_choice import wards
from backend.web import cursors
from backend.web.parsing import load

blueprint = blueprint_of("discrepancies")
# How a discrepancy of a kind may end, in a person's words.
ENDS = {
    DiscrepancyKind.COUNT: (
        (Resolution.CORRECTION, "The ledger was wrong: take over what was counted"),
        (Resolution.LOSS, "Units are gone"),
        (Resolution.MISCOUNT, "The count was wrong: leave the ledger"),
    ),
    DiscrepancyKind.TRANSFER: (
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
    wanted = query_fields("status", "ward_id", "mine", "cursor")
    query = {name: wanted[name] for name in ("status", "ward_id", "cursor")}
    filters, page = page_of_query(DiscrepancyQuery(), query, cursors.BY_TIME)
    mine = {"owner_id": g.actor.user_id} if wanted["mine"] else {}
    listed = look(domain.list_discrepancies.bind(actor=g.actor, page=page, **filters, **mine))
    return render_template(
        "discrepancies.html",
        states=list(DiscrepancyStatus),
        found=[(one, _overdue(one)) for one in listed.items],
        more=cursors.encode(listed.next_key),
        places=wards(),
        wanted=wanted,
    )


def _overdue(found: DiscrepancyView) -> bool:
    return found.status is not DiscrepancyStatus.RESOLVED and found.due_at < local_now()


@blueprint.get("/discrepancies/<uuid:discrepancy_id>")
def show_discrepancy(discrepancy_id: UUID) -> str:
    """One of them, and what may be done."""
    return _page(discrepancy_id, None, {})


def _page(discrepancy_id: UUID, refusal: DomainError | None, given: dict[str, str]) -> str:
    found = look(domain.get_discrepancy.bind(actor=g.actor, discrepancy_id=discrepancy_id))
    drug = ask("GET /drugs/<uuid:drug_id>", path={"drug_id": found.drug_id})
    may_act = found.status is not DiscrepancyStatus.RESOLVED and g.actor.role in resolving.resolve.may
    mine = found.owner_id == g.actor.user_id
    ends = [end for end in ENDS[found.kind] if end[0] is not Resolution.LOSS or found.variance_units < 0]
    return render_template(
        "discrepancy.html",
        found=found,
        drug=drug,
        overdue=_overdue(found),
        may_act=may_act,
        may_take=may_act and not (mine and found.status is DiscrepancyStatus.UNDER_REVIEW),
        ends=ends,
        words=dict(ENDS[found.kind]),
        given=given,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        key=kept_key(refusal),
    )


@blueprint.post("/discrepancies/<uuid:discrepancy_id>/assign")
def assign(discrepancy_id: UUID) -> AnyResponse | tuple[str, int]:
    """Who taps it reviews it."""
    try:
        do(domain.assign.bind(actor=g.actor, discrepancy_id=discrepancy_id, owner_id=g.actor.user_id))
    except DomainError as refusal:
        return _page(discrepancy_id, refusal, {}), refusal.status
    flash("It is yours now.")
    return redirect(url_for(".show_discrepancy", discrepancy_id=discrepancy_id))


@blueprint.post("/discrepancies/<uuid:discrepancy_id>/resolve")
def resolve(discrepancy_id: UUID) -> AnyResponse | tuple[str, int]:
    """Ends it, with a reason, before a witness where the drug is controlled."""
    given = {name: request.form.get(name, "").strip() for name in ("resolution", "reason")}
    try:
        do_before_witness(
            resolving.resolve.bind(actor=g.actor, discrepancy_id=discrepancy_id, **load(ResolveIn(), given))
        )
    except DomainError as refusal:
        given["witness_email"] = form_fields("witness_").get("email", "")
        return _page(discrepancy_id, refusal, given), refusal.status
    flash("Resolved.")
    return redirect(url_for(".show_discrepancy", discrepancy_id=discrepancy_id))
