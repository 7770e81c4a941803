"""Stock: the shelves of a ward, and one drug with its levels, lots, ledger and charts."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.domain.stock.adjustments import CORRECTABLE
from backend.domain.stock.level_queries import ExpiryHorizon, StockState
from backend.domain.stock.models import LotStatus
from backend.errors import DomainError
from backend.ui.frame.asking import ask, ask_from
from backend.ui.frame.forms import WITNESS_ADVICE, number_of, query_fields
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key, local_now
from backend.ui.frame.ward_choice import chosen_ward, wards
from backend.ui.pages.trends import consumption_by_day, stock_over_time

blueprint = blueprint_of("stock")
SHELF_PAGES = 1  # of LIMIT_MAX wards, on the page of a drug
ADVICE = {
    **WITNESS_ADVICE,
    "stock_would_be_negative": "Look at what the shelf holds now, or count it.",
    "movement_already_corrected": "Nothing is to be done.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/stock")
def show_stock() -> str:
    """Shelves by drug name: of a ward, with a search, in a state."""
    wanted = {**query_fields("q", "state", "cursor"), "ward_id": chosen_ward()}
    page = ask("GET /stock", query=wanted)
    today = local_now().date()
    shelves = [{**shelf, **signs_of(shelf, today)} for shelf in page["items"]]
    return render_template(
        "stock.html", places=wards(), states=list(StockState), shelves=shelves, more=page["next_cursor"], **wanted
    )


def signs_of(shelf: dict[str, Any], today: date) -> dict[str, Any]:
    """What asks for attention on a shelf, as the chips of its line say it, and the first day on which a lot expires;
    of hidden figures, nothing."""
    soon = ExpiryHorizon.DAYS_30.end(today)
    days = [date.fromisoformat(lot["expires_on"]) for lot in shelf["lots"]]
    return {
        "out": shelf["available_units"] == 0,
        "low": not shelf["figures_hidden"] and shelf["on_hand_units"] <= shelf["reorder_point_units"],
        "expired": any(day < today for day in days),
        "expiring": any(today <= day <= soon for day in days),
        "kept_back": any(lot["status"] != LotStatus.AVAILABLE for lot in shelf["lots"]),
        "next_expiry": min((day for day in days if day >= today), default=None),
    }


@blueprint.get("/stock/drugs/<uuid:drug_id>")
def show_drug(drug_id: UUID) -> str:
    """One drug in the hospital, or on the ward that the address names."""
    return drug_page(drug_id, query_fields("ward_id", "cursor", "undo", "wards"), None, {})


def drug_page(drug_id: UUID, wanted: dict[str, str], refusal: DomainError | None, given: dict[str, str]) -> str:
    """The page of a drug. `wanted` has ward_id, the cursors of the ledger and of the wards, and the movement to undo;
    `given` is what was typed."""
    drug = ask("GET /drugs/<uuid:drug_id>", path={"drug_id": drug_id})
    now, ward_id = local_now(), wanted["ward_id"]
    where = {"drug_id": str(drug_id), "ward_id": ward_id}
    shelves, more_wards = ask_from("GET /stock", {"drug_id": drug_id}, pages=SHELF_PAGES, cursor=wanted["wards"])
    everywhere = [{**shelf, **signs_of(shelf, now.date())} for shelf in shelves]
    here = [shelf for shelf in everywhere if ward_id in {"", shelf["ward_id"]}]
    whole = not (wanted["wards"] or more_wards)
    if ward_id and not (whole or here):
        here = [{**shelf, **signs_of(shelf, now.date())} for shelf in ask("GET /stock", query=where)["items"]]
    line = here[0]["reorder_point_units"] if ward_id and here else None
    ledger = ask("GET /stock/movements", query={**where, "cursor": wanted["cursor"]})
    return render_template(
        "drug.html",
        drug=drug,
        ward=next((ward for ward in wards() if ward["id"] == ward_id), None),
        shelves=everywhere,
        here=here,
        lots=[{**lot, "ward_name": shelf["ward_name"]} for shelf in here for lot in shelf["lots"]],
        today=now.date().isoformat(),
        soon=(now.date() + timedelta(days=30)).isoformat(),
        movements=ledger["items"],
        more=ledger["next_cursor"],
        undoing=next((line for line in ledger["items"] if line["id"] == wanted["undo"]), None),
        correctable=CORRECTABLE,
        whole=whole or bool(ward_id),
        from_ward=wanted["wards"],
        more_wards=more_wards,
        levels=stock_over_time(here, **where, line=line, now=now) if whole or ward_id else None,
        used=consumption_by_day(where, now.date())[1],
        first=query_fields("first")["first"],
        may_change=g.actor.role is Role.PHARMACIST,
        cursor=wanted["cursor"],
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        given=given,
        key=kept_key(refusal),
    )


@blueprint.post("/stock/drugs/<uuid:drug_id>/levels")
def set_levels(drug_id: UUID) -> AnyResponse | tuple[str, int]:
    """Sets the reorder point and par of the drug on a ward."""
    ward_id = request.form.get("ward_id", "")
    given = {name: request.form.get(name, "").strip() for name in ("reorder_point_units", "par_level_units")}
    body = {
        "ward_id": ward_id,
        "drug_id": str(drug_id),
        **{name: number_of(text) for name, text in given.items()},
    }
    try:
        ask("PUT /stock/levels", body=body, key=form_key())
    except DomainError as refusal:
        return drug_page(
            drug_id, {"ward_id": ward_id, "cursor": "", "undo": "", "wards": ""}, refusal, given
        ), refusal.status
    flash("The levels are set.")
    return redirect(url_for(".show_drug", drug_id=drug_id, ward_id=ward_id))
