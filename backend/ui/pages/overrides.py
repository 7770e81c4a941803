"""Override lists: what a ward may give before a pharmacist has verified it; and the review of what was given so."""

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.domain.orders.models import OverrideStatus
from backend.errors import DomainError
from backend.ui.frame.asking import ask
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, form_key
from backend.ui.frame.ward_choice import chosen_ward, wards

blueprint = blueprint_of("overriding")
DRUGS_FOUND = 20
NOTHING_SOUGHT = {"q": "", "drugs": "", "cursor": ""}
ADVICE = {
    "override_drug_listed": "Nothing is to be done.",
    "override_already_reviewed": "Nothing is to be done.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/override-list")
def show_list() -> str:
    """The drugs on the lists, of one ward where it is chosen; a pharmacist may search for another to add."""
    return _list_page({**query_fields("q", "drugs", "cursor"), "ward_id": chosen_ward()}, None)


def _list_page(wanted: dict[str, str], refusal: DomainError | None) -> str:
    """Render the list from `cursor` on, and of the drugs that `q` finds those from the cursor `drugs` on."""
    page = ask("GET /override-drugs", query={"ward_id": wanted["ward_id"], "cursor": wanted["cursor"]})
    may_change = g.actor.role is Role.PHARMACIST
    found = None
    if may_change and wanted["ward_id"] and wanted["q"]:
        found = ask("GET /drugs", query={"q": wanted["q"], "limit": DRUGS_FOUND, "cursor": wanted["drugs"]})
    places = wards()
    return render_template(
        "override_list.html",
        places=places,
        ward=next((ward for ward in places if ward["id"] == wanted["ward_id"]), None),
        entries=page["items"],
        more=page["next_cursor"],
        found=found,
        may_change=may_change,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        **wanted,
    )


@blueprint.post("/override-list")
def add_drug() -> AnyResponse | tuple[str, int]:
    """Puts a drug on a ward's list."""
    given = {name: request.form.get(name, "").strip() for name in ("ward_id", "drug_id")}
    try:
        entry = ask("POST /override-drugs", body=given, key=form_key())
    except DomainError as refusal:
        return _list_page({**NOTHING_SOUGHT, "ward_id": given["ward_id"]}, refusal), refusal.status
    flash(f"{entry['drug_name']} is on the list of {entry['ward_name']}.")
    return redirect(url_for(".show_list", ward_id=given["ward_id"]))


@blueprint.post("/override-list/<uuid:entry_id>/remove")
def remove_drug(entry_id: UUID) -> AnyResponse | tuple[str, int]:
    """Takes a drug off its list."""
    ward_id = request.form.get("ward_id", "").strip()
    try:
        ask("DELETE /override-drugs/<uuid:entry_id>", path={"entry_id": entry_id}, key=form_key())
    except DomainError as refusal:
        return _list_page({**NOTHING_SOUGHT, "ward_id": ward_id}, refusal), refusal.status
    flash("The drug is off the list: the ward waits for the verification.")
    return redirect(url_for(".show_list", ward_id=ward_id))


@blueprint.get("/overrides")
def show_overrides() -> str:
    """Doses given from unverified orders; those to review unless the address says otherwise."""
    return _overrides_page(None)


def _overrides_page(refusal: DomainError | None) -> str:
    wanted = query_fields("ward_id", "status", "cursor")
    if "status" not in request.args:
        wanted["status"] = OverrideStatus.PENDING.value
    page = ask("GET /overrides", query=wanted)
    return render_template(
        "overrides.html",
        places=wards(),
        states=list(OverrideStatus),
        overrides=page["items"],
        more=page["next_cursor"],
        may_review=g.actor.role is Role.PHARMACIST,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        **wanted,
    )


@blueprint.post("/overrides/<uuid:override_id>/review")
def review(override_id: UUID) -> AnyResponse | tuple[str, int]:
    """Says whether the override was appropriate."""
    note = request.form.get("note", "").strip()
    body = {"verdict": request.form.get("verdict", ""), **({"note": note} if note else {})}
    try:
        ask("POST /overrides/<uuid:override_id>/review", path={"override_id": override_id}, body=body, key=form_key())
    except DomainError as refusal:
        return _overrides_page(refusal), refusal.status
    flash("Reviewed.")
    return redirect(url_for(".show_overrides"))
