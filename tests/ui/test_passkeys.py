"""Passkeys on the pages, with Chromium's virtual authenticator: added, used after the password and alone, removed."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import BaseWSGIServer, make_server

from backend import create_app
from backend.config import Config
from backend.domain.identity.sign_in import webauthn
from backend.domain.identity.sign_in.totp import new_secret
from tests.domain.identity.device import Device as Forger
from tests.domain.identity.passkeys.signing import enrolled
from tests.hospital import PASSWORD, Hospital, now
from tests.ui.authenticating import Device
from tests.ui.conftest import Screen, watch
from tests.ui.test_signing_in import code_now, token_of_page, tokens_of, type_code

ADDED = "text=is added"


@pytest.fixture(scope="session")
def listener() -> Iterator[socket.socket]:
    """A port, known before the application that is told of it."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(scope="session")
def named_app(config: Config, listener: socket.socket) -> Iterator[Flask]:
    """An application that knows the address of its pages."""
    app = create_app(replace(config, pool_size=16, origin=f"http://localhost:{listener.getsockname()[1]}"))
    yield app
    app.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="session")
def base_url(named_app: Flask, listener: socket.socket) -> Iterator[str]:
    """Where it answers."""
    server: BaseWSGIServer = make_server("127.0.0.1", 0, named_app, threaded=True, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield named_app.extensions["valmed"].config.origin
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nurse(hospital: Hospital, screen: Screen) -> Screen:
    """The nurse at the screen, whose device can make passkeys."""
    enter(screen, hospital)
    return screen


def enter(screen: Screen, hospital: Hospital, login: str = "nurse") -> None:
    """Signs in with the password alone."""
    screen.sign_in(hospital, login)
    screen.page.wait_for_selector("nav.tabs")


def add(screen: Screen, name: str, password: str = PASSWORD) -> None:
    """Adds a passkey on the page of the account."""
    screen.page.goto(screen.base_url + "/account")
    screen.page.click("summary:has-text('Add a passkey')")
    screen.page.fill("#passkey-name", name)
    screen.page.fill("#passkey-password", password)
    screen.page.click("button:has-text('Add it')")


def sign_out(screen: Screen) -> None:
    """Signs out."""
    screen.page.click("summary.btn.quiet >> nth=0")
    screen.page.click("button:has-text('Sign out')")
    screen.page.wait_for_selector("text=You are signed out")


def alone(screen: Screen) -> None:
    """Signs in without a password."""
    screen.page.goto(screen.base_url + "/sign-in")
    screen.page.click("button:has-text('Sign in with a passkey')")


def anew(screen: Screen) -> None:
    """Signs out and in again by the passkey: who has one changes it only so."""
    sign_out(screen)
    alone(screen)
    screen.page.wait_for_selector("nav.tabs")


def alert(screen: Screen) -> str:
    """What the page refuses."""
    screen.page.wait_for_selector("[role=alert]")
    return str(screen.page.inner_text("[role=alert]"))


def names(hospital: Hospital) -> list[str]:
    """The passkeys that are registered."""
    return [row[0] for row in hospital.rows("SELECT name FROM passkeys ORDER BY id")]


def test_a_passkey_is_added_and_signs_in_after_the_password_and_alone(hospital: Hospital, nurse: Screen) -> None:
    device = Device(nurse.page)
    add(nurse, "My phone", "wrong")
    assert "is not yours" in alert(nurse)
    assert (names(hospital), device.credentials()) == ([], [])
    nurse.page.fill("#passkey-password", PASSWORD)
    nurse.page.click("button:has-text('Add it')")
    nurse.page.wait_for_selector(ADDED)
    assert names(hospital) == ["My phone"]
    assert "My phone" in nurse.page.inner_text(".passkeys")
    assert "Not used yet" in nurse.page.inner_text(".passkeys")
    (held,) = device.credentials()
    assert held["isResidentCredential"]
    sign_out(nurse)

    nurse.sign_in(hospital, "nurse")
    nurse.page.wait_for_selector("h1:has-text('Your passkey')")
    assert tokens_of(hospital) == []
    nurse.page.click("button:has-text('Use a passkey')")
    nurse.page.wait_for_selector("nav.tabs")
    assert tokens_of(hospital) == [(True,)]
    sign_out(nurse)

    alone(nurse)
    nurse.page.wait_for_selector("nav.tabs")
    assert tokens_of(hospital) == [(True,)]
    nurse.page.goto(nurse.base_url + "/account")
    assert "Last used" in nurse.page.inner_text(".passkeys")


def test_a_passkey_stands_beside_the_code(hospital: Hospital, nurse: Screen) -> None:
    Device(nurse.page)
    add(nurse, "Phone")
    nurse.page.wait_for_selector(ADDED)
    secret = new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", secret)
    for act in (
        lambda: type_code(nurse, code_now(secret)),
        lambda: nurse.page.click("button:has-text('Use a passkey')"),
    ):
        sign_out(nurse)
        nurse.sign_in(hospital, "nurse")
        nurse.page.wait_for_selector("h1:has-text('One-time code')")
        act()
        nurse.page.wait_for_selector("nav.tabs")
        assert tokens_of(hospital)[-1] == (True,)


def test_the_same_device_is_not_registered_twice(hospital: Hospital, nurse: Screen) -> None:
    Device(nurse.page)
    add(nurse, "Phone")
    nurse.page.wait_for_selector(ADDED)
    add(nurse, "Another")
    assert "Sign in with the second factor" in alert(nurse)
    anew(nurse)
    add(nurse, "Phone again")
    assert "holds a passkey of yours already" in alert(nurse)
    assert names(hospital) == ["Phone"]


def test_a_removed_passkey_signs_nobody_in(hospital: Hospital, nurse: Screen) -> None:
    Device(nurse.page)
    add(nurse, "Phone")
    nurse.page.wait_for_selector(ADDED)
    anew(nurse)
    nurse.page.goto(nurse.base_url + "/account")
    for password, said in (("wrong", "is not yours"), (PASSWORD, "The passkey is removed")):
        nurse.page.click("summary:has-text('Remove')")
        nurse.page.fill(".passkeys [type=password]", password)
        nurse.page.click("button:has-text('Remove Phone')")
        nurse.page.wait_for_selector(f"text={said}")
        assert nurse.page.is_visible("summary:has-text('Add a passkey')"), "the page that was written in begins too"
    assert names(hospital) == []
    sign_out(nurse)
    alone(nurse)
    assert "was not accepted" in alert(nurse)
    assert tokens_of(hospital) == []


def test_a_copied_device_is_refused(hospital: Hospital, nurse: Screen) -> None:
    device = Device(nurse.page)
    add(nurse, "Phone")
    nurse.page.wait_for_selector(ADDED)
    sign_out(nurse)
    alone(nurse)
    nurse.page.wait_for_selector("nav.tabs")
    sign_out(nurse)
    (held,) = device.credentials()
    device.put(held, signCount=0)
    alone(nurse)
    assert "was not accepted" in alert(nurse)
    assert tokens_of(hospital) == []


def test_a_device_that_does_not_verify_its_owner_is_a_second_factor_only(hospital: Hospital, nurse: Screen) -> None:
    stick = Device(nurse.page, verifying=False)
    add(nurse, "Stick")
    nurse.page.wait_for_selector(ADDED)
    assert stick.credentials()
    sign_out(nurse)
    alone(nurse)
    assert alert(nurse)
    assert tokens_of(hospital) == []
    nurse.sign_in(hospital, "nurse")
    nurse.page.click("button:has-text('Use a passkey')")
    nurse.page.wait_for_selector("nav.tabs")
    assert tokens_of(hospital) == [(True,)]


def test_a_passkey_comes_before_the_choice_of_ones_own_password(hospital: Hospital, nurse: Screen) -> None:
    Device(nurse.page)
    add(nurse, "Phone")
    nurse.page.wait_for_selector(ADDED)
    hospital.change("UPDATE users SET first_password_expires_at = now() + interval '1 day' WHERE role = 'nurse'")
    sign_out(nurse)
    nurse.sign_in(hospital, "nurse")
    nurse.page.wait_for_selector("h1:has-text('Your passkey')")
    nurse.page.click("button:has-text('Use a passkey')")
    nurse.page.wait_for_selector("h1:has-text('Choose your own password')")
    assert tokens_of(hospital) == []
    for field in ("new_password", "again"):
        nurse.page.fill(f"#{field}", "seven lemons on a sill")
    nurse.page.click("main button.primary")
    nurse.page.wait_for_selector("nav.tabs")
    assert tokens_of(hospital) == [(True,)]


def test_the_policy_is_met_by_a_passkey(hospital: Hospital, nurse: Screen) -> None:
    Device(nurse.page)
    add(nurse, "Phone")
    nurse.page.wait_for_selector(ADDED)
    hospital.change("UPDATE organizations SET second_factor_roles = '{nurse}'")
    sign_out(nurse)
    nurse.sign_in(hospital, "nurse")
    nurse.page.wait_for_selector("h1:has-text('Your passkey')")
    nurse.page.goto(nurse.base_url + "/sign-in/enrol")
    secret = nurse.page.get_attribute("[name=secret]", "value")
    type_code(nurse, code_now(secret))
    nurse.page.wait_for_selector("h1:has-text('Your passkey')")
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(None,)]
    assert tokens_of(hospital) == []
    nurse.page.click("button:has-text('Use a passkey')")
    nurse.page.wait_for_selector("nav.tabs")
    nurse.page.goto(nurse.base_url + "/account")
    nurse.page.click("summary:has-text('Remove')")
    nurse.page.fill(".passkeys [type=password]", PASSWORD)
    nurse.page.click("button:has-text('Remove Phone')")
    nurse.page.wait_for_selector("text=set up another one first")
    assert names(hospital) == ["Phone"]


