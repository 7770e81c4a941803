"""Care teams in a real browser: who is on it, a change that names both people first, and what a refusal says to do."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.actor import Role
from backend.domain.care_team.models import CareRole
from tests import day
from tests.hospital import Hospital
from tests.ui.conftest import Screen, watch

Enter = Callable[..., Screen]


@pytest.fixture
def cared_for(hospital: Hospital) -> Hospital:
    """A hospital whose patient has Ada as PRIMARY and Ben as consultant; Eva is free."""
    for login in ("ada", "ben", "eva"):
        hospital.add_staff(login, Role.DOCTOR)
    for login, role in (("ada", CareRole.PRIMARY), ("ben", CareRole.CONSULTANT)):
        day.assign(hospital, hospital.patient_id, hospital.staff[login].user_id, role)
    return hospital


@pytest.fixture
def enter(browser: Any, base_url: str, hospital: Hospital) -> Iterator[Enter]:
    """Signs somebody in, in a browser of their own, with a second factor unless said otherwise."""
    opened = []

    def sign_in(login: str, *, second_factor: bool = True, **options: Any) -> Screen:
        context = browser.new_context(**options)
        screen = watch(context.new_page(), base_url)
        screen.sign_in(hospital, login)
        screen.page.wait_for_selector("nav.tabs")
        opened.append((context, screen))
        if second_factor:  # as a sign-in with a code leaves it
            hospital.change("UPDATE access_tokens SET second_factor = true")
        return screen

    yield sign_in
    for context, screen in opened:
        context.close()
        assert (screen.wrong, screen.foreign) == ([], [])


def open_team(screen: Screen, hospital: Hospital) -> None:
    """The page of the team, from the patient's."""
    screen.page.goto(f"{screen.base_url}/patients/{hospital.patient_id}")
    screen.page.click("a:has-text('istory')")
    screen.page.wait_for_selector("h1:has-text('Care team')")


def members(hospital: Hospital) -> set[tuple[str, str]]:
    """Who is on the team, by the database."""
    return set(
        hospital.rows(
            "SELECT u.name, a.role::text FROM care_team_assignments a JOIN users u ON u.id = a.provider_id"
            " WHERE a.removed_at IS NULL"
        )
    )


def shown(screen: Screen) -> list[str]:
    """The team as the page lists it."""
    return [" ".join(text.split()) for text in screen.page.locator("#team-title ~ .found li").all_inner_texts()]


@pytest.mark.parametrize("login", ["nurse", "pharmacist", "doctor"])
def test_the_patients_page_shows_the_team_the_primary_first(cared_for: Hospital, enter: Enter, login: str) -> None:
    screen = enter(login)
    screen.page.goto(f"{screen.base_url}/patients/{cared_for.patient_id}")
    texts = [" ".join(text.split()) for text in screen.page.locator(".team li").all_inner_texts()]
    assert texts == ["Ada Primary", "Ben Consultant"]
    open_team(screen, cared_for)
    assert screen.page.locator("a:has-text('Make primary')").count() == (1 if login == "doctor" else 0)


def test_a_doctor_changes_the_primary_after_reading_both_names(cared_for: Hospital, enter: Enter) -> None:
    screen = enter("doctor")
    open_team(screen, cared_for)
    screen.page.click("a:has-text('Make primary')")
    assert screen.page.inner_text("h1") == "Replace Ada by Ben?"
    assert "Okafor, Grace" in screen.page.inner_text("main")
    assert screen.page.is_checked("input[value=demote]")
    assert members(cared_for) == {("Ada", "PRIMARY"), ("Ben", "CONSULTANT")}
    screen.page.click("button:has-text('Replace Ada by Ben')")
    screen.page.wait_for_selector("text=Ben is the primary provider now.")
    assert members(cared_for) == {("Ben", "PRIMARY"), ("Ada", "SPECIALIST")}
    assert shown(screen)[0].startswith("Ben since")
    history = [" ".join(text.split()) for text in screen.page.locator("tbody tr").all_inner_texts()]
    assert [line.split()[:2] for line in history if "At present" in line] in (
        [["Ben", "Primary"], ["Ada", "Specialist"]],
        [["Ada", "Specialist"], ["Ben", "Primary"]],
    )
    assert sorted(line.split()[:2] for line in history if "At present" not in line) == [
        ["Ada", "Primary"],
        ["Ben", "Consultant"],
    ]


