"""Transfers between wards, and what a ward lacks."""

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.errors import DomainError
from backend.transfers.models import TransferStatus
from backend.ui.asking import ask
from backend.ui.forms import asked, number_of, typed
from backend.ui.pages import blueprint_of, form_key

blueprint = blueprint_of("transfers")
ADVICE = {
    "insufficient_stock": "Send less of it, or receive more stock first.",
    "receiver_is_dispatcher": "Ask a colleague to receive it.",
    "transfer_status_conflict": "Somebody was faster: look at where it stands now.",
    "nothing_to_replenish": "Nothing is to be done.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


def _wards() -> list[dict[str, Any]]:
    wards: list[dict[str, Any]] = ask("GET /wards", query={"limit": 200})["items"]
    return wards


@blueprint.get("/transfers")
def show_transfers() -> str:
    """Transfers, newest first, of one state or of all."""
    wanted = asked("status", "cursor")
    answer = ask("GET /transfers", query=wanted)
    return render_template("transfers.html", states=list(TransferStatus), status=wanted["status"], **answer)


@blueprint.get("/transfers/new")
def show_request() -> str:
    """First the two wards, then what the giving one has."""
    return _request_page(asked("source_ward_id", "destination_ward_id", "q", "cursor"), None, {})


def _request_page(wanted: dict[str, str], refusal: DomainError | None, given: dict[str, str]) -> str:
    shelves: dict[str, Any] = {"items": [], "next_cursor": None}
    if wanted["source_ward_id"]:
        shelves = ask(
            "GET /stock", query={"ward_id": wanted["source_ward_id"], "q": wanted["q"], "cursor": wanted["cursor"]}
        )
    return render_template(
        "transfer_request.html", wards=_wards(), wanted=wanted, refusal=refusal, given=given, **shelves
    )


@blueprint.post("/transfers/new")
def send_request() -> AnyResponse | tuple[str, int]:
    """Requests what was filled in."""
    wanted, units = asked("source_ward_id", "destination_ward_id", "q", "cursor"), typed("units_")
    wards = {name: wanted[name] for name in ("source_ward_id", "destination_ward_id")}
    lines = [{"drug_id": drug_id, "quantity_units": number_of(value)} for drug_id, value in units.items()]
    try:
        made = ask("POST /transfers", body={**wards, "lines": lines}, key=form_key())
    except DomainError as refusal:
        return _request_page(wanted, refusal, units), refusal.status
    flash("Requested. No unit has moved yet.")
    return redirect(url_for(".show_transfer", transfer_id=made["id"]))


@blueprint.get("/replenishment")
def show_proposal() -> str:
    """What a ward lacks to its par levels."""
    return _proposal_page(asked("ward_id")["ward_id"], None)


def _proposal_page(ward_id: str, refusal: DomainError | None) -> str:
    lines = ask("GET /stock/replenishment", query={"ward_id": ward_id})["lines"] if ward_id else []
    wards = sorted(_wards(), key=lambda ward: ward["kind"] != "pharmacy")
    return render_template(
        "replenishment.html", wards=wards, ward_id=ward_id, lines=lines, refusal=refusal, advice=ADVICE
    )


@blueprint.post("/replenishment")
def replenish() -> AnyResponse | tuple[str, int]:
    """Turns the proposal into a transfer."""
    body = {name: request.form.get(name, "") for name in ("ward_id", "source_ward_id")}
    try:
        made = ask("POST /stock/replenishment", body=body, key=form_key())
    except DomainError as refusal:
        return _proposal_page(body["ward_id"], refusal), refusal.status
    flash("Requested. No unit has moved yet.")
    return redirect(url_for(".show_transfer", transfer_id=made["id"]))


@blueprint.get("/transfers/<uuid:transfer_id>")
def show_transfer(transfer_id: UUID) -> str:
    """Where every unit of it is, and what may be done next."""
    return _transfer_page(transfer_id, None, {})


def _transfer_page(transfer_id: UUID, refusal: DomainError | None, given: dict[str, str]) -> str:
    transfer = ask("GET /transfers/<uuid:transfer_id>", path={"transfer_id": transfer_id})
    return render_template("transfer.html", transfer=transfer, refusal=refusal, given=given, advice=ADVICE)


def _change(name: str, transfer_id: UUID, lines: list[dict[str, Any]], done: str) -> AnyResponse | tuple[str, int]:
    body = {"lines": lines} if lines else {}
    try:
        ask(f"POST /transfers/<uuid:transfer_id>/{name}", path={"transfer_id": transfer_id}, body=body, key=form_key())
    except DomainError as refusal:
        return _transfer_page(transfer_id, refusal, typed("units_")), refusal.status
    flash(done)
    return redirect(url_for(".show_transfer", transfer_id=transfer_id))


@blueprint.post("/transfers/<uuid:transfer_id>/dispatch")
def dispatch(transfer_id: UUID) -> AnyResponse | tuple[str, int]:
    """Sends everything, or of each drug what the form says; an empty field sends none."""
    units = {name.removeprefix("units_"): value for name, value in request.form.items() if name.startswith("units_")}
    lines = [{"drug_id": drug_id, "quantity_units": number_of(value or "0")} for drug_id, value in units.items()]
    return _change("dispatch", transfer_id, lines, "Dispatched. It is on the way until somebody else receives it.")


@blueprint.post("/transfers/<uuid:transfer_id>/receive")
def receive(transfer_id: UUID) -> AnyResponse | tuple[str, int]:
    """Receives everything, or of each lot what the form says; an empty field is refused, since it may be forgotten."""
    lines = [
        {"drug_id": drug_id, "lot_id": lot_id, "quantity_units": number_of(value)}
        for name, value in request.form.items()
        if name.startswith("units_")
        for drug_id, _, lot_id in [name.removeprefix("units_").partition("_")]
    ]
    return _change("receive", transfer_id, lines, "Received. What is short became a discrepancy.")


@blueprint.post("/transfers/<uuid:transfer_id>/cancel")
def cancel(transfer_id: UUID) -> AnyResponse | tuple[str, int]:
    """Ends a transfer that was not dispatched."""
    return _change("cancel", transfer_id, [], "Cancelled. No unit has moved.")
