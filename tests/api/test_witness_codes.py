"""A witness's one-time code: asked for by the hospital's policy, used up with what they witness, once."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
from flask import Flask
from sqlalchemy.engine.url import URL
from werkzeug.test import TestResponse

from backend import create_app
from backend.actor import Role
from backend.config import Config
from backend.db.lanes import lock_lanes
from backend.db.provision import application_url
from backend.domain.identity.sign_in.totp import new_secret
from backend.operations.proving.proxy import Ambush, Moment, Proxy
from tests.api.test_second_factors import code_now
from tests.api.test_tokens import sign_in_over_http
from tests.api.valid_requests import OPERATIONS, SENT, VALID, assert_problem, everything, login_for, send
from tests.concurrency.threads import together
from tests.hospital import PASSWORD, Client, Hospital, sign_in
from tests.waiting import wait_until_blocked

WITNESSED = [name for name in SENT if "witness" in getattr(OPERATIONS[name].body, "fields", {})]
ROUND = "POST /fulfillments"


@pytest.fixture
def secret(hospital: Hospital) -> str:
    """Of the authenticator app of a colleague whose role the hospital asks for a second factor."""
    colleague = hospital.add_staff("witness", Role.NURSE, (hospital.ward_id,))
    made = new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE id = :p2", made, colleague.user_id)
    hospital.change("UPDATE organizations SET second_factor_roles = '{nurse}'")
    return made


def credentials(hospital: Hospital, otp: str | None = None) -> dict[str, str]:
    """What the colleague types."""
    typed = {"email": f"witness@{hospital.slug}.example", "password": PASSWORD}
    return typed if otp is None else {**typed, "otp": otp}


def give(client: Client, order_id: Any, witness: dict[str, str], key: str = "") -> TestResponse:
    """The answer to a fulfilment before the witness."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    return client.post(f"/orders/{order_id}/fulfill", {"witness": witness}, headers=headers)


@pytest.mark.parametrize("name", WITNESSED)
def test_code_is_asked_for_used_up_and_replayed_by_every_witnessed_operation(
    hospital: Hospital, clients: dict[str, Client], secret: str, name: str
) -> None:
    client, ask, key = clients[login_for(name)], VALID[name](hospital), {"Idempotency-Key": uuid.uuid4().hex}
    otp = code_now(secret, 1)  # good for a minute at the least

    def ask_with(otp: str | None, **options: Any) -> TestResponse:
        return send(client, name, ask, json={**ask.body, "witness": credentials(hospital, otp)}, **options)

    before, refused = everything(hospital), ask_with(None)
    if name == ROUND:
        (result,) = refused.get_json()["results"]
        assert (result["outcome"], "`otp`" in result["detail"]) == ("witness_code_required", True)
    else:
        assert "`otp` in `witness`" in assert_problem(refused, 403, "witness_code_required")["detail"]
        assert everything(hospital) == before
    first = ask_with(otp, headers=key)
    assert first.status_code == OPERATIONS[name].status, first.text
    before = everything(hospital)
    again = ask_with(otp, headers=key)
    assert (again.status_code, again.data, again.headers["Idempotent-Replayed"]) == (
        OPERATIONS[name].status,
        first.data,
        "true",
    )
    other = VALID[name](hospital)
    after, body = everything(hospital), {**other.body, "witness": credentials(hospital, otp)}
    used = assert_problem(send(client, name, other, json=body), 403, "witness_required")
    assert "was used" in used["detail"]
    assert everything(hospital) == after
    assert before["totp_steps"][0] == 1


def test_code_of_a_witness_and_of_a_sign_in_is_the_same_and_works_once(
    app: Flask, hospital: Hospital, clients: dict[str, Client], secret: str
) -> None:
    hospital.receive(5)
    email, otp = f"witness@{hospital.slug}.example", code_now(secret)
    assert give(clients["nurse"], hospital.place(), credentials(hospital, otp)).status_code == 200
    assert_problem(sign_in_over_http(app, hospital, email=email, otp=otp), 401, "not_authenticated")
    later = code_now(secret, 1)
    assert sign_in_over_http(app, hospital, email=email, otp=later).status_code == 201
    refused = give(clients["nurse"], hospital.place(), credentials(hospital, later))
    assert_problem(refused, 403, "witness_required")
    assert hospital.on_hand() == 4