def test_the_old_primary_may_leave_the_team_and_no_script_is_needed(cared_for: Hospital, enter: Enter) -> None:
    screen = enter("doctor", java_script_enabled=False)
    open_team(screen, cared_for)
    screen.page.fill("#q", "ev")
    screen.page.click("button:has-text('Show doctors')")
    options = screen.page.locator("#provider_id option").all_inner_texts()
    assert options == ["Choose", "Eva"]
    screen.page.select_option("#provider_id", label="Eva")
    screen.page.select_option("#role", label="Primary (in place of Ada)")
    screen.page.click("button:has-text('Add to the team')")
    screen.page.wait_for_selector("h1:has-text('Replace Ada by Eva?')")
    screen.page.check("input[value=remove]")
    screen.page.click("button:has-text('Replace Ada by Eva')")
    screen.page.wait_for_selector("text=Eva is the primary provider now.")
    assert members(cared_for) == {("Eva", "PRIMARY"), ("Ben", "CONSULTANT")}


def test_a_doctor_adds_and_removes_and_the_history_keeps_it(cared_for: Hospital, enter: Enter) -> None:
    screen = enter("doctor")
    open_team(screen, cared_for)
    screen.page.select_option("#provider_id", label="Eva")
    screen.page.select_option("#role", label="Specialist")
    screen.page.click("button:has-text('Add to the team')")
    screen.page.wait_for_selector("text=Eva is on the care team: Specialist.")
    assert ("Eva", "SPECIALIST") in members(cared_for)
    screen.page.click("a:has-text('Remove Ada')")
    assert screen.page.inner_text("h1") == "Remove Ada from the care team?"
    assert "then has no primary provider" in screen.page.inner_text("main")
    assert ("Ada", "PRIMARY") in members(cared_for)
    screen.page.click("button:has-text('Remove Ada')")
    screen.page.wait_for_selector("text=Removed from the care team")
    assert members(cared_for) == {("Ben", "CONSULTANT"), ("Eva", "SPECIALIST")}
    assert "There is no primary provider." in screen.page.inner_text("main")
    assert screen.page.locator("tbody th:has-text('Ada')").count() == 1
    screen.page.goto(f"{screen.base_url}/patients/{cared_for.patient_id}")
    assert "There is no primary provider." in screen.page.inner_text("main")


def test_who_confirms_what_another_changed_meanwhile_is_told_and_nothing_changes(
    cared_for: Hospital, enter: Enter
) -> None:
    screen = enter("doctor")
    open_team(screen, cared_for)
    screen.page.click("a:has-text('Make primary')")
    day.change_primary(cared_for, cared_for.patient_id, cared_for.staff["eva"].user_id)
    before = members(cared_for)
    screen.page.click("button:has-text('Replace Ada by Ben')")
    screen.page.wait_for_selector("[role=alert]")
    assert members(cared_for) == before
    assert "Look at who is PRIMARY now, and decide anew." in screen.page.inner_text("[role=alert]")
    assert screen.page.inner_text("h1") == "Replace Eva by Ben?"
    screen.page.click("button:has-text('Replace Eva by Ben')")
    screen.page.wait_for_selector("text=Ben is the primary provider now.")
    assert members(cared_for) == {("Ben", "PRIMARY"), ("Ada", "SPECIALIST"), ("Eva", "SPECIALIST")}


def test_without_a_code_the_page_says_what_to_do_and_changes_nothing(cared_for: Hospital, enter: Enter) -> None:
    screen = enter("doctor", second_factor=False)
    open_team(screen, cared_for)
    assert "sign out and sign in with the code of your authenticator app" in screen.page.inner_text("main")
    assert screen.page.locator("a:has-text('Make primary'), a:has-text('Remove'), #provider_id").count() == 0
    before = members(cared_for)
    team = f"{screen.base_url}/patients/{cared_for.patient_id}/care-team"
    page = screen.page.goto(f"{team}/primary?provider_id={cared_for.staff['eva'].user_id}")
    assert page.status == 403
    assert "sign in with the code of your authenticator app" in screen.page.inner_text("main")
    screen.page.goto(team)
    token = screen.page.locator("input[name=csrf_token]").first.get_attribute("value")
    form = {"csrf_token": str(token), "provider_id": str(cared_for.staff["eva"].user_id), "role": "CONSULTANT"}
    answer = screen.page.request.post(team, form=form, headers={"Referer": team})
    assert answer.status == 403
    assert "Sign out, and sign in with the code of your authenticator app or a passkey." in answer.text()
    assert members(cared_for) == before


