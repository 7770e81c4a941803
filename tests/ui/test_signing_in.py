"""Signing in on two pages, enrolment, the account: what a thief of a password, a code or a cookie does not get."""

import re
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient

from backend.domain.identity.sign_in.attempts import Attempt, count_failure
from backend.domain.identity.sign_in.totp import code_of, new_secret, step_at
from tests.hospital import PASSWORD, Hospital, now
from tests.ui.conftest import Screen, watch

NEW = "another long password"


@pytest.fixture
def secret(hospital: Hospital) -> str:
    """What the nurse has enrolled."""
    made = new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", made)
    return made


def code_now(secret: str, later: int = 0) -> str:
    """What the app shows, or will show."""
    return code_of(secret, step_at(now()) + later)


def wrong_code(secret: str) -> str:
    """None of the codes that the app shows around now."""
    shown = {code_now(secret, off) for off in range(-2, 3)}
    return next(f"{number:06}" for number in range(len(shown) + 1) if f"{number:06}" not in shown)


def type_code(screen: Screen, otp: str) -> None:
    """Types the code on the page that asks for it."""
    screen.page.fill("#otp", otp)
    screen.page.click("main button.primary")


def shown_secret(screen: Screen) -> str:
    """What the page of enrolment says to type."""
    screen.page.click("summary:has-text('cannot scan')")
    return str(screen.page.inner_text(".secret").replace(" ", ""))


def tokens_of(hospital: Hospital) -> list[tuple[Any, ...]]:
    """The sign-ins that have not ended: whether each was by a second factor."""
    return hospital.rows("SELECT second_factor FROM access_tokens WHERE revoked_at IS NULL ORDER BY created_at")


def test_the_code_has_a_page_of_its_own_and_works_once(
    hospital: Hospital, screen: Screen, secret: str, browser: Any, base_url: str
) -> None:
    screen.type_password(hospital, "nurse")
    screen.page.wait_for_selector("h1:has-text('One-time code')")
    assert screen.page.get_attribute("#otp", "autocomplete") == "one-time-code"
    assert screen.page.get_attribute("#otp", "inputmode") == "numeric"
    assert screen.page.locator("main input:visible").count() == 1
    assert tokens_of(hospital) == []
    type_code(screen, wrong_code(secret))
    screen.page.wait_for_selector("text=wrong or has expired")
    otp = code_now(secret, 1)  # good for a minute at the least
    type_code(screen, otp)
    screen.page.wait_for_selector("nav.tabs")
    assert tokens_of(hospital) == [(True,)]

    context = browser.new_context()
    thief = watch(context.new_page(), base_url)
    thief.type_password(hospital, "nurse")
    type_code(thief, otp)
    thief.page.wait_for_selector("[role=alert]")
    assert "Wait for the next one" in thief.page.inner_text("[role=alert]")
    assert tokens_of(hospital) == [(True,)]
    context.close()


def test_between_the_pages_nobody_is_signed_in(hospital: Hospital, screen: Screen, secret: str) -> None:
    screen.type_password(hospital, "nurse")
    screen.page.wait_for_selector("#otp")
    for path in ("/", "/account", f"/wards/{hospital.ward_id}", "/sign-in/enrol"):
        screen.page.goto(screen.base_url + path)
        assert screen.page.locator("nav.tabs").count() == 0, path
    assert tokens_of(hospital) == []


def test_who_must_have_a_second_factor_enrols_right_after_the_password(hospital: Hospital, screen: Screen) -> None:
    hospital.change("UPDATE organizations SET second_factor_roles = '{nurse}'")
    screen.type_password(hospital, "nurse")
    screen.page.wait_for_selector("h1:has-text('Set up a second factor')")
    screen.page.goto(screen.base_url + "/account")
    assert screen.page.locator("#password").count() == 1, "nothing else before it is complete"
    screen.type_password(hospital, "nurse")
    secret = shown_secret(screen)
    type_code(screen, wrong_code(secret))
    screen.page.wait_for_selector("[role=alert]")
    assert shown_secret(screen) == secret, "who has scanned it need not scan again"
    assert hospital.rows("SELECT count(*) FROM users WHERE totp_secret IS NOT NULL") == [(0,)]
    assert tokens_of(hospital) == []
    type_code(screen, code_now(secret))
    screen.page.wait_for_selector("text=The second factor is on")
    assert hospital.rows("SELECT role::text FROM users WHERE totp_secret = :p1", secret) == [("nurse",)]
    assert tokens_of(hospital) == [(True,)]
    screen.page.goto(screen.base_url + "/account")
    assert screen.page.locator("text=Turn it off").count() == 0
    assert "cannot be turned off" in screen.page.inner_text("main")


