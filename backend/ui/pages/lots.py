"""Lots: which there are, and one with what it touches, on hold, released or recalled."""

from typing import Any
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.domain.stock.models import LotStatus
from backend.errors import DomainError
from backend.ui.frame.asking import ask
from backend.ui.frame.downloads import download
from backend.ui.frame.forms import by, query_fields
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key, midnight
from backend.ui.frame.ward_choice import wards

blueprint = blueprint_of("lots")
LOT = "/lots/<uuid:lot_id>"
DOSES_OF = ("ward_id", "patient_id", "first", "last")  # what narrows the doses of a lot
PATIENTS_SHOWN = 20  # on the page of the lot, which links to all of them
# What the address calls a change, the operation that makes it, and what the page says afterwards.
CHANGES = {
    "hold": "The lot is on hold: nothing of it is given or sent.",
    "release": "The lot is released: it may be given again.",
    "recall": "The lot is recalled. Below is what it touches: call the patients, and take it off the shelves.",
}
ADVICE = {
    "lot_status_conflict": "Somebody else has changed it: look at it as it stands now.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/lots")
def show_lots() -> str:
    """Lots, the first to expire first."""
    wanted = query_fields("lot_number", "status", "drug_id", "cursor")
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
    lot: dict[str, Any] = ask(f"GET {LOT}", path={"lot_id": lot_id})
    return render_template(
        "lot.html",
        lot=lot,
        shown=lot["patients"][:PATIENTS_SHOWN],
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        reason=reason,
        key=kept_key(refusal),
    )


@blueprint.get("/lots/<uuid:lot_id>/doses")
def show_doses(lot_id: UUID) -> str:
    """Show everybody who was given a lot, by the ward where they lie now, and a page of its doses, newest first.

    The doses may be narrowed to a ward, to a patient, or to the days from `first` to `last`; then they alone are shown.
    """
    where, wanted = {"lot_id": lot_id}, query_fields(*DOSES_OF, "cursor")
    lot = ask(f"GET {LOT}", path=where)
    page = ask(f"GET {LOT}/doses", path=where, query={**_bounds(wanted), "cursor": wanted["cursor"]})
    called = [patient for patient in lot["patients"] if patient["doses"]]
    return render_template(
        "lot_doses.html",
        lot=lot,
        whole=not any(wanted.values()),
        wards_now=sorted(by(called, "ward_name").items(), key=lambda ward: (ward[0] is None, ward[0])),
        mistaken=[patient for patient in lot["patients"] if not patient["doses"]],
        doses=page["items"],
        more=page["next_cursor"],
        only=next((patient for patient in lot["patients"] if patient["patient_id"] == wanted["patient_id"]), None),
        places=wards(),
        wanted=wanted,
        narrowed={name: wanted[name] for name in DOSES_OF if wanted[name]},
    )


def _bounds(wanted: dict[str, str]) -> dict[str, str]:
    """What narrows the doses, as the operation takes it."""
    days = {"from": midnight(wanted["first"]), "to": midnight(wanted["last"], days_later=1)}
    return {"ward_id": wanted["ward_id"], "patient_id": wanted["patient_id"], **days}


@blueprint.get("/lots/<uuid:lot_id>/doses.csv")
def export_doses(lot_id: UUID) -> Response:
    """Return the doses of a lot as a file, narrowed as on the page."""
    return download(
        f"GET {LOT}/doses", f"doses-{lot_id}", path={"lot_id": lot_id}, query=_bounds(query_fields(*DOSES_OF))
    )


@blueprint.get("/lots/<uuid:lot_id>/patients.csv")
def export_patients(lot_id: UUID) -> Response:
    """Return everybody who was given a lot as a file."""
    return download(f"GET {LOT}/patients", f"patients-{lot_id}", path={"lot_id": lot_id}, query={})


@blueprint.post("/lots/<uuid:lot_id>/<any(hold, release, recall):change>")
def change_lot(lot_id: UUID, change: str) -> AnyResponse | tuple[str, int]:
    """Holds, releases or recalls the lot."""
    reason = request.form.get("reason", "").strip()
    body = {"reason": reason} if change != "release" else None
    try:
        ask(f"POST {LOT}/{change}", path={"lot_id": lot_id}, body=body, key=form_key())
    except DomainError as refusal:
        return _page(lot_id, refusal, reason), refusal.status
    flash(CHANGES[change])
    return redirect(url_for(".show_lot", lot_id=lot_id))