@pytest.mark.parametrize("login", ["nurse", "pharmacist"])
def test_who_may_not_change_a_team_is_refused(cared_for: Hospital, enter: Enter, login: str) -> None:
    screen = enter(login)
    ada = cared_for.rows("SELECT id FROM care_team_assignments ORDER BY assigned_at LIMIT 1")[0][0]
    team = f"{screen.base_url}/patients/{cared_for.patient_id}/care-team"
    pages = (f"{team}/primary?provider_id={cared_for.staff['eva'].user_id}", f"{team}/{ada}/remove")
    assert [screen.page.request.get(page).status for page in pages] == [403, 403]


def test_a_form_that_is_sent_odd_is_no_5xx(cared_for: Hospital, enter: Enter) -> None:
    screen = enter("doctor")
    team = f"{screen.base_url}/patients/{cared_for.patient_id}/care-team"
    screen.page.goto(team)
    token = str(screen.page.locator("input[name=csrf_token]").first.get_attribute("value"))
    before = members(cared_for)
    nurse = str(cared_for.nurse.user_id)
    forms: list[tuple[str, dict[str, str]]] = [
        (team, {}),
        (team, {"provider_id": "x", "role": "KING"}),
        (team, {"provider_id": nurse, "role": "PRIMARY"}),
        (f"{team}/primary", {}),
        (f"{team}/primary", {"provider_id": nurse, "outgoing": "x"}),
        (f"{team}/primary", {"provider_id": nurse, "replaces": nurse}),
        (f"{team}/{nurse}/remove", {}),
    ]
    sent = [
        screen.page.request.post(page, form={"csrf_token": token, **form}, headers={"Referer": team}).status
        for page, form in forms
    ]
    assert sent == [422, 422, 422, 422, 422, 422, 404]
    asked = (f"{team}/primary", f"{team}/primary?provider_id=x", f"{team}/primary?provider_id={nurse}")
    assert [screen.page.request.get(page).status for page in (*asked, f"{team}?cursor=x")] == [422] * 4
    assert members(cared_for) == before


def test_a_doctor_who_left_is_marked_where_they_were(cared_for: Hospital, enter: Enter) -> None:
    cared_for.change("UPDATE users SET active = false WHERE name = 'Ada'")
    screen = enter("nurse")
    screen.page.goto(f"{screen.base_url}/patients/{cared_for.patient_id}")
    assert "Has left the hospital" in screen.page.inner_text(".team li >> nth=0")


def test_the_page_of_orders_to_verify_says_whose_doctor_does_not_care_for_the_patient(
    cared_for: Hospital, enter: Enter
) -> None:
    cared_for.place(dose_text="from outside")
    screen = enter("pharmacist")
    screen.page.goto(f"{screen.base_url}/orders/to-verify")
    assert "Prescribed by Doctor" in screen.page.inner_text(".patient")
    assert "Not on the patient’s care team" in screen.page.inner_text(".patient")
    day.assign(cared_for, cared_for.patient_id, cared_for.staff["doctor"].user_id, CareRole.SPECIALIST)
    screen.page.reload()
    assert "Prescribed by Doctor" in screen.page.inner_text(".patient")
    assert "Not on" not in screen.page.inner_text(".patient")


def test_axe_finds_nothing_on_the_pages_of_a_care_team(cared_for: Hospital, tablet: Screen) -> None:
    cared_for.place()
    cared_for.change("UPDATE users SET active = false WHERE name = 'Ben'")
    tablet.sign_in(cared_for, "doctor")
    tablet.page.wait_for_selector("nav.tabs")
    cared_for.change("UPDATE access_tokens SET second_factor = true")
    where = f"{tablet.base_url}/patients/{cared_for.patient_id}"
    ((ada,),) = cared_for.rows("SELECT id FROM care_team_assignments WHERE role = 'PRIMARY'")
    eva = cared_for.staff["eva"].user_id
    for page in ("", "/care-team", f"/care-team/primary?provider_id={eva}", f"/care-team/{ada}/remove"):
        tablet.page.goto(where + page)
        tablet.inspect(page)
    tablet.page.goto(f"{where}/care-team")
    cared_for.change("UPDATE users SET active = false WHERE name = 'Eva'")
    tablet.page.select_option("#provider_id", label="Eva")
    tablet.page.select_option("#role", label="Consultant")
    tablet.page.click("button:has-text('Add to the team')")
    tablet.page.wait_for_selector("[role=alert]")
    tablet.inspect("refused")
    tablet.page.context.clear_cookies()
    tablet.sign_in(cared_for, "pharmacist")
    tablet.page.wait_for_selector("nav.tabs")
    tablet.page.goto(f"{tablet.base_url}/orders/to-verify")
    tablet.inspect("to verify")
