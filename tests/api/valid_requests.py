"""One valid request for every operation of the API.

The tables of tests in this folder walk `OPERATIONS`: a new route without an entry in `VALID` fails them.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from backend.actor import Actor, Role
from backend.api import RESOURCES
from backend.db import Session
from backend.domain.identity import passkeys
from backend.domain.identity.sign_in import totp
from backend.domain.identity.sign_in.webauthn import Made
from backend.domain.identity.tokens import IssuedToken, issue_token
from backend.domain.models import Base
from backend.web import cursors
from backend.web.endpoint import JSON, Operation
from tests.api.claims_requests import VALID as CLAIMING
from tests.api.custody_requests import VALID as CUSTODY
from tests.api.custody_requests import Ask, scannable, unique, witness
from tests.hospital import PASSWORD, Client, Hospital, now, sign_in

OPERATIONS: dict[str, Operation] = {
    f"{operation.method} {operation.path}": operation for resource in RESOURCES for operation in resource.operations
}
READS = [name for name, operation in OPERATIONS.items() if operation.method == "GET"]
SENT = [name for name in OPERATIONS if name not in READS]  # changes, and searches whose question is in their body
WITH_BODY = [name for name in SENT if OPERATIONS[name].body is not None and OPERATIONS[name].media == JSON]
WITH_KEY = [name for name in SENT if OPERATIONS[name].writes and OPERATIONS[name].keyed]
LISTS = [name for name in READS if OPERATIONS[name].page]


class OneEach(dict[UUID, UUID]):
    """An id for each who may send the request, by who they are."""


def _another_sign_in(hospital: Hospital) -> OneEach:
    """A further, earlier sign-in of each role's first: whoever has signed in last stays the one who asks."""
    made = OneEach({hospital.staff[role.value].user_id: _issue(hospital, hospital.staff[role.value]) for role in Role})
    earlier = "UPDATE access_tokens SET created_at = created_at - interval '1 hour' WHERE id = ANY (:p1)"
    hospital.change(earlier, list(made.values()))
    return made


def _issue(hospital: Hospital, actor: Actor) -> UUID:
    issued: IssuedToken = hospital.run(lambda session: issue_token(session, actor=actor, now=now(), hours=1), actor)
    return issued.id


