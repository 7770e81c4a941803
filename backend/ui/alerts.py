"""Alerts: what asks for a hand, by kind, with what to do about it."""

from uuid import UUID

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.alerts.models import AlertKind
from backend.ui.asking import ask
from backend.ui.forms import asked, by
from backend.ui.pages import blueprint_of, form_key

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
    answer = ask("GET /alerts", query={"limit": 200, **asked("cursor", "ward_id")})
    found = by(answer["items"], "kind")
    groups = [(kind.value, *words, found[kind.value]) for kind, words in KINDS.items() if kind.value in found]
    return render_template("alerts.html", groups=groups, next_cursor=answer["next_cursor"])


@blueprint.post("/alerts/<uuid:alert_id>/acknowledge")
def acknowledge(alert_id: UUID) -> AnyResponse:
    """Records that it was seen."""
    ask("POST /alerts/<uuid:alert_id>/acknowledge", path={"alert_id": alert_id}, key=form_key())
    flash("Acknowledged. The alert stays until its condition ends.")
    return redirect(url_for(".show_alerts"))
