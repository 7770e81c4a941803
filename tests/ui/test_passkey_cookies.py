"""The cookie that knows what a passkey was asked, without a browser."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.domain.identity.sign_in import webauthn
from tests.domain.identity.device import Device as Forger
from tests.hospital import PASSWORD, Hospital, now
from tests.ui.authenticating import enrolled_on_the_server, names
from tests.ui.test_signing_in import token_of_page, tokens_of

ADDED = "text=is added"


def asked(client: FlaskClient, page: str, path: str) -> str:
    """What the script is told to ask the device."""
    answer = client.post(path, data={"csrf_token": page}, headers={"X-Poll": "1"})
    assert answer.status_code == 200, answer.text
    return answer.text


def send(client: FlaskClient, page: str, answer: str, path: str = "/sign-in/passkey") -> int:
    """302 for a session, the status of a refusal else."""
    return client.post(path, data={"csrf_token": page, "credential": answer, "next": "/"}).status_code


def test_an_answer_counts_in_the_browser_that_asked_for_it(hospital: Hospital, named_app: Flask) -> None:
    device = enrolled_on_the_server(hospital, named_app)
    mine, thief = named_app.test_client(), named_app.test_client()
    pages = [token_of_page(client, "/sign-in") for client in (mine, thief)]
    answer = device.show(asked(mine, pages[0], "/sign-in/passkey/options"))
    asked(thief, pages[1], "/sign-in/passkey/options")
    assert send(thief, pages[1], answer) == 401
    assert send(thief, pages[1], answer) == 403, "nothing was asked any more"
    assert send(mine, pages[0], answer) == 302
    assert tokens_of(hospital) == [(True,)]


def test_a_cookie_that_is_put_back_does_not_let_an_answer_count_twice(hospital: Hospital, named_app: Flask) -> None:
    device = enrolled_on_the_server(hospital, named_app)
    device.counts = False
    client = named_app.test_client()
    page = token_of_page(client, "/sign-in")
    answer = device.show(asked(client, page, "/sign-in/passkey/options"))
    cookie = client.get_cookie("valmed")
    assert cookie is not None
    assert send(client, page, answer) == 302
    client.set_cookie("valmed", cookie.value)
    assert send(client, page, answer) == 401
    assert tokens_of(hospital) == [(True,)]


def test_what_was_asked_ends_after_five_minutes(hospital: Hospital, named_app: Flask) -> None:
    device = enrolled_on_the_server(hospital, named_app)
    for seconds, status in ((301, 403), (299, 302)):
        client = named_app.test_client()
        page = token_of_page(client, "/sign-in")
        answer = device.show(asked(client, page, "/sign-in/passkey/options"))
        with client.session_transaction() as session:
            session["challenge"] = {**session["challenge"], "at": int(now().timestamp()) - seconds}
        assert send(client, page, answer) == status


def test_what_was_asked_alone_is_no_answer_after_a_password_nor_the_other_way(
    hospital: Hospital, named_app: Flask
) -> None:
    """An answer that was given without the device's owner being made sure of is good after the password only."""
    device = enrolled_on_the_server(hospital, named_app)
    client = named_app.test_client()
    form = {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": PASSWORD}
    client.post("/sign-in", data={"csrf_token": token_of_page(client, "/sign-in"), **form})
    page = token_of_page(client, "/sign-in/code")
    second, first = "/sign-in/code/passkey", "/sign-in/passkey"
    for one, other in ((first, second), (second, first)):
        answer = device.show(asked(client, page, f"{one}/options"))
        assert send(client, page, answer, other) == 403
    assert tokens_of(hospital) == []
    assert send(client, page, device.show(asked(client, page, f"{second}/options"), verified=False), second) == 302
    assert tokens_of(hospital) == [(True,)]


def test_a_passkey_is_added_only_with_the_receipt_for_the_password(hospital: Hospital, named_app: Flask) -> None:
    device = enrolled_on_the_server(hospital, named_app)
    client = named_app.test_client()
    page = token_of_page(client, "/sign-in")
    assert send(client, page, device.show(asked(client, page, "/sign-in/passkey/options"))) == 302
    page = token_of_page(client, "/account")
    refused = client.post("/account/passkeys/options", data={"csrf_token": page, "name": "x", "password": "wrong"})
    assert refused.status_code == 403
    other = Forger(device.origin)
    asked(client, page, "/sign-in/passkey/options")  # which no password is needed for
    forged = webauthn.offer_making(
        webauthn.Party(device.origin),
        bytes.fromhex(session_of(client)["challenge"]["asked"]),
        handle=device.handle,
        email="e",
        name="n",
        known=[],
    )
    form = {"csrf_token": page, "name": "Thief's", "credential": other.make(forged)}
    assert client.post("/account/passkeys", data=form).status_code == 403
    assert names(hospital) == ["Phone"]
    right = client.post("/account/passkeys/options", data={"csrf_token": page, "name": "x", "password": PASSWORD})
    form = {"csrf_token": page, "name": "Mine", "credential": other.make(right.text)}
    cookie = client.get_cookie("valmed")
    assert cookie is not None
    assert client.post("/account/passkeys", data=form).status_code == 302
    assert names(hospital) == ["Phone", "Mine"]
    client.set_cookie("valmed", cookie.value)
    again = Forger(device.origin).make(right.text)
    assert client.post("/account/passkeys", data={**form, "credential": again}).status_code == 403
    assert names(hospital) == ["Phone", "Mine"]


def session_of(client: FlaskClient) -> dict[str, Any]:
    """What the cookie holds."""
    with client.session_transaction() as session:
        return dict(session)


@pytest.mark.parametrize("name", ["", " ", "x" * 61, "a\x00b", "a\nb"])
def test_a_name_that_is_none_is_refused(hospital: Hospital, named_app: Flask, name: str) -> None:
    device = enrolled_on_the_server(hospital, named_app)
    client = named_app.test_client()
    page = token_of_page(client, "/sign-in")
    assert send(client, page, device.show(asked(client, page, "/sign-in/passkey/options"))) == 302
    page = token_of_page(client, "/account")
    form = {"csrf_token": page, "name": name, "password": PASSWORD, "credential": "x"}
    for path in ("/account/passkeys/options", "/account/passkeys"):
        assert client.post(path, data=form, headers={"X-Poll": "1"}).status_code == 422
    assert names(hospital) == ["Phone"]