def test_a_second_factor_is_set_up_renewed_and_turned_off(hospital: Hospital, screen: Screen) -> None:
    screen.type_password(hospital, "nurse")
    screen.page.click("summary:has-text('Nurse')")
    screen.page.click("a:has-text('My account')")
    assert "1 North" in screen.page.inner_text("dl")
    screen.page.click("a:has-text('Set up a second factor')")
    first = shown_secret(screen)
    type_code(screen, code_now(first))
    screen.page.wait_for_selector("text=From your next sign-in on")

    screen.page.click("summary:has-text('Nurse')")
    screen.page.click("button:has-text('Sign out')")
    screen.type_password(hospital, "nurse")
    type_code(screen, code_now(first, 1))
    screen.page.wait_for_selector("nav.tabs")
    screen.page.goto(screen.base_url + "/account")
    screen.page.click("a:has-text('Set up another phone')")
    second = shown_secret(screen)
    for password, said in (("wrong", "is not yours"), (PASSWORD, "The second factor is on")):
        screen.page.fill("#password", password)
        type_code(screen, code_now(second, 1))
        screen.page.wait_for_selector(f"text={said}")
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(second,)]

    for password, said in (("wrong", "is not yours"), (PASSWORD, "The second factor is off")):
        if password == PASSWORD:
            assert screen.page.is_visible("#factor-password"), "the form that was refused stays open"
        else:
            screen.page.click("summary:has-text('Turn it off')")
        screen.page.fill("#factor-password", password)
        screen.page.click("button:has-text('Turn the second factor off')")
        screen.page.wait_for_selector(f"text={said}")
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(None,)]


def test_signing_out_everywhere_ends_the_screen_elsewhere(
    hospital: Hospital, screen: Screen, browser: Any, base_url: str
) -> None:
    context = browser.new_context()
    elsewhere = watch(context.new_page(), base_url)
    for tab in (screen, elsewhere):
        tab.type_password(hospital, "nurse")
        tab.page.wait_for_selector("nav.tabs")
    assert len(tokens_of(hospital)) == 2
    screen.page.goto(base_url + "/account")
    screen.page.click("button:has-text('Sign out everywhere')")
    screen.page.wait_for_selector("text=You are signed out everywhere")
    assert tokens_of(hospital) == []
    elsewhere.page.goto(base_url + "/account")
    elsewhere.page.wait_for_selector("h1:has-text('Sign in')")
    context.close()


def test_a_sign_in_elsewhere_is_seen_and_ended_alone(
    hospital: Hospital, screen: Screen, browser: Any, base_url: str
) -> None:
    context = browser.new_context()
    elsewhere = watch(context.new_page(), base_url)
    for tab in (elsewhere, screen):
        tab.type_password(hospital, "nurse")
        tab.page.wait_for_selector("nav.tabs")
    screen.page.goto(base_url + "/account")
    rows = screen.page.locator(".sign-ins li")
    assert [("This screen" in text, "End it" in text) for text in rows.all_inner_texts()] == [
        (True, False),
        (False, True),
    ]
    screen.page.click("button:has-text('End it')")
    screen.page.wait_for_selector("text=That sign-in has ended")
    assert rows.count() == 1
    assert len(tokens_of(hospital)) == 1
    elsewhere.page.goto(base_url + "/account")
    elsewhere.page.wait_for_selector("h1:has-text('Sign in')")
    context.close()


def test_ones_own_password_is_changed_and_every_screen_signs_in_again(hospital: Hospital, screen: Screen) -> None:
    screen.type_password(hospital, "nurse")
    screen.page.wait_for_selector("nav.tabs")
    screen.page.goto(screen.base_url + "/account")
    for present, new, again, said in (
        ("wrong", NEW, NEW, "is not yours"),
        (PASSWORD, "short", "short", "between 12 and 128 characters"),
        (PASSWORD, NEW, NEW + "!", "not the same as the new password"),
        (PASSWORD, NEW, NEW, "Your password is changed"),
    ):
        for field, value in (("password", present), ("new_password", new), ("again", again)):
            screen.page.fill(f"#{field}", value)
        screen.page.click("button:has-text('Change it')")
        screen.page.wait_for_selector(f"text={said}")
    assert tokens_of(hospital) == []
    screen.type_password(hospital, "nurse")
    screen.page.wait_for_selector("text=is wrong")


def test_an_admin_takes_the_second_factor_of_a_lost_phone_away(hospital: Hospital, screen: Screen, secret: str) -> None:
    screen.type_password(hospital, "admin")
    screen.page.wait_for_selector("nav.tabs")
    screen.page.goto(f"{screen.base_url}/staff/{hospital.nurse.user_id}")
    screen.page.click("button:has-text('Take the second factor away')")
    screen.page.wait_for_selector("text=is taken away")
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(None,)]


