"""What a ward lacks to its par levels, and the transfer that brings it."""

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.api.transfers import ReplenishIn
from backend.domain.custody import replenishment
from backend.errors import DomainError
from backend.ui.frame.asking import ask
from backend.ui.frame.doing import do, ensure_may_do
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, kept_key
from backend.ui.frame.ward_choice import chosen_ward, own_wards, wards
from backend.web.parsing import load

blueprint = blueprint_of("replenishing")
ADVICE = {
    "nothing_to_replenish": "Nothing is to be done: look at the transfers on their way.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/replenishment")
def show_proposal() -> str:
    """What a ward lacks."""
    ensure_may_do(replenishment.replenish)
    return _page(chosen_ward(), None)


def _page(ward_id: str, refusal: DomainError | None) -> str:
    cursor = query_fields("cursor")["cursor"]
    found = ask("GET /stock/replenishment", query={"ward_id": ward_id, "cursor": cursor}) if ward_id else {}
    givers = sorted(wards(), key=lambda ward: ward["kind"] != "pharmacy")
    return render_template(
        "replenishment.html",
        places=own_wards(),
        givers=[ward for ward in givers if ward["id"] != ward_id],
        ward_id=ward_id,
        lines=found.get("lines", []),
        more=found.get("next_cursor"),
        cursor=cursor,
        counted=found.get("figures_hidden", False),
        source_ward_id=request.form.get("source_ward_id", ""),
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        key=kept_key(refusal),
    )


@blueprint.post("/replenishment")
def replenish() -> AnyResponse | tuple[str, int]:
    """Turns the proposal into a transfer."""
    body = {name: request.form.get(name, "").strip() for name in ("ward_id", "source_ward_id")}
    try:
        made = do(replenishment.replenish.bind(actor=g.actor, **load(ReplenishIn(), body)))
    except DomainError as refusal:
        return _page(body["ward_id"], refusal), refusal.status
    flash("Requested. No unit has moved yet.")
    return redirect(url_for("transfers.show_transfer", transfer_id=made.id))
