"""Receiving: a delivery line by line, scanned or searched for, or as a CSV file.

The lines that are not received yet travel in the form itself: every button sends them all, and nothing is kept between.
"""

from typing import Any

from flask import g, render_template, request
from werkzeug.datastructures import FileStorage

from backend.actor import Role
from backend.api.delivery_csv import COLUMNS, in_file, lines_of
from backend.errors import DomainError, ValidationFailed
from backend.ui.frame.asking import ask
from backend.ui.frame.forms import WITNESS_ADVICE, form_fields, is_code, number_of, query_fields, with_witness
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key
from backend.ui.frame.ward_choice import wards
from backend.web.fields import Body, Id
from backend.web.parsing import load

blueprint = blueprint_of("receiving")
PHARMACIST = frozenset({Role.PHARMACIST})
DRUGS_FOUND = 20
SHOWN = ("drug_id", "drug_name", "scan", "lot_number", "expires_on", "quantity_units")
SENT = ("drug_id", "lot_number", "expires_on")
ADVICE = {
    "lot_not_available": "Put this lot aside: nothing of it may be added.",
    "scan_contradicts_lot": "Look at the package again, and take the line out where it is wrong.",
    "scan_unreadable": "Scan again, or search for the drug by its name.",
    "scanned_drug_ambiguous": "Search for the drug by its name, and correct the codes of the formulary.",
    "scanned_drug_unknown": "Search for the drug by its name, and add the code to the formulary.",
    **WITNESS_ADVICE,
    "busy": "Nothing is known to have changed. Tap again: nothing is received twice.",
}


class Chosen(Body):
    """Which ward or drug."""

    ward_id = Id(required=True)


class Picked(Body):
    """The drug of a new line."""

    drug_id = Id(required=True)


@blueprint.get("/stock/receive")
def show_receive() -> str:
    """An empty delivery."""
    g.actor.require(PHARMACIST)
    return _page(query_fields("ward_id")["ward_id"], [])


def _page(
    ward_id: str,
    lines: list[dict[str, str]],
    *,
    found: dict[str, Any] | None = None,
    what: str = "",
    refusal: DomainError | None = None,
    bad_rows: list[tuple[str, str, str]] | None = None,
) -> str:
    return render_template(
        "receive.html",
        places=wards(),
        ward_id=ward_id,
        lines=lines,
        found=found,
        what=what,
        columns=sorted(COLUMNS),
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        bad_rows=bad_rows,
        witnessed=ask("GET /organization")["custody_witness_required"],
        witness_email=form_fields("witness_").get("email", ""),
        key=kept_key(refusal),
    )


@blueprint.post("/stock/receive")
def change_delivery() -> str | tuple[str, int]:
    """Finds a drug or more drugs, adds or takes out a line, or receives all: what the tapped button says."""
    g.actor.require(PHARMACIST)
    ward_id, what = (request.form.get(name, "").strip("\r\n ") for name in ("ward_id", "what"))
    verb, _, which = request.form.get("do", "find").partition(":")
    lines = _lines()
    try:
        if verb == "receive":
            return render_template("received.html", **_receive(ward_id, lines))
        if verb == "add":
            lines.append(_line_of(which))
        elif verb == "more":
            what = request.form.get("searched", "").strip()
            return _page(ward_id, lines, found=_drugs_called(what, which), what=what)
        elif verb == "remove":
            lines = [line for number, line in enumerate(lines) if str(number) != which]
        elif is_code(what):
            lines.append(_line_scanned(what))
        elif what:
            return _page(ward_id, lines, found=_drugs_called(what, ""), what=what)
    except DomainError as refusal:
        return _page(ward_id, lines, what=what, refusal=refusal), refusal.status
    return _page(ward_id, lines)


def _drugs_called(name: str, cursor: str) -> dict[str, Any]:
    """Read a page of the drugs that a name finds."""
    page: dict[str, Any] = ask("GET /drugs", query={"q": name, "limit": DRUGS_FOUND, "cursor": cursor})
    return page


