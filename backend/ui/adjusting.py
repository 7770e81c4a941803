"""Stock that changes outside receipts, doses and transfers: waste, loss, correction, return; and a movement undone."""

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.errors import DomainError
from backend.organizations.organizations import WardNotFound
from backend.ui.asking import ask, ask_all
from backend.ui.forms import number_of, typed, with_witness
from backend.ui.pages import blueprint_of, form_key, kept_key, local_now
from backend.ui.places import wards
from backend.ui.stock import ADVICE as STOCK_ADVICE
from backend.ui.stock import drug_page

blueprint = blueprint_of("adjusting")
PHARMACIST = frozenset({Role.PHARMACIST})
LOT_PAGES = 5
# Each reason in a person's words, and whether units may come by it.
REASONS = (
    ("waste", "Waste: broken, opened or expired"),
    ("loss", "Loss: gone, nobody knows where"),
    ("return", "Return: to the supplier, or back from a patient"),
    ("correction", "Correction: the ledger was wrong"),
)
TEXTS = ("reason", "direction", "quantity_units", "lot_id", "note")
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
    g.actor.require(PHARMACIST)
    ward = next((ward for ward in wards() if ward["id"] == str(where["ward_id"])), None)
    if ward is None:
        raise WardNotFound()
    drug = ask("GET /drugs/<uuid:drug_id>", path={"drug_id": where["drug_id"]})
    shelves = ask("GET /stock", query=where)["items"]
    held = {lot["lot_id"]: lot for shelf in shelves for lot in shelf["lots"]}
    known, _ = ask_all("GET /lots", {"drug_id": where["drug_id"]}, pages=LOT_PAGES)
    today = local_now().date().isoformat()
    counted = any(shelf["figures_hidden"] for shelf in shelves)  # then any lot may lie there, expired ones too
    return render_template(
        "adjust.html",
        ward=ward,
        drug=drug,
        counted=counted,
        on_hand=None if counted else sum(shelf["on_hand_units"] for shelf in shelves),
        held=list(held.values()),
        others=[lot for lot in known if lot["id"] not in held and (counted or lot["expires_on"] >= today)],
        reasons=REASONS,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        given=given,
        key=kept_key(refusal),
        **where,
    )


@blueprint.post("/stock/wards/<uuid:ward_id>/drugs/<uuid:drug_id>/adjust")
def adjust(ward_id: UUID, drug_id: UUID) -> str | tuple[str, int]:
    """Changes the shelf; the page names the lots, or says why not."""
    given = {name: request.form.get(name, "").strip() for name in TEXTS}
    units = number_of(given["quantity_units"])
    body: dict[str, Any] = {"ward_id": str(ward_id), "drug_id": str(drug_id), "reason": given["reason"]}
    body["quantity_units"] = -units if isinstance(units, int) and given["direction"] != "add" else units
    body |= {name: given[name] for name in ("lot_id", "note") if given[name]}
    try:
        done = ask("POST /stock/adjustments", body=with_witness(body), key=form_key())
    except DomainError as refusal:
        given["witness_email"] = typed("witness_").get("email", "")
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
        given = {"reason": reason, "witness_email": typed("witness_").get("email", "")}
        return drug_page(drug_id, {**place, "undo": str(movement_id), "wards": ""}, refusal, given), refusal.status
    flash("The movement is undone by a new one; both stay in the ledger.")
    return redirect(url_for("stock.show_drug", drug_id=drug_id, ward_id=place["ward_id"] or None))