def test_a_sign_in_by_passkey_alone_changes_a_care_team(hospital: Hospital, screen: Screen) -> None:
    enter(screen, hospital, "doctor")
    Device(screen.page)
    add(screen, "Phone")
    screen.page.wait_for_selector(ADDED)
    sign_out(screen)
    alone(screen)
    screen.page.wait_for_selector("nav.tabs")
    screen.page.goto(f"{screen.base_url}/patients/{hospital.patient_id}/care-team")
    screen.page.select_option("[name=provider_id]", str(hospital.staff["doctor"].user_id))
    screen.page.select_option("[name=role]", "PRIMARY")
    screen.page.click("main form:has([name=provider_id]) button")
    screen.page.wait_for_load_state()
    team = "SELECT provider_id FROM care_team_assignments WHERE role = 'PRIMARY'"
    screen.page.wait_for_selector(".chip.primary-role")
    assert hospital.rows(team) == [(hospital.staff["doctor"].user_id,)]


def test_a_passkey_opens_a_locked_screen_for_its_owner_and_ends_what_was_there(
    hospital: Hospital, nurse: Screen
) -> None:
    device = Device(nurse.page)
    add(nurse, "Phone")
    nurse.page.wait_for_selector(ADDED)
    (held,) = device.credentials()
    for count, said, left in ((0, "was not accepted", [(False,)]), (9, "", [(True,)])):
        nurse.page.goto(nurse.base_url + "/account")
        if said:
            nurse.page.click("summary.btn.quiet >> nth=0")
            nurse.page.click("button:has-text('Lock the screen')")
            hospital.change("UPDATE passkeys SET sign_count = 5")
        device.put(held, signCount=count)
        nurse.page.wait_for_selector("h1:has-text('Screen locked')")
        nurse.page.click("button:has-text('Sign in with a passkey')")
        if said:
            assert said in alert(nurse)
            assert nurse.page.locator("h1:has-text('Screen locked')").count() == 1
        else:
            nurse.page.wait_for_selector("h1:has-text('My account')")
        assert tokens_of(hospital) == left