def _credentials(hospital: Hospital) -> dict[str, Any]:
    return {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": PASSWORD}


def _with_factor(hospital: Hospital) -> None:
    """Every sign-in counts as one with a second factor: who has one changes it only so."""
    hospital.change(
        "UPDATE access_tokens SET second_factor = true WHERE organization_id = :p1", hospital.organization_id
    )


def _enrolment(hospital: Hospital) -> dict[str, Any]:
    _with_factor(hospital)
    secret = totp.new_secret()
    return {"secret": secret, "otp": totp.code_of(secret, totp.step_at(now())), "password": PASSWORD}


def _removal(hospital: Hospital) -> Ask:
    _with_factor(hospital)
    return Ask(body={"password": PASSWORD})


def _phone_lost(hospital: Hospital) -> dict[str, Any]:
    somebody = hospital.add_staff(uuid.uuid4().hex, Role.NURSE)
    return {"user_id": somebody.user_id}


def _a_passkey(hospital: Hospital) -> dict[str, Any]:
    """The only one of whoever has signed in last."""
    ((user_id,),) = hospital.rows("SELECT user_id FROM access_tokens ORDER BY created_at DESC LIMIT 1")
    actor = next(actor for actor in hospital.staff.values() if actor.user_id == user_id)
    _with_factor(hospital)
    hospital.change("DELETE FROM passkeys WHERE user_id = :p1", user_id)
    made = Made(uuid.uuid4().bytes, b"the public half", 0, ["usb"], backed_up=False)
    hospital.run(lambda session: passkeys.add_passkey(session, actor=actor, made=made, name="Stick"), actor)
    ((passkey_id,),) = hospital.rows("SELECT id FROM passkeys ORDER BY id DESC LIMIT 1")
    return {"passkey_id": passkey_id}


def _with_a_passkey(hospital: Hospital) -> Ask:
    """Of whoever has signed in last, unless they have one."""
    last = "SELECT user_id FROM access_tokens ORDER BY created_at DESC LIMIT 1"
    if not hospital.rows(f"SELECT 1 FROM passkeys WHERE user_id = ({last})"):
        _a_passkey(hospital)
    return Ask()


def _new_user(hospital: Hospital) -> dict[str, Any]:
    email = f"{uuid.uuid4().hex}@{hospital.slug}.example"
    wards = [str(hospital.ward_id)]
    return {
        "email": email,
        "name": "Sam Weir",
        "role": "nurse",
        "password": "long enough for a ward",
        "ward_ids": wards,
    }


def _new_patient(hospital: Hospital) -> dict[str, Any]:
    return {
        "name": "Ada Osei",
        "mrn": unique("M"),
        "date_of_birth": "1951-12-31",
        "ward_id": str(hospital.ward_id),
        "bed": "4B",
        "allergies": ["penicillin"],
    }


def _search(hospital: Hospital) -> dict[str, Any]:
    cursor = cursors.encode(("begins", hospital.patient_id))
    return {"q": "okaf", "ward_id": str(hospital.ward_id), "limit": 50, "cursor": cursor}


def _new_drug(_hospital: Hospital) -> dict[str, Any]:
    return {
        "name": unique("Morphine"),
        "generic_name": "morphine",
        "strength": "10 mg",
        "form": "tablet",
        "unit": "tablet",
        "gtin": "04098765432101",  # no drug's whose package is scanned
        "ndc": "0054-0236-25",
        "atc": "N02AA01",
        "controlled_schedule": 2,
        "high_alert": True,
        "unit_price_cents": 0,
    }


def _new_order(hospital: Hospital) -> dict[str, Any]:
    return {
        "patient_id": str(hospital.patient_id),
        "drug_id": str(hospital.drug_id),
        "ward_id": str(hospital.ward_id),
        "quantity_units": 2,
        "dose_text": unique("two tablets"),
        "route": "oral",
        "priority": "stat",
        "doses": 3,
        "interval_minutes": 480,
        "first_due_at": "2030-01-02T03:04:05+01:00",
    }


def _new_receipt(hospital: Hospital) -> dict[str, Any]:
    return {
        "ward_id": str(hospital.ward_id),
        "drug_id": str(hospital.drug_id),
        "lot_number": unique("L"),
        "expires_on": "2031-05-31",
        "quantity_units": 10,
        "scan": scannable(hospital),
        "witness": witness(hospital),
    }


def _fulfillable(hospital: Hospital) -> dict[str, Any]:
    hospital.receive(1, lot=unique("L"))
    return {"order_id": hospital.place()}


VALID: dict[str, Callable[[Hospital], Ask]] = {
    "POST /tokens": lambda h: Ask(body=_credentials(h)),
    "DELETE /tokens/current": lambda h: Ask(),
    "GET /me": lambda h: Ask(),
    "DELETE /me/tokens": lambda h: Ask(),
    "GET /me/tokens": lambda h: Ask(),
    "DELETE /me/tokens/<uuid:token_id>": lambda h: Ask(path={"token_id": _another_sign_in(h)}),
    "PUT /me/password": lambda h: Ask(body={"password": PASSWORD, "new_password": PASSWORD}),
    "GET /me/second-factor": lambda h: Ask(),
    "POST /me/second-factor": lambda h: Ask(),
    "PUT /me/second-factor": lambda h: Ask(body=_enrolment(h)),
    "POST /me/second-factor/remove": _removal,
    "GET /me/passkeys": _with_a_passkey,
    "POST /me/passkeys/<uuid:passkey_id>/remove": lambda h: Ask(path=_a_passkey(h), body={"password": PASSWORD}),
    "GET /organization": lambda h: Ask(),
    "PATCH /organization": lambda h: Ask(
        body={
            "name": unique("Test"),
            "time_zone": "Europe/Paris",
            "verification_required": False,
            "witness_required": False,
            "custody_witness_required": False,
            "dose_window_minutes": 60,
            "discrepancy_hours": 24,
            "transit_hours": 24,
            "second_factor_roles": [],
        }
    ),
    "GET /users": lambda h: Ask(query={"role": "nurse", "q": "nurse", "ward_id": h.ward_id}),
    "GET /users/<uuid:user_id>": lambda h: Ask(path={"user_id": h.staff["spare"].user_id}),
    "POST /users": lambda h: Ask(body=_new_user(h)),
    "PATCH /users/<uuid:user_id>": lambda h: Ask(
        path={"user_id": h.staff["spare"].user_id},
        body={
            "name": unique("Spare"),
            "role": "nurse",
            "active": True,
            "password": "long enough for a ward",
            "ward_ids": [str(h.ward_id)],
            "add_ward_ids": [str(h.ward_id)],
            "remove_ward_ids": [str(h.add_ward())],
        },
    ),
    "DELETE /users/<uuid:user_id>/second-factor": lambda h: Ask(path=_phone_lost(h)),
    "GET /wards": lambda h: Ask(),
    "POST /wards": lambda h: Ask(body={"name": unique("Ward"), "kind": "pharmacy"}),
    "GET /patients": lambda h: Ask(query={"q": "okaf", "ward_id": h.ward_id}),
    "POST /patients": lambda h: Ask(body=_new_patient(h)),
    "POST /patients/search": lambda h: Ask(body=_search(h)),
    "GET /patients/<uuid:patient_id>": lambda h: Ask(path={"patient_id": h.patient_id}),
    "GET /patients/<uuid:patient_id>/cautions": lambda h: Ask(
        path={"patient_id": h.patient_id}, query={"drug_id": h.drug_id}
    ),
    "GET /drugs": lambda h: Ask(query={"q": "amox", "custody": "ordinary"}),
    "POST /drugs": lambda h: Ask(body=_new_drug(h)),
    "GET /drugs/<uuid:drug_id>": lambda h: Ask(path={"drug_id": h.drug_id}),
    "PATCH /drugs/<uuid:drug_id>": lambda h: Ask(path={"drug_id": h.add_drug()}, body=_new_drug(h)),
    "GET /orders": lambda h: Ask(
        query={
            "status": "active",
            "verification": "pending",
            "ward_id": h.ward_id,
            "patient_id": h.patient_id,
            "drug_id": h.drug_id,
            "prescriber_id": h.staff["doctor"].user_id,
        }
    ),
    "POST /orders": lambda h: Ask(body=_new_order(h)),
    "GET /orders/statistics": lambda h: Ask(query={"ward_id": h.ward_id}),
    "GET /orders/<uuid:order_id>": lambda h: Ask(path={"order_id": h.place()}),
    "POST /orders/<uuid:order_id>/verify": lambda h: Ask(path={"order_id": h.place()}),
    "POST /orders/<uuid:order_id>/discontinue": lambda h: Ask(
        path={"order_id": h.place()}, body={"reason": "allergic"}
    ),
    "POST /orders/<uuid:order_id>/fulfill": lambda h: Ask(
        path=_fulfillable(h),
        body={"dose": 1, "witness": witness(h), "override_reason": "cannot wait", "scan": scannable(h)},
    ),
    "GET /mar": lambda h: Ask(query={"ward_id": h.ward_id}),
    "GET /stock": lambda h: Ask(
        query={"ward_id": h.ward_id, "drug_id": h.drug_id, "q": "amox", "state": "low", "within_days": "30"}
    ),
    "POST /stock/receipts": lambda h: Ask(body=_new_receipt(h)),
    "GET /stock/movements": lambda h: Ask(
        query={
            "ward_id": h.ward_id,
            "drug_id": h.drug_id,
            "from": "2026-01-01T00:00:00Z",
            "to": "2100-01-01T00:00:00+02:00",
        }
    ),
    "GET /stock/as-of": lambda h: Ask(query={"at": "2026-01-01T00:00:00Z", "ward_id": h.ward_id, "drug_id": h.drug_id}),
    "GET /stock/consumption": lambda h: Ask(
        query={
            "ward_id": h.ward_id,
            "drug_id": h.drug_id,
            "from": (now() - timedelta(days=1)).date().isoformat(),
            "to": (now() + timedelta(days=1)).date().isoformat(),
        }
    ),
    "GET /stock/expiring-value": lambda h: Ask(query={"ward_id": h.ward_id, "within_days": "90"}),
    "GET /audit": lambda h: Ask(
        query={
            "table": "wards",
            "row_id": h.ward_id,
            "actor_id": h.staff["admin"].user_id,
            "from": "2026-01-01T00:00:00Z",
            "to": "2100-01-01T00:00:00+02:00",
        }
    ),
    **CUSTODY,
    **CLAIMING,
}
# What ends the sign-ins of who asks: they are somebody whom no other test needs.
ENDING = {"DELETE /me/tokens", "PUT /me/password", "POST /me/passkeys/<uuid:passkey_id>/remove"}
# Parameters without which a list is refused.
NEEDED = {
    "GET /stock/as-of": ("at",),
    "GET /stock/consumption": ("ward_id",),
    "GET /stock/register": ("drug_id",),
}


def least(name: str, hospital: Hospital, **query: Any) -> Ask:
    """The request of a list that asks for no more than it must, and for `query`."""
    right = VALID[name](hospital)
    needed = {parameter: right.query[parameter] for parameter in NEEDED.get(name, ())}
    return Ask(path=right.path, query={**needed, **query})


def url_of(name: str, ask: Ask) -> str:
    """The path of the request below /api/v1."""
    ids = {key: next(iter(value.values())) if isinstance(value, OneEach) else value for key, value in ask.path.items()}
    return re.sub(r"<uuid:(\w+)>", lambda found: str(ids[found[1]]), name.split(" ", 1)[1])


def send(client: Client, name: str, ask: Ask, **options: Any) -> TestResponse:
    """The answer to the request."""
    own = {key: value[client.actor.user_id] for key, value in ask.path.items() if isinstance(value, OneEach)}
    ask = replace(ask, path=ask.path | own)
    if ask.body is not None:
        options.setdefault("json", ask.body)
    if ask.data is not None:
        options = {"data": ask.data, "content_type": OPERATIONS[name].media, **options}
    return client.request(name.split(" ", 1)[0], url_of(name, ask), query_string=ask.query, **options)


def post_raw(client: Client, name: str, ask: Ask, data: bytes, content_type: str = "") -> TestResponse:
    """The answer to the request with `data` as its body."""
    media = content_type or OPERATIONS[name].media
    return send(client, name, Ask(ask.path, None, ask.query), data=data, content_type=media)


def arrive(app: Flask, hospital: Hospital, name: str, role: str) -> Client:
    """A member of staff of the role, signed in for the request."""
    if name not in ENDING:
        return sign_in(app, hospital, role)
    hospital.add_staff(f"one-off {uuid.uuid4().hex}", Role(role))
    return sign_in(app, hospital, next(reversed(hospital.staff)))


def login_for(name: str) -> str:
    """A member of staff who may send the request."""
    return sorted(OPERATIONS[name].roles, reverse=True)[0].value


def everything(hospital: Hospital) -> dict[str, tuple[int, int]]:
    """How many rows each table holds of the hospital, and a checksum of their content.

    Two equal snapshots see the same rows. So where none has been written since the last look, which is what most tests
    that look twice are about, PostgreSQL is asked for its snapshot alone.
    """
    seen_in = hospital.database.config.database_url, hospital.organization_id

    def look(session: Session) -> dict[str, tuple[int, int]]:
        session.take_lanes([])
        snapshot = str(session.execute(_SNAPSHOT).scalar_one())
        if _SEEN.get(seen_in, ("", {}))[0] != snapshot:
            found = session.execute(_EVERYTHING).all()
            _SEEN[seen_in] = snapshot, {table: (count, checksum) for table, count, checksum in found}
        return _SEEN[seen_in][1]

    return dict(hospital.database.transact(look, actor=hospital.operator, read_only=True))


_SEEN: dict[tuple[str, UUID], tuple[str, dict[str, tuple[int, int]]]] = {}
_SNAPSHOT = text("SELECT pg_current_snapshot()::text")
_EVERYTHING = text(
    " UNION ALL ".join(
        f"SELECT '{name}', count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {name} t"
        for name in sorted(Base.metadata.tables)
    )
)


def assert_problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem document of the answer, which is complete and says `code`."""
    assert (response.status_code, response.content_type) == (status, "application/problem+json"), response.text
    document: dict[str, Any] = response.get_json()
    assert {"type", "title", "status", "detail", "code", "instance"} <= set(document)
    assert (document["status"], document["code"]) == (status, code), document
    assert document["type"] == f"/api/v1/problems/{code}"
    assert document["instance"] == f"urn:valmed:request:{response.headers['X-Request-ID']}"
    assert document["title"]
    assert document["detail"]
    return document
