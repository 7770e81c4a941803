"""Wards and pharmacies: the places that hold stock, and who works there."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.domain.organizations.models import WardKind
from backend.errors import DomainError
from backend.ui.frame.asking import ask, ask_all, ensure_may
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, form_key

blueprint = blueprint_of("wards")
PAGES = 10  # of LIMIT_MAX staff, whose names stand beside their wards


@blueprint.get("/places")
def show_wards() -> str:
    """Places by name, with their staff; of more staff than one page can name, with the way to them."""
    return _page({}, None)


@blueprint.post("/places")
def open_ward() -> AnyResponse | tuple[str, int]:
    """A new one."""
    given = {name: request.form.get(name, "").strip() for name in ("name", "kind")}
    try:
        made = ask("POST /wards", body=given, key=form_key())
    except DomainError as refusal:
        return _page(given, refusal), refusal.status
    flash(f"{made['name']} is open. Add its staff next.")
    return redirect(url_for(".show_wards"))


def _page(given: dict[str, Any], refusal: DomainError | None) -> str:
    ensure_may("POST /wards")
    page = ask("GET /wards", query=query_fields("cursor"))
    users, many = ask_all("GET /users", {}, pages=PAGES)
    for ward in page["items"]:
        ward["staff"] = [user for user in users if user["active"] and ward["id"] in user["ward_ids"]]
    return render_template(
        "places.html",
        places=page["items"],
        more=page["next_cursor"],
        many=many,
        given=given,
        refusal=refusal,
        kinds=list(WardKind),
    )