def test_an_admin_takes_passkeys_away_with_the_second_factor(
    hospital: Hospital, screen: Screen, named_app: Flask
) -> None:
    enrolled_on_the_server(hospital, named_app)
    enter(screen, hospital, "admin")
    screen.page.goto(f"{screen.base_url}/staff/{hospital.nurse.user_id}")
    screen.page.click("button:has-text('Take the second factor away')")
    screen.page.wait_for_selector("text=is taken away")
    assert names(hospital) == []


def test_where_passkeys_cannot_be_the_page_says_so(hospital: Hospital, browser: Any, base_url: str) -> None:
    by_number = base_url.replace("localhost", "127.0.0.1")
    context = browser.new_context()
    tab = watch(context.new_page(), by_number)
    tab.page.goto(by_number + "/sign-in")
    tab.page.wait_for_selector(f"text=Passkeys work at {base_url}")
    assert not tab.page.is_visible("button:has-text('Sign in with a passkey')")
    enter(tab, hospital)
    tab.page.goto(by_number + "/account")
    tab.page.wait_for_selector(f"text=Passkeys work at {base_url}")
    assert not tab.page.is_visible("summary:has-text('Add a passkey')")
    assert tab.wrong == []
    context.close()


def test_without_an_address_nothing_is_offered(hospital: Hospital, ward_app: Flask) -> None:
    client = ward_app.test_client()
    assert "passkey" not in client.get("/sign-in").get_data(as_text=True)
    page = token_of_page(client, "/sign-in")
    assert client.post("/sign-in/passkey/options", data={"csrf_token": page}).status_code == 404