def _lines() -> list[dict[str, str]]:
    """Read the lines of the form. Raises ValidationFailed where one lacks a field: the fields of the lines after it
    would then be taken for those of others."""
    columns = [[cell.strip("\r\n ") for cell in request.form.getlist(name)] for name in SHOWN]
    if len({len(cells) for cells in columns}) > 1:
        raise ValidationFailed.of("lines", "a field of the form did not arrive: open the page anew")
    return [dict(zip(SHOWN, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _line_of(drug_id: str) -> dict[str, str]:
    drug = ask("GET /drugs/<uuid:drug_id>", path=load(Picked(), {"drug_id": drug_id}))
    return {**dict.fromkeys(SHOWN, ""), "drug_id": drug["id"], "drug_name": f"{drug['name']} {drug['strength']}"}


def _line_scanned(scan: str) -> dict[str, str]:
    read = ask("GET /scans", query={"scan": scan})
    line = {**dict.fromkeys(SHOWN, ""), "drug_id": read["drug_id"], "scan": scan}
    line["drug_name"] = f"{read['drug_name']} {read['strength']}"
    return line | {name: read[name] for name in ("lot_number", "expires_on") if read[name]}


def _receive(ward_id: str, lines: list[dict[str, str]]) -> dict[str, Any]:
    """One line alone is checked against its scan; of several the lot is what was scanned or typed."""
    sent = [
        {**{name: line[name] for name in SENT}, "quantity_units": number_of(line["quantity_units"])} for line in lines
    ]
    if len(lines) == 1:
        scanned = {"scan": lines[0]["scan"]} if lines[0]["scan"] else {}
        body: dict[str, Any] = {"ward_id": ward_id, **sent[0], **scanned}
        receipts = [ask("POST /stock/receipts", body=with_witness(body), key=form_key())]
    else:
        body = {"ward_id": ward_id, "lines": sent}
        try:
            receipts = ask("POST /stock/deliveries", body=with_witness(body), key=form_key())["receipts"]
        except DomainError as refusal:
            raise in_file(refusal, range(1, len(lines) + 1)) from None
    return {"receipts": receipts, "ward_id": ward_id}


@blueprint.post("/stock/receive/csv")
def receive_csv() -> str | tuple[str, int]:
    """Receives every line of a file, or none; what is wrong is shown with its line."""
    g.actor.require(PHARMACIST)
    ward_id, upload = request.form.get("ward_id", "").strip(), request.files.get("file", FileStorage())
    raw = upload.read()
    try:
        load(Chosen(), {"ward_id": ward_id})  # what is wrong with the ward is told before what is wrong with the file
        numbers, lines = lines_of(raw)
        body = {"ward_id": ward_id, "lines": lines}
        try:
            done = ask("POST /stock/deliveries", body=with_witness(body), key=form_key())
        except DomainError as refusal:
            raise in_file(refusal, numbers) from None
    except DomainError as refusal:
        return _page(ward_id, [], refusal=refusal, bad_rows=_bad_rows(refusal, raw)), refusal.status
    return render_template("received.html", ward_id=ward_id, **done)


def _bad_rows(refusal: DomainError, raw: bytes) -> list[tuple[str, str, str]]:
    """Of each bad line of the file its number, what stands in it, and what is wrong with it."""
    text = raw.decode("utf-8-sig", errors="replace").splitlines()
    wrong = [("", refusal.detail)] if "line" in refusal.members else []
    places = [str(refusal.members["line"])] if wrong else []
    for error in refusal.members.get("errors", ()):
        line, _, field = error["pointer"].removeprefix("/lines/").partition("/")
        if error["pointer"].startswith("/lines/") and line.isdecimal():
            places.append(line)
            wrong.append((field.replace("_", " "), error["detail"]))
    return [
        (line, text[int(line) - 1][:200] if int(line) <= len(text) else "", ": ".join(filter(None, said)))
        for line, said in zip(places, wrong, strict=True)
    ]
