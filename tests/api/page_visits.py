"""One valid visit of every page, with every field that names something.

What a page reads of its address or its form, and is not given here, must be in PLAIN: a field that names nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backend.actor import Role
from backend.domain.identity import passkeys
from backend.domain.identity.sign_in.webauthn import Made
from backend.domain.stock.models import LotStatus
from tests.api.claims_requests import a_file, a_run
from tests.api.custody_requests import a_given_lot, a_new_lot, a_patient, a_request, an_open_count, one_of, unique
from tests.api.valid_requests import VALID, login_for
from tests.hospital import PASSWORD, Hospital

# Words, numbers, days, choices and cursors of a second list; the key of a form and its mark against forgery.
PLAIN = {
    *("csrf_token", "key", "next", "q", "found", "what", "do", "look", "complete", "status", "state", "kind"),
    *("table", "first", "last", "after", "members", "wards", "scope", "mine", "as_of", "adjust", "confirmed"),
    *("scan", "override_reason", "reason"),
    *("note", "dose", "direction", "priority", "route", "dose_text", "doses", "interval", "period", "first_due_at"),
    *("outgoing", "verdict", "active", "name", "password", "again", "new_password", "secret", "otp", "lot_number"),
    *("expires_on", "quantity_units", "drug_name", "theme", "time_zone", "reorder_point_units", "par_level_units"),
    *("min_volume", "baseline_days", "current_days", "resolution", "dose_window_minutes", "discrepancy_hours"),
    *(
        "transit_hours",
        "rest_as_sent",
        "searched",
        "drugs",
        "verification_required",
        "witness_required",
        "custody_witness_required",
        "second_factor_roles",
        "file",
        "after_line",
        "role",
    ),
}
NEXT_PAGE = "says only which page of ours comes next"


@dataclass
class Visit:
    """Who asks for a page and with what, and the status of the answer."""

    login: str = "pharmacist"
    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)
    file: bytes | None = None
    status: int = 200


Make = Callable[[Hospital], Visit]


def look(login: str = "pharmacist", **query: Any) -> Make:
    """A page that is only looked at; `query` are texts, or the attributes of the hospital that `of` names."""
    return lambda h: Visit(login, query={k: getattr(h, v.name) if isinstance(v, of) else v for k, v in query.items()})


@dataclass(frozen=True)
class of:  # noqa: N801 - reads as a word
    """An attribute of the hospital."""

    name: str


WARD, DRUG, PATIENT = of("ward_id"), of("drug_id"), of("patient_id")


def like(operation: str, *, also: dict[str, str] | None = None, **changes: Any) -> Make:
    """The page that sends what the valid request of `operation` sends and `also`, by who may send it.

    `changes` of the visit go over it: values, or functions of the hospital and the visit so far.
    """

    def visit(hospital: Hospital) -> Visit:
        ask = VALID[operation](hospital)
        body = ask.body or {}
        made = Visit(login_for(operation), dict(ask.path), dict(ask.query), {**_fields(body), **(also or {})})
        for name, value in changes.items():
            setattr(made, name, value(hospital, made) if callable(value) else value)
        return made

    return visit


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of a form for what a body says."""
    fields = {name: value for name, value in body.items() if not isinstance(value, dict | list) and value is not False}
    fields |= {f"witness_{name}": value for name, value in body.get("witness", {}).items()}
    for line in body.get("lines", ()):
        ids = "_".join(str(line[name]) for name in ("drug_id", "lot_id") if name in line)
        fields[f"units_{ids}"] = line["quantity_units"]
    return {**fields, **({"ward_ids": body["ward_ids"]} if "ward_ids" in body else {})}


def _somebody(role: Role, **values: Any) -> Make:
    """By one whose sign-in nobody else needs."""

    def visit(hospital: Hospital) -> Visit:
        login = unique("one-off").replace(" ", "-")
        hospital.add_staff(login, role)
        return Visit(login, **values)

    return visit


def _a_passkey_of_mine(hospital: Hospital) -> Visit:
    visit = _somebody(Role.DOCTOR, form={"password": PASSWORD})(hospital)  # who signs in with a second factor
    actor = hospital.staff[visit.login]
    made = Made(unique("key").encode(), b"the public half", 0, ["usb"], backed_up=False)
    hospital.run(lambda session: passkeys.add_passkey(session, actor=actor, made=made, name="Stick"), actor)
    mine = hospital.rows("SELECT id FROM passkeys WHERE user_id = :p1", actor.user_id)
    visit.path["passkey_id"] = mine[0][0]
    return visit