def test_the_policy_is_set_by_roles(hospital: Hospital, screen: Screen) -> None:
    screen.type_password(hospital, "admin")
    screen.page.wait_for_selector("nav.tabs")
    screen.page.goto(screen.base_url + "/policies")
    screen.page.check("label:has-text('Nurses') input")
    screen.page.click("main form button.primary")
    screen.page.wait_for_selector("text=The policies are changed")
    assert hospital.rows("SELECT second_factor_roles FROM organizations") == [(["nurse"],)]
    assert screen.page.is_checked("label:has-text('Nurses') input")
    assert not screen.page.is_checked("label:has-text('Doctors') input")


@pytest.fixture
def locked(hospital: Hospital) -> Hospital:
    """The nurse's account has had all its failures."""
    for number in range(hospital.database.config.account_failures_max):
        count_failure(hospital.database, Attempt(hospital.slug, f"nurse@{hospital.slug}.example", f"192.0.2.{number}"))
    return hospital


def test_a_password_is_shown_to_who_wants_to_see_it_and_sent_hidden(hospital: Hospital, screen: Screen) -> None:
    screen.page.goto(screen.base_url + "/sign-in")
    screen.page.fill("#organization", hospital.slug)
    screen.page.fill("#email", f"nurse@{hospital.slug}.example")
    screen.page.fill("#password", "wrong")
    assert screen.page.get_attribute("#password", "type") == "password"
    screen.page.click("button:has-text('Show what I type')")
    assert screen.page.get_attribute("#password", "type") == "text"
    screen.page.click("main button.primary")
    screen.page.wait_for_selector("[role=alert]")
    assert screen.page.get_attribute("#password", "type") == "password"
    screen.page.fill("#password", PASSWORD)
    screen.page.click("button:has-text('Show what I type')")
    screen.page.click("button:has-text('Hide what I type')")
    screen.page.press("#password", "Enter")
    screen.page.wait_for_selector("nav.tabs")


def test_a_locked_account_says_when_to_try_again(locked: Hospital, screen: Screen) -> None:
    screen.page.goto(screen.base_url + "/sign-in")
    with screen.page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        screen.type_password(locked, "nurse")
    assert answered.value.status == 429
    assert 0 < int(answered.value.headers["retry-after"]) <= 15 * 60
    assert "Try again in 15 minutes" in screen.page.inner_text("[role=alert]")
    assert screen.page.input_value("#email") == f"nurse@{locked.slug}.example"


def test_a_lock_holds_on_every_page_that_asks_for_a_password_or_a_code(
    hospital: Hospital, screen: Screen, secret: str
) -> None:
    screen.type_password(hospital, "nurse")
    type_code(screen, code_now(secret))
    screen.page.wait_for_selector("nav.tabs")
    screen.page.click("summary:has-text('Nurse')")
    screen.page.click("button:has-text('Lock the screen')")
    screen.page.wait_for_selector("h1:has-text('Screen locked')")
    email = f"nurse@{hospital.slug}.example"
    for number in range(hospital.database.config.account_failures_max - 1):
        count_failure(hospital.database, Attempt(hospital.slug, email, f"192.0.2.{number}"))
    for password, said in (("wrong", "That is not the password"), (PASSWORD, "Try again in")):
        screen.page.fill("#password", password)
        screen.page.click("button:has-text('Unlock')")
        screen.page.wait_for_selector(f"text={said}")
    assert screen.page.locator("h1:has-text('Screen locked')").count() == 1


def test_everything_works_without_javascript(hospital: Hospital, browser: Any, base_url: str) -> None:
    hospital.change("UPDATE organizations SET second_factor_roles = '{nurse}'")
    plain = browser.new_context(java_script_enabled=False)
    tab = watch(plain.new_page(), base_url)
    tab.type_password(hospital, "nurse")
    secret = shown_secret(tab)
    type_code(tab, code_now(secret))
    assert tab.page.locator("nav[aria-label=Pages]").count() == 1
    tab.page.goto(base_url + "/account")
    tab.page.click("button:has-text('Sign out everywhere')")
    tab.type_password(hospital, "nurse")
    type_code(tab, code_now(secret, 1))
    assert tab.page.locator("nav[aria-label=Pages]").count() == 1
    assert tokens_of(hospital) == [(True,)]
    plain.close()


