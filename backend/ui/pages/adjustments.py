"""Stock that changes outside receipts, doses and transfers: waste, loss, correction, return; and a movement undone."""

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.db.paging import LIMIT_MAX
from backend.domain.formulary.scanning import ScanUnreadable
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock.scans import ScanContradictsLot, ScannedDrugAmbiguous, ScannedDrugUnknown
from backend.errors import DomainError, ValidationFailed
from backend.ui.frame.asking import ask
from backend.ui.frame.forms import form_fields, is_code, number_of, with_witness
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key, local_now
from backend.ui.frame.ward_choice import wards
from backend.ui.pages.stock import ADVICE as STOCK_ADVICE
from backend.ui.pages.stock import drug_page

blueprint = blueprint_of("adjusting")
PHARMACIST = frozenset({Role.PHARMACIST})
LOTS_SHOWN = LIMIT_MAX  # of those that the shelf does not hold, at once
# Each reason in a person's words, and whether units may come by it.
REASONS = (
    ("waste", "Waste: broken, opened or expired"),
    ("loss", "Loss: gone, nobody knows where"),
    ("return", "Return: to the supplier, or back from a patient"),
    ("correction", "Correction: the ledger was wrong"),
)
TEXTS = ("reason", "direction", "quantity_units", "lot_id", "note", "lot_number", "cursor")
NO_PACKAGE = (ScanUnreadable, ScannedDrugUnknown, ScannedDrugAmbiguous, ScanContradictsLot, ValidationFailed)
ADVICE = {
    **STOCK_ADVICE,
    "lot_recalled": "Choose waste, loss or return, and take units away.",
    "insufficient_stock": "Look at what the shelf holds now, or count it.",
}


@blueprint.get("/stock/wards/<uuid:ward_id>/drugs/<uuid:drug_id>/adjust")
def show_adjust(ward_id: UUID, drug_id: UUID) -> str:
    """The form for a shelf."""
    return _page({"ward_id": ward_id, "drug_id": drug_id}, None, {})


def _page(where: dict[str, UUID], refusal: DomainError | None, given: dict[str, str]) -> str:
    """Render the form with what was `given`, and the lots that it offers."""
    g.actor.require(PHARMACIST)
    ward = next((ward for ward in wards() if ward["id"] == str(where["ward_id"])), None)
    if ward is None:
        raise WardNotFound()
    drug = ask("GET /drugs/<uuid:drug_id>", path={"drug_id": where["drug_id"]})
    shelves = ask("GET /stock", query=where)["items"]
    held = {lot["lot_id"]: lot for shelf in shelves for lot in shelf["lots"]}
    counted = any(shelf["figures_hidden"] for shelf in shelves)  # then any lot may lie there, expired ones too
    return render_template(
        "adjust.html",
        ward=ward,
        drug=drug,
        counted=counted,
        on_hand=None if counted else sum(shelf["on_hand_units"] for shelf in shelves),
        held=list(held.values()),
        reasons=REASONS,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        given=given,
        key=kept_key(refusal),
        **_other_lots(where["drug_id"], set(held), given, expired=counted),
        **where,
    )


def _other_lots(drug_id: UUID, held: set[str], given: dict[str, str], *, expired: bool) -> dict[str, Any]:
    """Return what the form offers beside the lots that the shelf holds.

    Those are the lots that `lot_number` finds, and a page of all others from `cursor` on, `expired` ones included where
    that is asked for. A chosen lot that is not among them is offered without its name.
    """
    query = {"drug_id": drug_id, "limit": LOTS_SHOWN, "cursor": given.get("cursor")}
    page = ask("GET /lots", query=query if expired else {**query, "expires_from": local_now().date()})
    found = _lots_called(drug_id, given["lot_number"]) if given.get("lot_number") else []
    named = held | {lot["id"] for lot in found}
    return {
        "found": [lot for lot in found if lot["id"] not in held],
        "others": [lot for lot in page["items"] if lot["id"] not in named],
        "more": page["next_cursor"],
        "nothing_found": bool(given.get("lot_number")) and not found,
        "unnamed": given.get("lot_id", "") not in {"", *named, *(lot["id"] for lot in page["items"])},
    }


def _lots_called(drug_id: UUID, what: str) -> list[dict[str, Any]]:
    """Find the lots of the drug whose number is `what`, or is in the code of a package that was scanned."""
    number = what
    try:
        if is_code(what):
            read = ask("GET /scans", query={"scan": what})
            number = read["lot_number"] if read["lot_number"] and read["drug_id"] == str(drug_id) else what
    except NO_PACKAGE:
        pass  # a number of digits alone begins like a code
    try:
        found: list[dict[str, Any]] = ask("GET /lots", query={"drug_id": drug_id, "lot_number": number})["items"]
    except ValidationFailed:  # what no lot is called: too long, or with a scanner's separators
        return []
    return found


def _looked(drug_id: UUID, verb: str, cursor: str, given: dict[str, str]) -> dict[str, str]:
    """Return what was given with the lot that is found, where it is the only one, or with the next page of lots."""
    if verb == "more":
        return {**given, "cursor": cursor}
    found = _lots_called(drug_id, given["lot_number"]) if given["lot_number"] else []
    return {**given, "lot_id": found[0]["id"]} if len(found) == 1 else given


@blueprint.post("/stock/wards/<uuid:ward_id>/drugs/<uuid:drug_id>/adjust")
def adjust(ward_id: UUID, drug_id: UUID) -> str | tuple[str, int]:
    """Changes the shelf, or only looks for a lot: what the tapped button says. The page names the lots, or says why
    not."""
    given = {name: request.form.get(name, "").strip() for name in TEXTS}
    given["lot_number"] = request.form.get("lot_number", "").strip("\r\n ")  # a scanner's separators stay
    given["witness_email"] = form_fields("witness_").get("email", "")
    verb, _, cursor = request.form.get("do", "adjust").partition(":")
    if verb != "adjust":
        return _page({"ward_id": ward_id, "drug_id": drug_id}, None, _looked(drug_id, verb, cursor, given))
    units = number_of(given["quantity_units"])
    body: dict[str, Any] = {"ward_id": str(ward_id), "drug_id": str(drug_id), "reason": given["reason"]}
    body["quantity_units"] = -units if isinstance(units, int) and given["direction"] != "add" else units
    body |= {name: given[name] for name in ("lot_id", "note") if given[name]}
    try:
        done = ask("POST /stock/adjustments", body=with_witness(body), key=form_key())
    except DomainError as refusal:
        return _page({"ward_id": ward_id, "drug_id": drug_id}, refusal, given), refusal.status
    return render_template("adjusted.html", done=done)


@blueprint.post("/stock/drugs/<uuid:drug_id>/movements/<uuid:movement_id>/correct")
def correct(drug_id: UUID, movement_id: UUID) -> AnyResponse | tuple[str, int]:
    """Undoes a movement and goes back to its drug."""
    place = {name: request.form.get(name, "").strip() for name in ("ward_id", "cursor")}
    reason = request.form.get("reason", "").strip()
    where, body = {"movement_id": movement_id}, with_witness({"reason": reason})
    try:
        ask("POST /stock/movements/<uuid:movement_id>/correct", path=where, body=body, key=form_key())
    except DomainError as refusal:
        given = {"reason": reason, "witness_email": form_fields("witness_").get("email", "")}
        return drug_page(drug_id, {**place, "undo": str(movement_id), "wards": ""}, refusal, given), refusal.status
    flash("The movement is undone by a new one; both stay in the ledger.")
    return redirect(url_for("stock.show_drug", drug_id=drug_id, ward_id=place["ward_id"] or None))