def _shelf(hospital: Hospital) -> dict[str, Any]:
    return {"ward_id": hospital.ward_id, "drug_id": hospital.drug_id}


def _adjusting(hospital: Hospital, visit: Visit) -> dict[str, Any]:
    moved = visit.form.pop("quantity_units")
    for name in ("ward_id", "drug_id"):
        del visit.form[name]
    visit.form |= {"quantity_units": -moved, "direction": "take"}
    return _shelf(hospital)


def _line(hospital: Hospital) -> dict[str, Any]:
    return {"drug_id": hospital.drug_id, "drug_name": "x", "scan": "", "lot_number": unique("L"),
            "expires_on": "2031-05-31", "quantity_units": "3"}  # fmt: skip


def _lines(hospital: Hospital) -> dict[str, Any]:
    return {name: [str(value), str(_line(hospital)[name])] for name, value in _line(hospital).items()}


def _counted(hospital: Hospital) -> Visit:
    count_id, lot_id = an_open_count(hospital)
    return Visit("pharmacist", path={"count_id": count_id}, form={f"units_{lot_id}_": "5"})


def _order(hospital: Hospital) -> Visit:
    wanted = {"patient_id": a_patient(hospital), "drug_id": hospital.drug_id, "ward_id": hospital.ward_id}
    return Visit("doctor", form={**wanted, "quantity_units": "1", "priority": "routine", "doses": "1"})


def _round(hospital: Hospital) -> Visit:
    hospital.receive(1)
    ticks = [f"{hospital.place()}/1"]
    where, beside = {"ward_id": hospital.ward_id}, {"patient_id": hospital.patient_id}
    return Visit("nurse", where, beside, {"tick": ticks})


def _undo(hospital: Hospital, visit: Visit) -> dict[str, Any]:
    visit.form |= {"ward_id": hospital.ward_id}
    return {**visit.path, "drug_id": hospital.drug_id}


def _remove(hospital: Hospital) -> Visit:
    ask = VALID["DELETE /override-drugs/<uuid:entry_id>"](hospital)
    return Visit("pharmacist", ask.path, form={"ward_id": hospital.ward_id})


def _movement(hospital: Hospital) -> Any:
    return hospital.rows("SELECT id FROM stock_movements WHERE drug_id = :p1 LIMIT 1", hospital.drug_id)[0][0]


