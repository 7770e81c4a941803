"""The admin's journeys: staff, places, policies, the audit trail."""

import pytest

from tests.hospital import PASSWORD, Hospital
from tests.ui.conftest import Screen

PAGES = ("/staff", "/staff/new", "/places", "/policies", "/audit")


def _fill(screen: Screen, **fields: str) -> None:
    for name, value in fields.items():
        screen.page.fill(f"#{name}", value)


def test_somebody_begins_works_and_leaves(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "admin")
    screen.page.click("a:has-text('Add somebody')")
    _fill(screen, email=f"mia@{hospital.slug}.example", name="Mia Lang", password="short")
    screen.page.select_option("#role", "nurse")
    screen.page.check("label:has-text('1 North') input")
    screen.page.click("main button.primary")
    assert "between 12 and 128 characters" in screen.page.inner_text(".refused")
    assert screen.page.input_value("#name") == "Mia Lang"
    assert screen.page.is_checked("label:has-text('1 North') input")
    _fill(screen, password=PASSWORD)
    screen.page.click("main button.primary")
    screen.page.wait_for_selector("text=Mia Lang can sign in")
    found = hospital.rows(
        "SELECT u.role::text, u.active, w.name FROM users u JOIN ward_memberships m ON m.user_id = u.id"
        " JOIN wards w ON w.id = m.ward_id WHERE u.name = 'Mia Lang'"
    )
    assert found == [("nurse", True, "1 North")]

    screen.page.click("a:has-text('Mia Lang')")
    screen.page.uncheck("label:has-text('Works here') input")
    screen.page.uncheck("label:has-text('1 North') input")
    screen.page.click("main button.primary")
    screen.page.wait_for_selector("text=Mia Lang is changed")
    assert hospital.rows("SELECT active FROM users WHERE name = 'Mia Lang'") == [(False,)]
    screen.page.click("a:has-text('Mia Lang')")
    screen.page.click("a:has-text('What was changed about them')")
    assert "Active: true to false" in screen.page.inner_text("table").replace("True", "true").replace("False", "false")


def test_password_typed_into_a_form_that_was_sent_is_not_told_as_set(hospital: Hospital, screen: Screen) -> None:
    """Two tabs that hold one form: a browser that was closed and opened again shows it so."""
    screen.sign_in(hospital, "admin")
    screen.page.goto(f"{screen.base_url}/staff/{hospital.nurse.user_id}")
    form = {name: screen.page.get_attribute(f"main form [name={name}]", "value") for name in ("csrf_token", "key")}
    form |= {"name": "Nurse", "role": "nurse", "active": "1"}

    def save(password: str) -> str:
        return screen.page.request.post(screen.page.url, form={**form, "password": password}).text()

    assert "can sign in with the new password" in save("four small brown mice")
    stored = hospital.rows("SELECT password_hash FROM users WHERE role = 'nurse'")
    assert "What you typed now was not" in save("seven lemons on a sill")
    assert hospital.rows("SELECT password_hash FROM users WHERE role = 'nurse'") == stored


def test_an_email_that_is_taken_is_told(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "admin")
    screen.page.goto(f"{screen.base_url}/staff/new")
    _fill(screen, email=f"nurse@{hospital.slug}.example", name="Again", password=PASSWORD)
    screen.page.click("main button.primary")
    assert "has this email" in screen.page.inner_text(".refused")


def test_a_ward_opens_once(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "admin")
    for said in ("2 West is open", "Ward name taken"):
        screen.page.goto(f"{screen.base_url}/places")
        _fill(screen, name="2 West")
        screen.page.click("main form button.primary")
        screen.page.wait_for_selector(f"text={said}")
    assert hospital.rows("SELECT count(*) FROM wards WHERE name = '2 West'") == [(1,)]


def test_policies_are_changed_together_or_not_at_all(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "admin")
    screen.page.goto(f"{screen.base_url}/policies")
    screen.page.check("label:has-text('verifies each order') input")
    for hours, said in (("soon", "Transit hours"), ("12", "The policies are changed")):
        _fill(screen, transit_hours=hours)
        screen.page.click("main form button.primary")
        screen.page.wait_for_selector(f"text={said}")
        changed = hospital.rows("SELECT verification_required, transit_hours FROM organizations")
        assert changed == ([(False, 24)] if hours == "soon" else [(True, 12)])
    screen.page.click("a:has-text('Who changed them')")
    assert "Transit hours: 24 to 12" in screen.page.inner_text("table")


@pytest.mark.parametrize("login", ["nurse", "pharmacist", "doctor"])
def test_nobody_else_may(hospital: Hospital, screen: Screen, login: str) -> None:
    screen.sign_in(hospital, login)
    screen.page.wait_for_selector("h1")
    for path in (*PAGES, f"/staff/{hospital.nurse.user_id}"):
        assert screen.page.goto(screen.base_url + path).status == 403


def test_axe_finds_nothing_on_the_pages_of_an_admin(hospital: Hospital, tablet: Screen) -> None:
    tablet.sign_in(hospital, "admin")
    user = f"/staff/{hospital.nurse.user_id}"
    for path in (*PAGES, user):
        tablet.page.goto(tablet.base_url + path)
        tablet.inspect(path)