def test_without_javascript_codes_still_sign_in(
    hospital: Hospital, browser: Any, base_url: str, named_app: Flask
) -> None:
    enrolled_on_the_server(hospital, named_app)
    secret = new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", secret)
    plain = browser.new_context(java_script_enabled=False)
    tab = watch(plain.new_page(), base_url)
    tab.page.goto(base_url + "/sign-in")
    assert not tab.page.is_visible("text=Sign in with a passkey")
    tab.type_password(hospital, "nurse")
    assert not tab.page.is_visible("text=Use a passkey")
    type_code(tab, code_now(secret))
    tab.page.goto(base_url + "/account")
    tab.page.click("summary:has-text('Remove')")
    tab.page.fill(".passkeys [type=password]", PASSWORD)
    tab.page.click("button:has-text('Remove Phone')")
    tab.page.wait_for_selector("text=The passkey is removed")
    assert names(hospital) == []
    hospital.change("UPDATE users SET totp_secret = NULL")
    plain.close()


def test_axe_finds_nothing_on_the_pages_of_passkeys(hospital: Hospital, tablet: Screen, named_app: Flask) -> None:
    tablet.page.goto(tablet.base_url + "/sign-in")
    tablet.page.wait_for_selector("button:has-text('Sign in with a passkey')")
    tablet.inspect("sign in")
    enter(tablet, hospital)
    Device(tablet.page)
    for name in ("A rather long name for the phone that lies in the drawer of 1 N", "Stick"):
        add(tablet, name[:60])
        if name == "Stick":
            alert(tablet)
            tablet.inspect("a device that is registered")
        else:
            tablet.page.wait_for_selector(ADDED)
    enrolled_on_the_server(hospital, named_app)
    tablet.page.goto(tablet.base_url + "/account")
    tablet.inspect("the account")
    tablet.page.click("summary.btn.quiet >> nth=0")
    tablet.page.click("button:has-text('Lock the screen')")
    tablet.page.wait_for_selector("button:has-text('Sign in with a passkey')")
    tablet.inspect("the lock")
    tablet.page.click("button:has-text('Somebody else')")
    tablet.sign_in(hospital, "nurse")
    tablet.page.wait_for_selector("button:has-text('Use a passkey')")
    tablet.inspect("the passkey")
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", new_secret())
    tablet.page.reload()
    tablet.page.wait_for_selector("button:has-text('Use a passkey')")
    tablet.inspect("the code or the passkey")


# The cookie that knows what was asked, without a browser


def enrolled_on_the_server(hospital: Hospital, app: Flask) -> Forger:
    """A device of the nurse's, in Python."""
    device = enrolled(hospital, hospital.nurse)
    device.origin = app.extensions["valmed"].config.origin
    return device


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