TEAM = "/patients/<uuid:patient_id>/care-team"
LOT = "/lots/<uuid:lot_id>"
DOSE = "/administrations/<uuid:administration_id>"
CHANGE_LOT = f"POST {LOT}/<any(hold, release, recall):change>"
# "METHOD rule # what it does there", where a page does several things -> its visit
PAGES: dict[str, Make] = {
    "GET /": look("nurse"),
    "GET /boards": look("nurse"),
    "GET /wards/<uuid:ward_id>": lambda h: Visit("nurse", {"ward_id": h.ward_id}),
    "GET /wards/<uuid:ward_id>/board": lambda h: Visit("nurse", {"ward_id": h.ward_id}),
    "GET /wards/<uuid:ward_id>/round": lambda h: Visit("nurse", {"ward_id": h.ward_id}, {"patient_id": h.patient_id}),
    "POST /wards/<uuid:ward_id>/round": _round,
    "GET /orders/<uuid:order_id>/give": like("POST /orders/<uuid:order_id>/fulfill", form={}),
    "POST /orders/<uuid:order_id>/give": like("POST /orders/<uuid:order_id>/fulfill"),
    "POST /orders/<uuid:order_id>/skip": like("POST /orders/<uuid:order_id>/skip"),
    "GET /orders/to-verify": look(ward_id=WARD),
    "POST /orders/<uuid:order_id>/verify": like(
        "POST /orders/<uuid:order_id>/verify", query=lambda h, _: {"ward_id": h.ward_id}
    ),
    "GET /patients": look("nurse", ward_id=WARD),
    "POST /patients": lambda h: Visit("nurse", form={"q": "okaf", "ward_id": h.ward_id}),
    "GET /patients/<uuid:patient_id>": like("GET /patients/<uuid:patient_id>"),
    "GET /patients/<uuid:patient_id>/orders": like("GET /patients/<uuid:patient_id>"),
    "GET /doses/<uuid:administration_id>": like(f"GET {DOSE}"),
    "POST /doses/<uuid:administration_id>/error": like(f"POST {DOSE}/entered-in-error"),
    "POST /doses/<uuid:administration_id>/remainder # waste": like(f"POST {DOSE}/waste", also={"kind": "waste"}),
    "POST /doses/<uuid:administration_id>/remainder # return": like(f"POST {DOSE}/return", also={"kind": "return"}),
    f"GET {TEAM}": like(f"GET {TEAM}", login="admin"),
    f"POST {TEAM}": like(f"POST {TEAM}"),
    f"GET {TEAM}/primary": like(
        f"PUT {TEAM}/primary", form={}, query=lambda h, _: {"provider_id": h.staff["doctor"].user_id}
    ),
    f"POST {TEAM}/primary": like(f"PUT {TEAM}/primary"),
    f"GET {TEAM}/<uuid:assignment_id>/remove": like(f"DELETE {TEAM}/<uuid:assignment_id>"),
    f"POST {TEAM}/<uuid:assignment_id>/remove": like(f"DELETE {TEAM}/<uuid:assignment_id>"),
    "GET /prescribing": look("doctor"),
    "GET /prescribing/orders/<uuid:order_id>": like("GET /orders/<uuid:order_id>", login="doctor"),
    "POST /prescribing/orders/<uuid:order_id>/discontinue": like("POST /orders/<uuid:order_id>/discontinue"),
    "GET /prescribing/new": look("doctor", patient_id=PATIENT, drug_id=DRUG),
    "GET /prescribing/new # for whom": look("doctor"),
    "GET /prescribing/new # of what": look("doctor", patient_id=PATIENT),
    "POST /prescribing/new": _order,
    "POST /prescribing/patients": lambda h: Visit("doctor", form={"q": "okaf", "drug_id": h.drug_id}),
    "GET /stock": look(ward_id=WARD),
    "GET /stock/drugs/<uuid:drug_id>": lambda h: Visit(
        path={"drug_id": h.drug_id}, query={"ward_id": h.ward_id, "undo": _movement(h)}
    ),
    "POST /stock/drugs/<uuid:drug_id>/levels": like(
        "PUT /stock/levels", path=lambda h, v: {"drug_id": v.form.pop("drug_id")}
    ),
    "POST /stock/drugs/<uuid:drug_id>/movements/<uuid:movement_id>/correct": like(
        "POST /stock/movements/<uuid:movement_id>/correct",
        path=_undo,
    ),
    "GET /stock/wards/<uuid:ward_id>/drugs/<uuid:drug_id>/adjust": lambda h: Visit(path=_shelf(h)),
    "POST /stock/wards/<uuid:ward_id>/drugs/<uuid:drug_id>/adjust": like("POST /stock/adjustments", path=_adjusting),
    "GET /stock/receive": look(ward_id=WARD),
    "POST /stock/receive # a line": lambda h: Visit(form={"ward_id": h.ward_id, "do": "receive", **_line(h)}),
    "POST /stock/receive # lines": lambda h: Visit(form={"ward_id": h.ward_id, "do": "receive", **_lines(h)}),
    "POST /stock/receive # a drug": lambda h: Visit(form={"ward_id": h.ward_id, "do": f"add:{h.drug_id}"}),
    "POST /stock/receive/csv": lambda h: Visit(
        form={"ward_id": h.ward_id}, file=VALID["POST /wards/<uuid:ward_id>/deliveries"](h).data
    ),
    "GET /lots": look(drug_id=DRUG),
    f"GET {LOT}": lambda h: Visit(path={"lot_id": one_of(h, "lots", a_new_lot)}),
    f"GET {LOT}/doses": lambda h: Visit(path=a_given_lot(h), query={"ward_id": h.ward_id, "patient_id": h.patient_id}),
    f"GET {LOT}/doses.csv": lambda h: Visit(
        path=a_given_lot(h), query={"ward_id": h.ward_id, "patient_id": h.patient_id}
    ),
    f"GET {LOT}/patients.csv": lambda h: Visit(path=a_given_lot(h)),
    f"{CHANGE_LOT} # hold": lambda h: Visit(path={**a_new_lot(h), "change": "hold"}, form={"reason": "cold"}),
    f"{CHANGE_LOT} # release": lambda h: Visit(path={**a_new_lot(h, LotStatus.ON_HOLD), "change": "release"}),
    f"{CHANGE_LOT} # recall": lambda h: Visit(path={**a_new_lot(h), "change": "recall"}, form={"reason": "glass"}),
    "GET /override-list": look(ward_id=WARD),
    "POST /override-list": like("POST /override-drugs"),
    "POST /override-list/<uuid:entry_id>/remove": _remove,
    "GET /overrides": look(ward_id=WARD, status=""),
    "POST /overrides/<uuid:override_id>/review": like("POST /overrides/<uuid:override_id>/review"),
    "GET /charts": look(ward_id=WARD),
    "GET /transfers": look(source_ward_id=WARD, destination_ward_id=WARD),
    "GET /transfers/new": lambda h: Visit(query={"source_ward_id": h.ward_id, "destination_ward_id": h.add_ward()}),
    "POST /transfers/new": lambda h: Visit(
        query={"source_ward_id": h.ward_id, "destination_ward_id": h.add_ward()},
        form={f"units_{h.drug_id}": "1"},
    ),
    "GET /transfers/<uuid:transfer_id>": lambda h: Visit(path={"transfer_id": one_of(h, "stock_transfers", a_request)}),
    "POST /transfers/<uuid:transfer_id>/dispatch": like("POST /transfers/<uuid:transfer_id>/dispatch"),
    "POST /transfers/<uuid:transfer_id>/receive": like("POST /transfers/<uuid:transfer_id>/receive"),
    "POST /transfers/<uuid:transfer_id>/cancel": like("POST /transfers/<uuid:transfer_id>/cancel"),
    "GET /replenishment": look(ward_id=WARD),
    "POST /replenishment": like("POST /stock/replenishment"),
    "GET /counts": look(),
    "POST /counts": like("POST /counts"),
    "GET /counts/<uuid:count_id>": lambda h: Visit(path={"count_id": one_of(h, "stock_counts", an_open_count)}),
    "POST /counts/<uuid:count_id>/lines": _counted,
    "POST /counts/<uuid:count_id>/cancel": like("POST /counts/<uuid:count_id>/cancel"),
    "GET /discrepancies": look(ward_id=WARD),
    "GET /discrepancies/<uuid:discrepancy_id>": like("GET /discrepancies/<uuid:discrepancy_id>"),
    "POST /discrepancies/<uuid:discrepancy_id>/assign": like(
        "POST /discrepancies/<uuid:discrepancy_id>/assign", form={}
    ),
    "POST /discrepancies/<uuid:discrepancy_id>/resolve": like("POST /discrepancies/<uuid:discrepancy_id>/resolve"),
    "GET /alerts": like("GET /alerts"),
    "POST /alerts/<uuid:alert_id>/acknowledge": like(
        "POST /alerts/<uuid:alert_id>/acknowledge", query=lambda h, _: {"ward_id": h.ward_id}
    ),
    "GET /register": look(),
    "GET /register/<uuid:drug_id>": lambda h: Visit(path={"drug_id": h.drug_id}, query={"ward_id": h.ward_id}),
    "GET /staff": look("admin", ward_id=WARD),
    "GET /staff/new": look("admin"),
    "POST /staff/new": like("POST /users"),
    "GET /staff/<uuid:user_id>": lambda h: Visit("admin", {"user_id": h.staff["spare"].user_id}),
    "POST /staff/<uuid:user_id>": like(
        "PATCH /users/<uuid:user_id>", form=lambda h, visit: {**visit.form, "had_ward_ids": [str(h.ward_id)]}
    ),
    "POST /staff/<uuid:user_id>/second-factor": like("DELETE /users/<uuid:user_id>/second-factor"),
    "GET /places": look("admin"),
    "POST /places": like("POST /wards"),
    "GET /policies": look("admin"),
    "POST /policies": like("PATCH /organization"),
    "GET /audit": lambda h: Visit(
        "admin",
        query={"table": "wards", "row_id": h.ward_id, "actor_id": h.staff["admin"].user_id},
    ),
    "GET /drift": look("admin"),
    "POST /drift": like("POST /drift/runs"),
    "POST /drift/claims": lambda h: Visit("admin", file=a_file(h)),
    "GET /drift/runs/<uuid:run_id>": lambda h: Visit("admin", {"run_id": a_run(h)}),
    "GET /drift/runs/<uuid:run_id>/events.csv": lambda h: Visit("admin", {"run_id": a_run(h)}),
    "GET /account": look(),
    "POST /account/password": _somebody(Role.NURSE, form={"password": "not it", "new_password": PASSWORD}, status=422),
    "POST /account/sign-out-everywhere": _somebody(Role.NURSE),
    "POST /account/sign-ins/<uuid:token_id>/end": like(
        "DELETE /me/tokens/<uuid:token_id>",
        path=lambda h, visit: {"token_id": visit.path["token_id"][h.staff[visit.login].user_id]},
    ),
    "POST /account/passkeys/options": _somebody(Role.NURSE, form={"name": "Key", "password": "not it"}, status=404),
    "POST /account/passkeys": _somebody(Role.NURSE, form={"name": "Key", "credential": "{}"}, status=403),
    "POST /account/passkeys/<uuid:passkey_id>/remove": _a_passkey_of_mine,
    "GET /account/second-factor": look(),
    "POST /account/second-factor": _somebody(Role.NURSE, form={"secret": "x", "otp": "000000"}, status=403),
    "POST /account/second-factor/remove": _somebody(Role.NURSE, form={"password": "not it"}, status=403),
    "GET /sign-in": look(),
    "GET /lock": look(),
    "POST /lock": _somebody(Role.NURSE),
    "POST /unlock": _somebody(Role.NURSE, form={"password": PASSWORD}),
    "POST /sign-out": _somebody(Role.NURSE),
    "POST /theme": look(),
}
# Fields of a page in which a foreign value is not refused, each with the reason.
UNHEEDED = {
    "POST /wards/<uuid:ward_id>/round": {
        "ward_id": "the round is of the orders that are ticked; the ward is the page to go back to",
        "patient_id": "narrows only the page that is shown again after a refusal",
        "tick": "a round answers for each order by itself, here that there is none, and keeps that answer",
    },
    f"GET {TEAM}/<uuid:assignment_id>/remove": {"assignment_id": "an assignment that is not there has ended"},
    "POST /orders/<uuid:order_id>/verify": {"ward_id": NEXT_PAGE},
    "POST /stock/drugs/<uuid:drug_id>/movements/<uuid:movement_id>/correct": {
        "ward_id": NEXT_PAGE,
        "drug_id": NEXT_PAGE,
    },
    "POST /override-list/<uuid:entry_id>/remove": {"ward_id": NEXT_PAGE},
    "POST /alerts/<uuid:alert_id>/acknowledge": {"ward_id": NEXT_PAGE},
}
# The operation whose cursor a page takes.
CURSORS = {
    "GET /patients": "GET /patients",
    "GET /patients/<uuid:patient_id>": "GET /administrations",
    "GET /patients/<uuid:patient_id>/orders": "GET /orders",
    f"GET {TEAM}": f"GET {TEAM}/history",
    "GET /prescribing": "GET /orders",
    "GET /prescribing/new # for whom": "GET /patients",
    "GET /prescribing/new # of what": "GET /drugs",
    "GET /stock": "GET /stock",
    "GET /stock/drugs/<uuid:drug_id>": "GET /stock/movements",
    "GET /charts": "GET /orders",
    "GET /lots": "GET /lots",
    f"GET {LOT}/doses": f"GET {LOT}/doses",
    "GET /override-list": "GET /override-drugs",
    "GET /overrides": "GET /overrides",
    "GET /transfers": "GET /transfers",
    "GET /counts": "GET /counts",
    "GET /counts/<uuid:count_id>": "GET /counts/<uuid:count_id>/lines",
    "GET /discrepancies": "GET /discrepancies",
    "GET /alerts": "GET /alerts",
    "GET /register": "GET /drugs",
    "GET /register/<uuid:drug_id>": "GET /stock/register",
    "GET /staff": "GET /users",
    "GET /places": "GET /wards",
    "GET /audit": "GET /audit",
    "GET /drift": "GET /drift/runs",
    "GET /drift/runs/<uuid:run_id>": "GET /drift/runs/<uuid:run_id>/events",
}
# Routes that answer alike to everybody in the world, signed in or not.
WITHOUT_TENANT = {
    "GET /healthz": "the process answers",
    "GET /readyz": "the database answers",
    "GET /metrics": "counts of this process, by operation and outcome",
    "GET /static/<path:filename>": "files of the application",
    "GET /bootstrap/static/<path:filename>": "files of Bootstrap",
    "GET /api/v1/docs": "the documentation",
    "GET /api/v1/docs/<path:name>": "its files",
    "GET /api/v1/openapi.json": "the same for machines",
    "GET /api/v1/problems/<code>": "the page of a problem",
    "GET /awake": "says nothing but whether the screen is locked",
    "GET /sign-in/code": "nobody has typed a password: a cookie's own hospital alone comes after one",
    "GET /sign-in/enrol": "likewise",
    "GET /sign-in/password": "likewise",
    "POST /sign-in/code": "likewise",
    "POST /sign-in/enrol": "likewise",
    "POST /sign-in/password": "likewise",
    "POST /sign-in/code/passkey": "likewise",
    "POST /sign-in/code/passkey/options": "likewise",
    "POST /sign-in/passkey/options": "a challenge of 256 random bits",
    "POST /sign-in/passkey": "a passkey opens the hospital that it was made in: see tests of passkeys",
    "POST /sign-in": "see test_a_name_and_password_open_one_hospital_only",
}
