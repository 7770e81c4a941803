"""The pharmacist's orders to verify."""

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.ui.asking import ask
from backend.ui.forms import asked
from backend.ui.pages import blueprint_of, form_key

blueprint = blueprint_of("verifying")
SHOWN_MAX = 50


@blueprint.get("/orders/to-verify")
def show_unverified() -> str:
    """Active orders that no pharmacist has verified, STAT first, then the one that is due first.

    Decision: they are read from the wards' boards. Because a board has the patient's allergies and the drug's strength,
    which a pharmacist checks, and its answer is kept ready. Cost: one question a ward.
    """
    ward_id = asked("ward_id")["ward_id"]
    wards = [ward for ward in ask("GET /wards", query={"limit": 200})["items"] if ward["kind"] == "ward"]
    orders = [order for ward in wards if ward_id in {"", ward["id"]} for order in _unverified(ward)]
    orders.sort(key=lambda order: (order["priority"] != "stat", order["due_at"]))
    return render_template(
        "to_verify.html", orders=orders[:SHOWN_MAX], total=len(orders), wards=wards, ward_id=ward_id
    )


def _unverified(ward: dict[str, Any]) -> list[dict[str, Any]]:
    board = ask("GET /mar", query={"ward_id": ward["id"]})
    return [
        {**order, "patient": patient, "ward": ward}
        for patient in board["patients"]
        for order in patient["orders"]
        if not order["verified"]
    ]


@blueprint.post("/orders/<uuid:order_id>/verify")
def verify(order_id: UUID) -> AnyResponse:
    """Verifies the order and stays on the list."""
    order = ask("POST /orders/<uuid:order_id>/verify", path={"order_id": order_id}, key=form_key())
    flash(f"Verified: {order['drug_name']} for {order['patient_name']}.")
    return redirect(url_for(".show_unverified", ward_id=asked("ward_id")["ward_id"] or None))
