"""Passkeys on the pages, with Chromium's virtual authenticator: added, used after the password and alone, removed."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import BaseWSGIServer, make_server

from backend.domain.identity.sign_in.totp import new_secret
from tests.hospital import PASSWORD, Hospital
from tests.ui.authenticating import Device, enrolled_on_the_server, names
from tests.ui.conftest import Screen, watch
from tests.ui.test_signing_in import code_now, token_of_page, tokens_of, type_code

ADDED = "text=is added"


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
