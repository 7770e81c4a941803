"""Transfers between wards."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.api.transfers import ArrivalIn, DispatchIn, TransferIn, TransferQuery, arrived_of, sent_of, wanted_of
from backend.domain.custody import transfer_queries as queries
from backend.domain.custody import transfers
from backend.domain.custody.blind import hidden_from
from backend.domain.custody.models import TransferStatus
from backend.domain.stock.level_queries import LevelView, get_levels
from backend.errors import DomainError
from backend.ui.frame.asking import ask
from backend.ui.frame.doing import do, do_before_witness, ensure_may_do, look, page_of_query
from backend.ui.frame.forms import WITNESS_ADVICE, form_fields, in_names, number_of, query_fields
from backend.ui.frame.rendering import blueprint_of, kept_key
from backend.ui.frame.ward_choice import acts_for, own_wards, wards
from backend.web import cursors
from backend.web.fields import Body, Id, Several
from backend.web.parsing import load

blueprint = blueprint_of("transfers")
CHOSEN_MAX = 500  # drugs to read at once: more than one transfer takes
LOTS_TYPED_MAX = 100  # of more lots, only those that did not arrive in full are typed
ADVICE = {
    "insufficient_stock": "Send less of it, or receive more stock first.",
    "receiver_is_dispatcher": "Ask a colleague to receive it.",
    **WITNESS_ADVICE,
    "transfer_status_conflict": "Somebody was faster: look at where it stands now.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


@blueprint.get("/transfers")
def show_transfers() -> str:
    """Transfers, newest first, of one state or of all, from a ward or to it."""
    wanted = query_fields("status", "source_ward_id", "destination_ward_id", "cursor")
    filters, page = page_of_query(TransferQuery(), wanted, cursors.BY_TIME)
    listed = look(queries.list_transfers.bind(actor=g.actor, page=page, **filters))
    return render_template(
        "transfers.html",
        states=list(TransferStatus),
        transfers=listed.items,
        more=cursors.encode(listed.next_key),
        places=wards(),
        wanted=wanted,
        may_request=g.actor.role in transfers.request_transfer.may,
    )


@blueprint.get("/transfers/new")
def show_request() -> str:
    """First the two wards, then what the giving one has."""
    ensure_may_do(transfers.request_transfer)
    return _request_page(None, {}, "")


def _request_page(refusal: DomainError | None, units: dict[str, str], cursor: str) -> str:
    """The form; what was chosen and is not among the shelves shown stays chosen."""
    chosen, q = query_fields("source_ward_id", "destination_ward_id"), request.form.get("q", "").strip()
    shelves: dict[str, Any] = {"items": [], "next_cursor": None}
    source_ward_id = chosen["source_ward_id"]
    if all(chosen.values()):
        shelves = ask("GET /stock", query={"ward_id": source_ward_id, "q": q, "cursor": cursor})
    shown = {shelf["drug_id"] for shelf in shelves["items"]}
    kept = [drug_id for drug_id in units if drug_id not in shown]
    sources = wards()
    return render_template(
        "transfer_request.html",
        sources=sources,
        destinations=own_wards(sources),
        chosen=chosen,
        q=q,
        units=units,
        kept=_shelves(source_ward_id, kept),
        shelves=shelves["items"],
        more=shelves["next_cursor"],
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        key=kept_key(refusal),
    )


class Chosen(Body):
    """Check the ward and the drugs that were chosen already."""

    ward_id = Id(required=True)
    drug_ids = Several(Id(), most=CHOSEN_MAX, required=True)


def _shelves(ward_id: str, drug_ids: list[str]) -> list[LevelView]:
    """Read the shelves of these drugs on the ward at once. Raises ValidationFailed for what is no id."""
    if not ward_id or not drug_ids:
        return []
    wanted = load(Chosen(), {"ward_id": ward_id, "drug_ids": drug_ids})
    return look(get_levels.bind(actor=g.actor, hides=hidden_from(g.actor), **wanted))


@blueprint.post("/transfers/new")
def send_request() -> AnyResponse | str | tuple[str, int]:
    """Requests what was filled in; with the button "look" only looks for more."""
    ensure_may_do(transfers.request_transfer)
    units = form_fields("units_")
    if "look" in request.form:
        return _request_page(None, units, request.form["look"])
    lines = [{"drug_id": drug_id, "quantity_units": number_of(value)} for drug_id, value in units.items()]
    try:
        body = load(TransferIn(), {**query_fields("source_ward_id", "destination_ward_id"), "lines": lines})
        made = do(transfers.request_transfer.bind(actor=g.actor, **wanted_of(body)))
    except DomainError as refusal:
        names = {drug_id: request.form.get(f"name_{drug_id}", "") for drug_id in units}
        return _request_page(in_names(refusal, list(units), names), units, ""), refusal.status
    flash("Requested. No unit has moved yet.")
    return redirect(url_for(".show_transfer", transfer_id=made.id))


@blueprint.get("/transfers/<uuid:transfer_id>")
def show_transfer(transfer_id: UUID) -> str:
    """Where every unit of it is, and what may be done next."""
    return render_template("transfer.html", **_of_transfer(transfer_id))


def _of_transfer(transfer_id: UUID) -> dict[str, Any]:
    """The transfer, and which steps are open to who sits at the screen."""
    transfer = look(queries.get_transfer.bind(actor=g.actor, transfer_id=transfer_id))
    here = acts_for(str(transfer.destination_ward_id))
    controlled = any(line.controlled for line in transfer.lines)
    return {
        "transfer": transfer,
        "may_dispatch": transfer.status is TransferStatus.REQUESTED and g.actor.role is Role.PHARMACIST,
        "may_cancel": transfer.status is TransferStatus.REQUESTED and here,
        "may_receive": transfer.status is TransferStatus.DISPATCHED and here,
        "witnessed": controlled and ask("GET /organization")["custody_witness_required"],
        "only_short": sum(len(line.lots) for line in transfer.lines) > LOTS_TYPED_MAX,
        "missing": sum(line.dispatched_units - line.received_units for line in transfer.lines),
    }


def _refused(transfer_id: UUID, step: str, refusal: DomainError, sent: Sequence[str] = ()) -> tuple[str, int]:
    """The transfer's page with what was wrong; `sent` are the drugs of what was sent, in its order."""
    found = _of_transfer(transfer_id)
    names = {str(line.drug_id): line.drug_name for line in found["transfer"].lines}
    about, advice = names.get(refusal.members.get("drug_id", "")), ADVICE.get(refusal.code, "")
    return render_template(
        "transfer.html",
        **found,
        refusal=in_names(refusal, sent, names),
        refused_step=step,
        advice=f"{about}: {advice}" if about else advice,
        units={name: value for name, value in request.form.items() if name.startswith("units_")},
        witness_email=form_fields("witness_").get("email", ""),
        key=kept_key(refusal),
    ), refusal.status


