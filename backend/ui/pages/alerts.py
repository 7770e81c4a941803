"""Alerts: what asks for a hand, by kind, with what to do about it."""

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.db.paging import LIMIT_MAX
from backend.domain.alerts.models import AlertKind
from backend.ui.frame.asking import ask
from backend.ui.frame.forms import by, query_fields
from backend.ui.frame.rendering import blueprint_of, form_key
from backend.ui.frame.ward_choice import wards

blueprint = blueprint_of("alerts")
# The most urgent kind first: its title and what to do.
KINDS = {
    AlertKind.OUT: ("Out of stock", "Bring the ward back to its par levels."),
    AlertKind.EXPIRED: ("Expired", "Take it off the shelf and record it as waste."),
    AlertKind.LOW: ("Low", "Bring the ward back to its par levels."),
    AlertKind.DISCREPANCY: ("Discrepancies that are overdue", "Find out what happened and resolve it."),
    AlertKind.IN_TRANSIT: ("Too long on the way", "Ask the ward whether it arrived, and receive it."),
    AlertKind.EXPIRING: ("Expiring", "Use it first, or send it to a ward that uses more of it."),
}


@blueprint.get("/alerts")
def show_alerts() -> str:
    """Open alerts, newest first in each kind."""
    wanted = query_fields("ward_id", "cursor")
    answer = ask("GET /alerts", query={"limit": LIMIT_MAX, **wanted})
    places = wards()
    kinds = {ward["id"]: ward["kind"] for ward in places}
    alerts = [{**alert, "step": _step(alert, kinds.get(alert["ward_id"], ""))} for alert in answer["items"]]
    found = by(alerts, "kind")
    return render_template(
        "alerts.html",
        groups=[(kind.value, *words, found[kind.value]) for kind, words in KINDS.items() if kind.value in found],
        more=answer["next_cursor"],
        places=places,
        ward_id=wanted["ward_id"],
    )


def _step(alert: dict[str, Any], ward_kind: str) -> tuple[str, str] | None:
    """What to tap next, and the page where that is done; None where who looks cannot do it."""
    ward_id, pharmacist = alert["ward_id"], g.actor.role is Role.PHARMACIST
    staff = pharmacist or g.actor.role is Role.NURSE
    match AlertKind(alert["kind"]):
        case AlertKind.OUT | AlertKind.LOW if pharmacist and ward_kind == "pharmacy":
            return "Receive", url_for("receiving.show_receive", ward_id=ward_id)
        case AlertKind.OUT | AlertKind.LOW if staff:
            return "Replenish", url_for("replenishing.show_proposal", ward_id=ward_id)
        case AlertKind.EXPIRED if pharmacist:
            return "Take it off", url_for("adjusting.show_adjust", ward_id=ward_id, drug_id=alert["drug_id"])
        case AlertKind.EXPIRING if pharmacist:
            return "Send it on", url_for("transfers.show_request", source_ward_id=ward_id)
        case AlertKind.IN_TRANSIT if staff:
            return "Look at it", url_for("transfers.show_transfer", transfer_id=alert["transfer_id"])
        case AlertKind.DISCREPANCY if pharmacist:
            return "Resolve it", url_for("discrepancies.show_discrepancy", discrepancy_id=alert["discrepancy_id"])
    return None


@blueprint.post("/alerts/<uuid:alert_id>/acknowledge")
def acknowledge(alert_id: UUID) -> AnyResponse:
    """Records that it was seen."""
    ask("POST /alerts/<uuid:alert_id>/acknowledge", path={"alert_id": alert_id}, key=form_key())
    flash("Marked as seen. The alert stays until its condition ends.")
    return redirect(url_for(".show_alerts", ward_id=query_fields("ward_id")["ward_id"] or None))