def test_axe_finds_nothing_on_the_pages_of_signing_in(hospital: Hospital, tablet: Screen, secret: str) -> None:
    hospital.change("UPDATE organizations SET second_factor_roles = '{doctor}'")
    tablet.page.goto(tablet.base_url + "/")
    tablet.inspect("sign in")
    tablet.type_password(hospital, "doctor")
    tablet.page.wait_for_selector("svg.qr")
    tablet.inspect("enrolment after the password")
    tablet.type_password(hospital, "nurse")
    type_code(tablet, wrong_code(secret))
    tablet.page.wait_for_selector("[role=alert]")
    tablet.inspect("the code")
    type_code(tablet, code_now(secret))
    tablet.page.wait_for_selector("nav.tabs")
    for path in ("/account", "/account/second-factor"):
        tablet.page.goto(tablet.base_url + path)
        tablet.inspect(path)


def test_device_in_dark_mode_gets_the_dark_theme(browser: Any, base_url: str) -> None:
    context = browser.new_context(color_scheme="dark")
    tab = watch(context.new_page(), base_url)
    tab.page.goto(base_url + "/sign-in")
    assert tab.page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    assert (tab.wrong, tab.foreign) == ([], [])
    context.close()


# The cookie between the two pages, without a browser


def token_of_page(client: FlaskClient, path: str) -> str:
    """The CSRF token that the page is rendered with."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).get_data(as_text=True))
    assert found is not None
    return found[1]


def half_way(app: Flask, hospital: Hospital) -> FlaskClient:
    """Somebody whose password was right and whose code is still to come."""
    client = app.test_client()
    email = f"nurse@{hospital.slug}.example"
    form = {"organization": hospital.slug, "email": email, "password": PASSWORD}
    answer = client.post("/sign-in", data={"csrf_token": token_of_page(client, "/sign-in"), **form})
    assert (answer.status_code, answer.location) == (302, "/sign-in/code?next=/")
    return client


def send_code(client: FlaskClient, page: str, otp: str) -> str:
    """Where the code leads."""
    answer = client.post("/sign-in/code", data={"csrf_token": page, "otp": otp, "next": "/"})
    return answer.location or str(answer.status_code)


def test_the_cookie_between_the_pages_holds_no_token_and_ends_after_five_minutes(
    ward_app: Flask, hospital: Hospital, secret: str
) -> None:
    for seconds, leads in ((270, "/"), (301, "/sign-in?next=/")):  # half a minute, for a slow machine
        client = half_way(ward_app, hospital)
        page = token_of_page(client, "/sign-in/code")
        with client.session_transaction() as session:
            assert set(session) == {"half", "csrf_token"}
            assert PASSWORD not in str(dict(session))
            session["half"] = {**session["half"], "at": int(datetime.now().timestamp()) - seconds}  # noqa: DTZ005
        assert send_code(client, page, code_now(secret, 1)) == leads
        assert tokens_of(hospital) == [(True,)]


def test_a_cookie_that_somebody_else_signed_is_nobodys(ward_app: Flask, hospital: Hospital, secret: str) -> None:
    client = half_way(ward_app, hospital)
    assert client.get("/sign-in/code").status_code == 200
    mine = client.get_cookie("valmed")
    assert mine is not None
    guessing = Flask("guessing")
    guessing.secret_key = "guessed"
    ours, forger = (SecureCookieSessionInterface().get_signing_serializer(app) for app in (ward_app, guessing))
    assert ours is not None
    assert forger is not None
    client.set_cookie("valmed", forger.dumps(ours.loads(mine.value)))
    assert client.get("/sign-in/code").location == "/sign-in?next=/"


def test_a_new_password_ends_what_the_old_one_began(ward_app: Flask, hospital: Hospital, secret: str) -> None:
    client = half_way(ward_app, hospital)
    page = token_of_page(client, "/sign-in/code")
    hospital.change("UPDATE users SET password_hash = 'another' WHERE role = 'nurse'")
    assert send_code(client, page, code_now(secret)) == "/sign-in?next=/"
    assert tokens_of(hospital) == []


@pytest.mark.parametrize("form", [{}, {"secret": "x", "otp": "123456"}, {"secret": "A" * 32}, {"otp": "1" * 999}])
def test_an_enrolment_that_is_none_is_refused(ward_app: Flask, hospital: Hospital, form: dict[str, str]) -> None:
    hospital.change("UPDATE organizations SET second_factor_roles = '{nurse}'")
    client = ward_app.test_client()
    first = {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": PASSWORD}
    client.post("/sign-in", data={"csrf_token": token_of_page(client, "/sign-in"), **first})
    answer = client.post("/sign-in/enrol", data={"csrf_token": token_of_page(client, "/sign-in/enrol"), **form})
    assert answer.status_code == 403
    assert tokens_of(hospital) == []
