"""A password that an admin gives, on the pages: told to the admin, exchanged by its owner, good for nothing else."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.actor import Role
from tests.hospital import PASSWORD, Hospital
from tests.ui.conftest import Screen, watch
from tests.ui.test_doors import send, token_on
from tests.ui.test_signing_in import code_now, shown_secret, tokens_of, type_code, wrong_code

OWN = "seven lemons on a sill"
CHOOSE = "h1:has-text('Choose your own password')"
PENDING = "SELECT count(*) FROM users WHERE first_password_expires_at IS NOT NULL"


@pytest.fixture
def begun(hospital: Hospital) -> Hospital:
    """A hospital where a nurse begins, as `new`."""
    hospital.add_staff("new", Role.NURSE, (hospital.ward_id,), own_password=False)
    return hospital


def choose(screen: Screen, new: str = OWN, again: str | None = None) -> None:
    """Fills the form in."""
    screen.page.fill("#new_password", new)
    screen.page.fill("#again", new if again is None else again)
    screen.page.click("main button.primary")


def test_whom_an_admin_adds_chooses_their_own_password_before_anything_else(
    hospital: Hospital, screen: Screen, browser: Any, base_url: str
) -> None:
    screen.type_password(hospital, "admin")
    screen.page.click("a:has-text('Add somebody')")
    assert "they choose their own" in screen.page.inner_text("#first")
    for name, value in {"email": f"mia@{hospital.slug}.example", "name": "Mia Lang", "password": PASSWORD}.items():
        screen.page.fill(f"#{name}", value)
    screen.page.select_option("#role", "nurse")
    screen.page.click("main button.primary")
    screen.page.wait_for_selector("text=Mia Lang can sign in with this email and password within 7 days")
    assert "First password, until" in screen.page.inner_text("table")

    context = browser.new_context()
    mia = watch(context.new_page(), base_url)
    mia.type_password(hospital, "mia")
    mia.page.wait_for_selector(CHOOSE)
    for path in ("/", "/account", "/staff", f"/wards/{hospital.ward_id}", "/sign-in/enrol"):
        mia.page.goto(base_url + path)
        assert mia.page.locator("nav.tabs").count() == 0, path
    mia.page.goto(base_url + "/sign-in/password")
    for new, again, said in (
        (PASSWORD, PASSWORD, "Choose another: somebody else knows this one."),
        ("short", "short", "Between 12 and 128 characters"),
        ("password1234", "password1234", "lists of leaked passwords"),
        (OWN, OWN + "!", "Not the same as the new password."),
    ):
        choose(mia, new, again)
        mia.page.wait_for_selector(f"text={said}")
    assert len(tokens_of(hospital)) == 1, "the admin's"
    assert hospital.rows(PENDING) == [(1,)]
    choose(mia)
    mia.page.wait_for_selector("nav.tabs")
    assert "The password is yours alone now" in mia.page.inner_text(".notice")
    assert hospital.rows(PENDING) == [(0,)]
    context.clear_cookies()
    mia.type_password(hospital, "mia")
    mia.page.wait_for_selector("text=is wrong")
    context.close()

    screen.page.reload()
    assert "First password" not in screen.page.inner_text("table")
    screen.page.click("a:has-text('Mia Lang')")
    screen.page.click("a:has-text('What was changed about them')")
    row = screen.page.locator("tr", has_text="First password expires at").first
    assert "Mia Lang" in row.inner_text()
    assert OWN not in screen.page.content()


def test_the_code_comes_before_the_choice_and_is_used_up(begun: Hospital, screen: Screen) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    begun.change("UPDATE users SET totp_secret = :p1 WHERE name = 'New'", secret)
    screen.type_password(begun, "new")
    screen.page.wait_for_selector("h1:has-text('One-time code')")
    screen.page.goto(screen.base_url + "/sign-in/password")
    choose(screen)
    screen.page.wait_for_selector("h1:has-text('One-time code')")
    assert begun.rows(PENDING) == [(1,)]
    type_code(screen, wrong_code(secret))
    screen.page.wait_for_selector("text=wrong or has expired")
    otp = code_now(secret)
    type_code(screen, otp)
    screen.page.wait_for_selector(CHOOSE)
    assert tokens_of(begun) == []
    screen.type_password(begun, "new")
    type_code(screen, otp)
    screen.page.wait_for_selector("text=was used")
    type_code(screen, code_now(secret, 1))
    screen.page.wait_for_selector(CHOOSE)
    choose(screen)
    screen.page.wait_for_selector("nav.tabs")
    assert tokens_of(begun) == [(True,)]


def test_everything_works_without_javascript_up_to_the_second_factor_that_a_role_must_have(
    begun: Hospital, browser: Any, base_url: str
) -> None:
    begun.change("UPDATE organizations SET second_factor_roles = '{nurse}'")
    plain = browser.new_context(java_script_enabled=False)
    tab = watch(plain.new_page(), base_url)
    tab.type_password(begun, "new")
    assert tab.page.locator(CHOOSE).count() == 1
    choose(tab, "short")
    assert "Between 12 and 128 characters" in tab.page.inner_text("[role=alert]")
    choose(tab)
    assert tab.page.locator("h1:has-text('Set up a second factor')").count() == 1
    assert (begun.rows(PENDING), tokens_of(begun)) == ([(0,)], [])
    type_code(tab, code_now(shown_secret(tab)))
    assert tab.page.locator("nav[aria-label=Pages]").count() == 1
    assert tokens_of(begun) == [(True,)]
    plain.close()


def test_what_one_types_can_be_shown(begun: Hospital, screen: Screen) -> None:
    screen.type_password(begun, "new")
    screen.page.wait_for_selector(CHOOSE)
    screen.page.fill("#new_password", OWN)
    screen.page.click("button:has-text('Show what I type') >> nth=0")
    assert screen.page.get_attribute("#new_password", "type") == "text"
    assert screen.page.get_attribute("#new_password", "autocomplete") == "new-password"
    assert screen.page.input_value("[autocomplete=username]") == f"new@{begun.slug}.example"


def test_one_that_has_expired_opens_nothing_and_says_whom_to_ask(begun: Hospital, screen: Screen) -> None:
    begun.change("UPDATE users SET first_password_expires_at = now() WHERE name = 'New'")
    screen.type_password(begun, "new")
    screen.page.wait_for_selector("text=has expired: ask an admin")
    assert tokens_of(begun) == []
    screen.type_password(begun, "admin")
    screen.page.wait_for_selector("nav.tabs")
    screen.page.goto(screen.base_url + "/staff")
    assert "First password expired" in screen.page.inner_text("table")
    screen.page.click("a:has-text('New')")
    assert "Give them another" in screen.page.inner_text(".notice")
    screen.page.fill("#password", "four small brown mice")
    screen.page.click("main form button.primary")
    screen.page.wait_for_selector("text=New can sign in with the new password within 7 days")
    screen.page.click("a:has-text('New')")
    assert "have not signed in yet" in screen.page.inner_text(".notice")


def test_a_lock_opens_to_no_first_password_and_leads_to_the_choice(hospital: Hospital, screen: Screen) -> None:
    screen.type_password(hospital, "nurse")
    screen.page.wait_for_selector("nav.tabs")
    screen.page.click("summary:has-text('Nurse')")
    screen.page.click("button:has-text('Lock the screen')")
    screen.page.wait_for_selector("h1:has-text('Screen locked')")
    # Given while the screen slept; its sign-in lives, as one by a passkey would.
    password_hash = "(SELECT password_hash FROM users WHERE role = 'doctor')"
    hospital.change(
        f"UPDATE users SET password_hash = {password_hash}, first_password_expires_at = now() + interval '1 day'"
        " WHERE role = 'nurse'"
    )
    screen.page.fill("#password", PASSWORD)
    screen.page.click("button:has-text('Unlock')")
    screen.page.wait_for_selector(CHOOSE)
    assert tokens_of(hospital) == [], "what the screen slept on has ended"
    choose(screen)
    screen.page.wait_for_selector("nav.tabs")
    assert tokens_of(hospital) == [(False,)]


def test_axe_finds_nothing_on_the_pages_of_a_first_password(begun: Hospital, tablet: Screen) -> None:
    begun.add_staff("late", Role.NURSE, own_password=False)
    begun.change("UPDATE users SET first_password_expires_at = now() WHERE name = 'Late'")
    tablet.type_password(begun, "new")
    tablet.page.wait_for_selector(CHOOSE)
    tablet.inspect("the choice")
    choose(tablet, "password1234")
    tablet.page.wait_for_selector("[role=alert]")
    tablet.inspect("the choice, refused")
    tablet.type_password(begun, "admin")
    tablet.page.wait_for_selector("nav.tabs")
    for path in ("/staff", "/staff/new", *(f"/staff/{begun.staff[login].user_id}" for login in ("new", "late"))):
        tablet.page.goto(tablet.base_url + path)
        tablet.inspect(path)


# Without a browser


def half_way(app: Flask, hospital: Hospital, login: str) -> FlaskClient:
    """Somebody whose password was right."""
    client = app.test_client()
    form = {"organization": hospital.slug, "email": f"{login}@{hospital.slug}.example", "password": PASSWORD}
    assert send(client, "/sign-in", "/sign-in", **form).status_code == 302
    return client


def test_the_choice_is_nobodys_who_has_typed_no_first_password(ward_app: Flask, begun: Hospital) -> None:
    form = {"new_password": OWN, "again": OWN}
    nobody = ward_app.test_client()
    assert nobody.get("/sign-in/password").location == "/sign-in?next=/"
    assert send(nobody, "/sign-in/password", "/sign-in", **form).location == "/sign-in?next=/"
    begun.change("UPDATE organizations SET second_factor_roles = '{nurse}'")
    nurse = half_way(ward_app, begun, "nurse")
    assert send(nurse, "/sign-in/password", "/sign-in/enrol", **form).status_code == 422, "who has their own"
    new = half_way(ward_app, begun, "new")
    page = token_on(new.get("/sign-in/password"))
    begun.change("UPDATE users SET password_hash = 'another' WHERE name = 'New'")
    answer = new.post("/sign-in/password", data={"csrf_token": page, **form})
    assert answer.location == "/sign-in?next=/", "given another meanwhile"
    assert tokens_of(begun) == []
    assert begun.rows(PENDING) == [(1,)]


def test_who_must_have_a_second_factor_sets_none_up_with_a_first_password(ward_app: Flask, begun: Hospital) -> None:
    new = half_way(ward_app, begun, "new")
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    answer = send(new, "/sign-in/enrol", "/sign-in/enrol", secret=secret, otp=code_now(secret))
    assert answer.location == "/sign-in/password?next=/"
    assert begun.rows("SELECT count(*) FROM users WHERE totp_secret IS NOT NULL") == [(0,)]
    assert tokens_of(begun) == []
