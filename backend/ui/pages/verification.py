"""The pharmacist's orders to verify."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.domain.orders.cautions import review_orders
from backend.errors import DomainError
from backend.ui.frame.asking import ask
from backend.ui.frame.boards import whole_board
from backend.ui.frame.doing import look
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, form_key
from backend.ui.frame.ward_choice import wards
from backend.web.cursors import BY_RANK, encode, page_request

blueprint = blueprint_of("verifying")
SHOWN_MAX = 50
ADVICE = {
    "order_already_completed": "Nothing is to be verified any more.",
    "order_discontinued": "Nothing is to be verified any more.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/orders/to-verify")
def show_orders() -> str:
    """Active orders that no pharmacist has verified, STAT first, then the one that is due first; a page of them."""
    return _page(None)


def _page(refusal: DomainError | None) -> str:
    """Decision: orders are read from the wards' boards. Because a board has the patient's allergies and the drug's
    strength, which a pharmacist checks, and its answer is kept ready. Cost: one question a ward."""
    g.actor.require(frozenset({Role.PHARMACIST}))
    wanted = query_fields("ward_id", "cursor")
    ward_id, after = wanted["ward_id"], page_request(None, wanted["cursor"] or None, BY_RANK).after
    places = [ward for ward in wards() if ward["kind"] == "ward"]
    orders = [order for ward in places if ward_id in {"", ward["id"]} for order in _unverified(ward)]
    orders.sort(key=_rank)
    rest = [order for order in orders if after is None or _rank(order) > after]
    shown = rest[:SHOWN_MAX]
    reviews = look(review_orders.bind(actor=g.actor, order_ids=[UUID(order["id"]) for order in shown])) if shown else {}
    return render_template(
        "to_verify.html",
        orders=[{**order, "review": reviews[UUID(order["id"])]} for order in shown if UUID(order["id"]) in reviews],
        total=len(orders),
        earlier=len(orders) - len(rest),
        more=encode(_rank(shown[-1])) if len(rest) > SHOWN_MAX else None,
        cursor=wanted["cursor"],
        places=places,
        ward_id=ward_id,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
    )


def _rank(order: dict[str, Any]) -> tuple[int, datetime, UUID]:
    """The place of an order on the list."""
    return int(order["priority"] != "stat"), datetime.fromisoformat(order["due_at"]), UUID(order["id"])


def _unverified(ward: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for patient in whole_board(ward["id"])["patients"]:
        for order in patient["orders"]:
            if not order["verified"]:
                yield {**order, "id": order["order_id"], "patient": patient, "ward_name": ward["name"]}


@blueprint.post("/orders/<uuid:order_id>/verify")
def verify(order_id: UUID) -> AnyResponse | tuple[str, int]:
    """Verifies the order and stays on the list."""
    try:
        order = ask("POST /orders/<uuid:order_id>/verify", path={"order_id": order_id}, key=form_key())
    except DomainError as refusal:
        return _page(refusal), refusal.status
    flash(f"Verified: {order['drug_name']} for {order['patient_name']}.")
    here = query_fields("ward_id", "cursor")
    return redirect(url_for(".show_orders", ward_id=here["ward_id"] or None, cursor=here["cursor"] or None))