def test_refused_or_busy_change_leaves_the_code_to_be_used(
    config: Config, hospital: Hospital, secret: str, owner: psycopg2.extensions.connection
) -> None:
    app = create_app(replace(config, lock_timeout_ms=300, retry_seconds_max=0.5))
    nurse, order_id = sign_in(app, hospital, "nurse"), hospital.place()
    witness, key = credentials(hospital, code_now(secret, 1)), uuid.uuid4().hex
    before = everything(hospital)
    assert_problem(give(nurse, order_id, witness, key), 409, "insufficient_stock")
    assert everything(hospital) == before
    hospital.receive(1)
    with owner.cursor() as cursor:
        cursor.execute(f"BEGIN; {lock_lanes([hospital.shelf.lane])}")
        assert_problem(give(nurse, order_id, witness, key), 503, "busy")
        cursor.execute("ROLLBACK")
    assert give(nurse, order_id, witness, key).status_code == 200
    app.extensions["valmed"].engine.dispose()


def test_password_alone_witnesses_where_the_policy_asks_another_role(
    hospital: Hospital, clients: dict[str, Client], secret: str
) -> None:
    hospital.receive(5)
    hospital.change("UPDATE organizations SET second_factor_roles = '{doctor,pharmacist}'")
    assert secret
    assert give(clients["nurse"], hospital.place(), credentials(hospital)).status_code == 200


def test_witness_without_an_app_is_told_to_set_one_up(
    hospital: Hospital, clients: dict[str, Client], secret: str
) -> None:
    hospital.receive(5)
    hospital.change("UPDATE users SET totp_secret = NULL")
    before, order_id = everything(hospital), hospital.place()
    before = everything(hospital)
    asked = assert_problem(give(clients["nurse"], order_id, credentials(hospital)), 403, "witness_code_required")
    assert (asked["enrolled"], "they set one up" in asked["detail"]) == (False, True)
    sent = give(clients["nurse"], order_id, credentials(hospital, code_now(secret)))
    assert "no authenticator app" in assert_problem(sent, 403, "witness_required")["detail"]
    assert everything(hospital) == before


@pytest.mark.concurrency
def test_of_eight_changes_at_once_with_one_code_one_is_made(
    app: Flask, hospital: Hospital, clients: dict[str, Client], secret: str
) -> None:
    assert app
    shelves = [replace(hospital.shelf, drug_id=hospital.add_drug()) for _ in range(8)]
    for shelf in shelves:
        hospital.receive(1, shelf=shelf)
    orders = [hospital.place(shelf=shelf) for shelf in shelves]
    otp = code_now(secret, 1)

    def one(order_id: Any) -> int:
        return give(clients["nurse"], order_id, credentials(hospital, otp)).status_code

    answers = together(*(partial(one, order_id) for order_id in orders))
    assert sorted(answers) == [200, *[403] * 7]
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(1,)]


@pytest.fixture
def shaky(config: Config, server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, Proxy]]:
    """The application behind a line that breaks."""
    folder, port = Path(tmp_path_factory.mktemp("p")), int(str(server_url.query.get("port") or server_url.port or 5432))
    host = str(server_url.query.get("host") or server_url.host or "")
    proxy = Proxy(folder, port, f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port))
    url = application_url(config)
    query = {name: value for name, value in url.query.items() if name not in {"host", "port"}}
    through = url.set(host=None, port=None, query={**query, "host": str(folder), "port": str(port)})
    app = create_app(replace(config, application_database_url=through.render_as_string(hide_password=False)))
    yield app, proxy
    app.extensions["valmed"].engine.dispose()
    proxy.close()


@pytest.mark.concurrency
@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
def test_lost_commit_with_a_code_is_made_once_and_not_refused(
    hospital: Hospital, shaky: tuple[Flask, Proxy], secret: str, moment: Moment, owner: psycopg2.extensions.connection
) -> None:
    app, proxy = shaky
    hospital.receive(5)
    nurse, order_id, otp = sign_in(app, hospital, "nurse"), hospital.place(), code_now(secret, 1)
    ambush = Ambush(moment)
    with ThreadPoolExecutor(1) as pool, owner.cursor() as cursor:
        cursor.execute(f"BEGIN; {lock_lanes([hospital.shelf.lane])}")
        giving = pool.submit(give, nurse, order_id, credentials(hospital, otp), "k")
        wait_until_blocked(owner, owner)
        proxy.lie_in_wait(ambush)  # for the next COMMIT, which is the dose's
        cursor.execute("ROLLBACK")
        answer = giving.result()
    assert (ambush.struck.is_set(), answer.status_code) == (True, 200), answer.text
    assert answer.headers.get("Idempotent-Replayed") == (None if moment is Moment.BEFORE else "true")
    again = give(nurse, order_id, credentials(hospital, otp), "k")
    assert (again.status_code, again.data) == (200, answer.data)
    assert hospital.on_hand() == 4