def _done(transfer_id: UUID, what: str) -> AnyResponse:
    flash(what)
    return redirect(url_for(".show_transfer", transfer_id=transfer_id))


@blueprint.post("/transfers/<uuid:transfer_id>/dispatch")
def dispatch(transfer_id: UUID) -> AnyResponse | tuple[str, int]:
    """Sends everything, or of each drug what the form says; an empty field sends none."""
    units = {name.removeprefix("units_"): value for name, value in request.form.items() if name.startswith("units_")}
    lines = [
        {"drug_id": drug_id, "quantity_units": number_of(value.strip() or "0")} for drug_id, value in units.items()
    ]
    try:
        sent = sent_of(load(DispatchIn(), {"lines": lines} if lines else {}))
        do_before_witness(transfers.dispatch.bind(actor=g.actor, transfer_id=transfer_id, sent=sent))
    except DomainError as refusal:
        return _refused(transfer_id, "dispatch", refusal, list(units))
    return _done(transfer_id, "Dispatched. It is on the way until somebody else receives it.")


@blueprint.post("/transfers/<uuid:transfer_id>/receive")
def receive(transfer_id: UUID) -> AnyResponse | tuple[str, int]:
    """Receives everything, or of each lot what the form says.

    An empty field is refused, since it may be forgotten, unless the form says that the rest arrived as it was sent.
    """
    rest_as_sent = "rest_as_sent" in request.form
    lines = [
        {"drug_id": drug_id, "lot_id": lot_id, "quantity_units": number_of(value)}
        for name, value in request.form.items()
        if name.startswith("units_") and (value.strip() or not rest_as_sent)
        for drug_id, _, lot_id in [name.removeprefix("units_").partition("_")]
    ]
    try:
        arrived = arrived_of(load(ArrivalIn(), {"lines": lines} if lines else {}))
        do_before_witness(
            transfers.receive_transfer.bind(
                actor=g.actor, transfer_id=transfer_id, arrived=arrived, rest_as_sent=rest_as_sent
            )
        )
    except DomainError as refusal:
        return _refused(transfer_id, "receive", refusal, [str(line["drug_id"]) for line in lines])
    return _done(transfer_id, "Received.")


@blueprint.post("/transfers/<uuid:transfer_id>/cancel")
def cancel(transfer_id: UUID) -> AnyResponse | tuple[str, int]:
    """Ends a transfer that was not dispatched."""
    try:
        do(transfers.cancel.bind(actor=g.actor, transfer_id=transfer_id))
    except DomainError as refusal:
        return _refused(transfer_id, "cancel", refusal)
    return _done(transfer_id, "Cancelled. No unit has moved.")
