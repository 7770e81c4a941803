"""A medication round: what is due on a ward, or for one patient of it, read again, ticked and given together."""

from typing import Any
from uuid import UUID

from flask import g, render_template, request
from werkzeug.datastructures import MultiDict

from backend.domain.administrations.rounds import FULFILLED, ORDERS_MAX
from backend.domain.orders.queries import get_orders
from backend.errors import DomainError
from backend.ui.frame.asking import ask, ensure_may
from backend.ui.frame.boards import whole_board
from backend.ui.frame.doing import look
from backend.ui.frame.forms import WITNESS_ADVICE, number_of, query_fields
from backend.ui.frame.rendering import blueprint_of, form_key

blueprint = blueprint_of("rounds")
# What to do about a refusal, where the problem's own words do not say it.
ADVICE = {
    "insufficient_stock": "Ask the pharmacy for more, or record the dose as unavailable.",
    "order_not_verified": "Ask a pharmacist to verify the order.",
    **WITNESS_ADVICE,
    "dose_too_soon": "Wait, or ask the doctor.",
    "scan_contradicts": "Put this package back and take the one that is named.",
    "scan_unreadable": "Scan again, or leave the field empty.",
    "busy": "Nothing is known to have changed. Tap again: the dose is not given twice.",
}


def due_of(patient: dict[str, Any]) -> list[dict[str, Any]]:
    """The patient's orders that a round can take: due, and nothing to ask the nurse about them."""
    return [order for order in patient["orders"] if _is_due(order) and not _alone(order)]


def _is_due(order: dict[str, Any]) -> bool:
    return bool(order["due_state"] != "upcoming" and order["priority"] != "prn")


def _alone(order: dict[str, Any]) -> str:
    """Why the dose is given by itself; empty where it may go along."""
    if order["controlled"]:
        return "Controlled drugs are given one by one."
    if not order["figures_hidden"] and order["on_hand_units"] < order["quantity_units"]:
        return "The ward has too little."
    return ""


@blueprint.get("/wards/<uuid:ward_id>/round")
def show_round(ward_id: UUID) -> str:
    """What the round would give, each dose to tick; those of high-alert drugs are not ticked yet."""
    return _page(ward_id, None)


def _page(ward_id: UUID, refusal: DomainError | None) -> str:
    ensure_may("POST /fulfillments")
    patient_id = query_fields("patient_id")["patient_id"]
    board = whole_board(ward_id)
    rows = [
        {**patient, "due": due_of(patient), "alone": [(order, _alone(order)) for order in _due_alone(patient)]}
        for patient in board["patients"]
        if patient_id in {"", patient["patient_id"]}
    ]
    shown = [patient for patient in rows if patient["due"] or patient["alone"]]
    return render_template(
        "round.html",
        board=board,
        patients=shown,
        patient_id=patient_id,
        due=sum(len(patient["due"]) for patient in shown),
        most=ORDERS_MAX,
        refusal=refusal,
    )


def _due_alone(patient: dict[str, Any]) -> list[dict[str, Any]]:
    return [order for order in patient["orders"] if _is_due(order) and _alone(order)]


@blueprint.post("/wards/<uuid:ward_id>/round")
def go_round(ward_id: UUID) -> str | tuple[str, int]:
    """Gives everything that was ticked; the page says of each what became of it."""
    try:
        results = ask("POST /fulfillments", body=_ticked(request.form), key=form_key())["results"]
    except DomainError as refusal:
        return _page(ward_id, refusal), refusal.status
    given = [result for result in results if result["outcome"] == FULFILLED]
    refused = _with_orders([result for result in results if result["outcome"] != FULFILLED])
    return render_template("round_given.html", ward_id=ward_id, given=given, refused=refused, advice=ADVICE)


def _with_orders(refused: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each refused result with its `order`, None where there is none; all are read at once."""
    order_ids = [UUID(result["order_id"]) for result in refused]
    found = look(get_orders.bind(actor=g.actor, order_ids=order_ids)) if refused else []
    orders = {order.id: order for order in found}
    return [{**result, "order": orders.get(UUID(result["order_id"]))} for result in refused]


def _ticked(form: MultiDict[str, str]) -> dict[str, Any]:
    """The round's body: `order/dose` for each tick, so that nobody's next dose is given for the one that was read."""
    ticks = [tick.partition("/") for tick in form.getlist("tick")]
    doses = [{"order_id": order_id, "dose": number_of(dose)} for order_id, _, dose in ticks]
    return {"order_ids": [order_id for order_id, _, _ in ticks], "doses": doses}
