"""The nurse's pages: her wards, the board, a dose to give or not to give."""

from typing import Any
from uuid import UUID

import orjson
from flask import flash, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.errors import DomainError
from backend.ui.frame.asking import answer_of, ask
from backend.ui.frame.boards import whole_board
from backend.ui.frame.forms import form_fields, number_of, query_fields, with_witness
from backend.ui.frame.navigation import tabs
from backend.ui.frame.rendering import blueprint_of, form_key
from backend.ui.frame.ward_choice import own_wards
from backend.ui.pages.rounds import ADVICE, due_of

blueprint = blueprint_of("board")


@blueprint.get("/")
def start() -> AnyResponse:
    """Where the work of who signed in begins: a nurse's first ward, else the first tab."""
    wards = ask("GET /me")["wards"] if g.actor.role is Role.NURSE else []
    if wards:
        return redirect(url_for(".show_board", ward_id=wards[0]["id"]))
    first = next((tab.endpoint for tab, _ in tabs()), "board.show_wards")
    return redirect(url_for(first))


@blueprint.get("/awake")
def stay_awake() -> AnyResponse:
    """Nothing to see: asking is a use of the screen; as a poll, it says whether the screen is locked by now."""
    return make_response("", 204)


@blueprint.get("/boards")
def show_wards() -> str:
    """The wards, each with its board."""
    return render_template("wards.html", wards=own_wards())


@blueprint.get("/wards/<uuid:ward_id>")
def show_board(ward_id: UUID) -> str:
    """The board of a ward; of a ward with very many orders a page of it."""
    answer = answer_of("GET /mar", query={"ward_id": ward_id, **query_fields("cursor")})
    return render_template("board.html", wards=own_wards(), etag=answer.etag, **_board(answer.body))


@blueprint.get("/wards/<uuid:ward_id>/board")
def poll_board(ward_id: UUID) -> AnyResponse:
    """The part of the board that changes; 304 while it has not."""
    answer = answer_of("GET /mar", query={"ward_id": ward_id, **query_fields("cursor")})
    etag = answer.etag or ""
    if etag in request.if_none_match:
        return make_response("", 304)
    response = make_response(render_template("_board.html", **_board(answer.body)))
    response.set_etag(etag)
    return response


def _board(body: bytes) -> dict[str, Any]:
    board = orjson.loads(body)
    for patient in board["patients"]:
        patient["due"] = due_of(patient)
    due = [order for patient in board["patients"] for order in patient["due"]]
    overdue = sum(order["due_state"] == "overdue" for patient in board["patients"] for order in patient["orders"])
    here = query_fields("cursor")["cursor"]
    return {"board": board, "due": due, "overdue": overdue, "may_give": g.actor.role is Role.NURSE, "cursor": here}


def _find(ward_id: UUID, order_id: UUID) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The patient and the order, as the ward's board has them; None where the order is not active any more."""
    for patient in whole_board(ward_id)["patients"]:
        for order in patient["orders"]:
            if order["order_id"] == str(order_id):
                return patient, order
    return None


@blueprint.get("/orders/<uuid:order_id>/give")
def show_give(order_id: UUID) -> str:
    """The dose that would be given, and what is asked for it."""
    return _give_page(order_id, None, {})


def _give_page(order_id: UUID, refusal: DomainError | None, given: dict[str, str]) -> str:
    order = ask("GET /orders/<uuid:order_id>", path={"order_id": order_id})
    found = _find(UUID(order["ward_id"]), order_id)
    advice = ADVICE.get(refusal.code, "") if refusal is not None else ""
    if found is None:
        return render_template("closed.html", order=order, refusal=refusal)
    patient, due = found
    return render_template(
        "give.html", order=order, patient=patient, due=due, refusal=refusal, advice=advice, given=given
    )


@blueprint.post("/orders/<uuid:order_id>/give")
def give(order_id: UUID) -> str | tuple[str, int]:
    """Gives the dose; the page names the lots, or says why not."""
    body: dict[str, Any] = {"dose": number_of(request.form.get("dose", "1"))}
    scan, reason = request.form.get("scan", "").strip("\r\n "), request.form.get("override_reason", "").strip()
    if scan:
        body["scan"] = scan
    if reason:
        body["override_reason"] = reason
    body = with_witness(body)
    try:
        done = ask("POST /orders/<uuid:order_id>/fulfill", path={"order_id": order_id}, body=body, key=form_key())
    except DomainError as refusal:
        given = {"scan": scan, "override_reason": reason, "witness_email": form_fields("witness_").get("email", "")}
        return _give_page(order_id, refusal, given), refusal.status
    order = ask("GET /orders/<uuid:order_id>", path={"order_id": order_id})
    return render_template("given.html", done=done, order=order)


@blueprint.post("/orders/<uuid:order_id>/skip")
def skip(order_id: UUID) -> AnyResponse | tuple[str, int]:
    """Records that the dose is not given, and why."""
    body = {"reason": request.form.get("reason", ""), "dose": number_of(request.form.get("dose", "1"))}
    note = request.form.get("note", "").strip()
    if note:
        body["note"] = note
    try:
        ask("POST /orders/<uuid:order_id>/skip", path={"order_id": order_id}, body=body, key=form_key())
    except DomainError as refusal:
        return _give_page(order_id, refusal, {"note": note}), refusal.status
    order = ask("GET /orders/<uuid:order_id>", path={"order_id": order_id})
    flash(f"Recorded as {body['reason']}: {order['drug_name']} for {order['patient_name']}. Nothing was taken.")
    return redirect(url_for(".show_board", ward_id=order["ward_id"]))
