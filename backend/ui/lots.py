"""Lots: which there are, and one with what it touches, on hold, released or recalled."""

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.errors import DomainError
from backend.stock.models import LotStatus
from backend.ui.asking import ask
from backend.ui.forms import asked
from backend.ui.pages import blueprint_of, form_key, kept_key

blueprint = blueprint_of("lots")
# What the address calls a change, the operation that makes it, and what the page says afterwards.
CHANGES = {
    "hold": "The lot is on hold: nothing of it is given or sent.",
    "release": "The lot is released: it may be given again.",
    "recall": "The lot is recalled. Below is what it touches.",
}
ADVICE = {
    "lot_status_conflict": "Somebody else has changed it: look at it as it stands now.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/lots")
def show_lots() -> str:
    """Lots, the first to expire first."""
    wanted = asked("lot_number", "status", "drug_id", "cursor")
    page = ask("GET /lots", query=wanted)
    return render_template(
        "lots.html",
        lots=page["items"],
        more=page["next_cursor"],
        states=list(LotStatus),
        may_open=g.actor.role is Role.PHARMACIST,
        **wanted,
    )


@blueprint.get("/lots/<uuid:lot_id>")
def show_lot(lot_id: UUID) -> str:
    """A lot and what it touches."""
    return _page(lot_id, None, "")


def _page(lot_id: UUID, refusal: DomainError | None, reason: str) -> str:
    lot: dict[str, Any] = ask("GET /lots/<uuid:lot_id>", path={"lot_id": lot_id})
    return render_template(
        "lot.html",
        lot=lot,
        patients=len({dose["patient_id"] for dose in lot["doses"] if dose["entered_in_error_at"] is None}),
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        reason=reason,
        key=kept_key(refusal),
    )


@blueprint.post("/lots/<uuid:lot_id>/<any(hold, release, recall):change>")
def change_lot(lot_id: UUID, change: str) -> AnyResponse | tuple[str, int]:
    """Holds, releases or recalls the lot."""
    reason = request.form.get("reason", "").strip()
    body = {"reason": reason} if change != "release" else None
    try:
        ask(f"POST /lots/<uuid:lot_id>/{change}", path={"lot_id": lot_id}, body=body, key=form_key())
    except DomainError as refusal:
        return _page(lot_id, refusal, reason), refusal.status
    flash(CHANGES[change])
    return redirect(url_for(".show_lot", lot_id=lot_id))
