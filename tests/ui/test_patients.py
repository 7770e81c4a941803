"""Patients in a real browser: the chart says what the record says, and what is wrong with an entry is put right."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest

from backend.actor import Role
from backend.domain.administrations.models import Outcome
from tests import day
from tests.hospital import PASSWORD, Hospital, now
from tests.ui.conftest import Screen, watch

BERLIN = ZoneInfo("Europe/Berlin")


def in_days(days: int) -> str:
    """The day of the hospital that is `days` from today."""
    return (datetime.now(BERLIN).date() + timedelta(days=days)).isoformat()


def give(hospital: Hospital, *, units: int = 3, at: datetime | None = None, **order: Any) -> UUID:
    """A dose that the nurse has given."""
    shelf = order.get("shelf")
    changes = {"given_at": at} if at else {}
    answer = hospital.fulfil(hospital.place(units=units, **order), shelf=shelf, **changes)
    return UUID(orjson.loads(answer.body)["administration_id"])


def open_chart(screen: Screen, hospital: Hospital, login: str = "nurse", last: str = "") -> None:
    """The patient's chart, found by the search."""
    screen.sign_in(hospital, login)
    screen.page.wait_for_selector("nav.tabs")
    screen.page.click("nav.tabs a:has-text('Patients')")
    screen.page.fill("#q", "okafor")
    screen.page.click("button:has-text('Search')")
    screen.page.click("a:has-text('Okafor, Grace')")
    screen.page.wait_for_selector("h1:has-text('Okafor, Grace')")
    if last:
        screen.page.goto(f"{screen.base_url}/patients/{hospital.patient_id}?last={last}")


def open_dose(screen: Screen, administration_id: UUID) -> None:
    """The page of a dose, by its link on the chart."""
    screen.page.click(f"a[href='/doses/{administration_id}']")
    screen.page.wait_for_selector("dl.facts")


def entries(screen: Screen) -> list[str]:
    """The marks of the chart, as they are read."""
    return [" ".join(text.split()) for text in screen.page.locator(".chart .entry").all_inner_texts()]


def accounts(hospital: Hospital) -> tuple[Any, ...]:
    """Of the one dose: withdrawn, wasted and put back units."""
    return hospital.rows("SELECT quantity_units, wasted_units, returned_units FROM medication_administrations")[0]


def test_a_patient_is_found_by_name_by_number_and_by_ward(hospital: Hospital, screen: Screen) -> None:
    hospital.admit("Zhou, Wei", "M-2", ward_id=hospital.add_ward("2 South"), allergies=["Penicillin"])
    screen.sign_in(hospital, "doctor")
    screen.page.goto(f"{screen.base_url}/patients")

    def found(q: str, ward: str = "All wards") -> list[str]:
        screen.page.fill("#q", q)
        screen.page.select_option("#ward_id", label=ward)
        with screen.page.expect_navigation():
            screen.page.click("button:has-text('Search')")
        assert (screen.page.input_value("#q"), q in screen.page.url) == (q, not q)
        return screen.page.locator(".found strong").all_inner_texts()

    assert found("") == ["Okafor, Grace", "Zhou, Wei"]
    assert found("zho") == ["Zhou, Wei"]
    assert found("M-1") == ["Okafor, Grace"]
    assert found("", "2 South") == ["Zhou, Wei"]
    assert found("nobody") == []
    assert "No patient is found" in screen.page.inner_text("main")


def test_what_was_found_is_found_again_by_reload_back_and_in_another_tab(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "nurse")
    screen.page.goto(f"{screen.base_url}/patients")
    screen.page.fill("#q", "M-1")
    with screen.page.expect_navigation():
        screen.page.click("button:has-text('Search')")
    address = screen.page.url
    assert "found=" in address
    screen.page.reload()
    other = screen.page.context.new_page()
    other.goto(address)
    screen.page.click("a:has-text('Okafor, Grace')")
    screen.page.wait_for_selector("h1:has-text('Okafor, Grace')")
    screen.page.go_back()
    for tab in (screen.page, other):
        assert (tab.url, tab.input_value("#q")) == (address, "M-1")
        assert tab.locator(".found strong").all_inner_texts() == ["Okafor, Grace"]
    other.goto(address[:-4])
    assert "Type the name again" in other.inner_text("main")
    assert other.input_value("#q") == ""


def test_the_chart_shows_what_became_of_every_dose(hospital: Hospital, screen: Screen) -> None:
    hospital.change("UPDATE patients SET allergies = ARRAY['Penicillin']")
    hospital.receive(20)
    give(hospital, units=2)
    day.mark_in_error(hospital, give(hospital, units=1))
    for outcome in (Outcome.REFUSED, Outcome.HELD, Outcome.UNAVAILABLE):
        day.skip(hospital, hospital.place(), outcome)
    hospital.place(doses=3, interval_minutes=24 * 60, first_due_at=now() - timedelta(days=1), route="oral")
    open_chart(screen, hospital, last=in_days(2))
    assert "Penicillin" in screen.page.inner_text(".allergies")
    shown = entries(screen)
    assert sum(text.startswith("Given") and text.endswith("2 tablets Nurse") for text in shown) == 1
    assert [text.split()[0] for text in shown if text.endswith("Nurse")].count("Refused") == 1
    for word in ("Refused", "Held", "Unavailable", "Due now", "Due later", "Entered in error"):
        assert sum(text.startswith(word) for text in shown) >= 1, (word, shown)
    assert sum(text.startswith("Missed") for text in shown) == 1
    assert screen.page.locator(".chart .entry.wrong s").inner_text().startswith("Given")
    row = screen.page.locator(".chart tbody tr", has_text="every 1 day, 3 doses")
    assert row.locator("td .entry strong").all_inner_texts() == ["Missed", "Due now", "Due later"]
    assert [cell.locator(".entry").count() for cell in row.locator("td").all()] == [0, 0, 0, 1, 1, 1, 0]


def test_earlier_and_later_days_are_a_tap_away(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(20)
    give(hospital, at=now() - timedelta(days=9))
    open_chart(screen, hospital)
    assert not [text for text in entries(screen) if text.startswith("Given")]
    screen.page.click("nav[aria-label='Days of the chart'] a:has-text('Earlier')")
    screen.page.wait_for_url(f"**last={in_days(-7)}")
    assert [text.split()[0] for text in entries(screen)] == ["Given"]
    screen.page.click("nav[aria-label='Days of the chart'] a:has-text('Later')")
    screen.page.wait_for_url(f"**last={in_days(0)}")
    assert not [text for text in entries(screen) if text.startswith("Given")]


def test_an_entry_in_error_is_struck_through_and_its_stock_is_back(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(10)
    dose = give(hospital)
    open_chart(screen, hospital)
    open_dose(screen, dose)
    screen.page.fill("#error-reason", "Wrong patient")
    screen.page.click("button:has-text('Mark as entered in error')")
    screen.page.wait_for_selector("text=Marked as entered in error")
    assert hospital.rows("SELECT error_reason, stands FROM medication_administrations") == [("Wrong patient", False)]
    assert hospital.on_hand() == 10
    assert screen.page.locator(".entry.wrong s").count() == 2, "the entry, and the legend"
    assert any(text.startswith("Due now") for text in entries(screen)), "the dose is open again"
    open_dose(screen, dose)
    assert "Nurse marked it" in screen.page.inner_text("main")
    assert screen.page.locator("main form").count() == 0


def test_a_remainder_of_a_controlled_drug_is_wasted_before_a_witness(hospital: Hospital, screen: Screen) -> None:
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    nadia = hospital.add_staff("nadia", Role.NURSE, (hospital.ward_id,))
    hospital.receive(10)
    dose = give(hospital)
    open_chart(screen, hospital)
    open_dose(screen, dose)
    screen.page.fill("#quantity_units", "1")
    screen.page.click("button:has-text('Waste it')")
    screen.page.wait_for_selector("[role=alert]")
    assert "Ask a colleague" in screen.page.inner_text("[role=alert]")
    assert accounts(hospital) == (3, 0, 0)
    assert screen.page.input_value("#quantity_units") == "1", "what was typed is still there"
    screen.page.fill("#remainder-witness-email", f"nadia@{hospital.slug}.example")
    screen.page.fill("#remainder-witness-password", PASSWORD)
    screen.page.click("button:has-text('Waste it')")
    screen.page.wait_for_selector("text=Recorded as wasted")
    assert accounts(hospital) == (3, 1, 0)
    assert hospital.rows("SELECT kind::text, units, witness_id FROM dose_remainders") == [("waste", 1, nadia.user_id)]
    assert any("2 tablets, 1 wasted" in text for text in entries(screen))
    screen.wrong = [line for line in screen.wrong if "403" not in line]


def test_a_remainder_goes_back_to_the_lot_that_is_chosen(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(2, lot="EARLY", expires_on=date(2090, 1, 1))
    hospital.receive(8, lot="LATE", expires_on=date(2091, 1, 1))
    dose = give(hospital, units=5)
    open_chart(screen, hospital)
    open_dose(screen, dose)
    screen.page.fill("#quantity_units", "2")
    screen.page.select_option("#lot_id", label="LATE (3 taken)")
    screen.page.click("button:has-text('Put it back')")
    screen.page.wait_for_selector("text=Put back on the shelf")
    assert accounts(hospital) == (5, 0, 2)
    assert hospital.on_hand() == 7
    assert hospital.rows(
        "SELECT l.lot_number, s.quantity_units FROM stock_lots s JOIN lots l ON l.id = s.lot_id ORDER BY 1"
    ) == [("EARLY", 0), ("LATE", 7)]


@pytest.mark.parametrize(
    ("units", "said"), [("4", "More would be wasted and returned"), ("half", "Quantity units"), ("0", "Quantity units")]
)
def test_a_remainder_that_cannot_be_changes_nothing(hospital: Hospital, screen: Screen, units: str, said: str) -> None:
    hospital.receive(10)
    dose = give(hospital)
    open_chart(screen, hospital)
    open_dose(screen, dose)
    before = hospital.counts()
    screen.page.fill("#quantity_units", units)
    screen.page.click("button:has-text('Put it back')")
    screen.page.wait_for_selector("[role=alert]")
    assert said in screen.page.inner_text("[role=alert]")
    assert hospital.counts() == before
    assert (accounts(hospital), hospital.on_hand()) == ((3, 0, 0), 7)
    screen.wrong = [line for line in screen.wrong if "422" not in line]


def test_who_may_not_change_an_entry_is_offered_no_form(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(10)
    dose = give(hospital)
    open_chart(screen, hospital, "doctor")
    open_dose(screen, dose)
    assert "Nurse" in screen.page.inner_text("dl.facts")
    assert screen.page.locator("main form").count() == 0
    assert screen.page.goto(f"{screen.base_url}/patients/{hospital.patient_id}?last=tomorrow").status == 422
    assert screen.page.goto(f"{screen.base_url}/patients/{dose}").status == 404
    assert screen.page.goto(f"{screen.base_url}/doses/{hospital.patient_id}").status == 404
    screen.wrong = [line for line in screen.wrong if "404" not in line and "422" not in line]


def test_an_entry_is_put_right_without_javascript(hospital: Hospital, browser: Any, base_url: str) -> None:
    hospital.receive(10)
    dose = give(hospital)
    plain = browser.new_context(java_script_enabled=False)
    tab = watch(plain.new_page(), base_url)
    open_chart(tab, hospital)
    open_dose(tab, dose)
    tab.page.fill("#quantity_units", "1")
    tab.page.click("button:has-text('Put it back')")
    assert "Put back on the shelf" in tab.page.inner_text("main")
    assert (accounts(hospital), hospital.on_hand()) == ((3, 0, 1), 8)
    plain.close()


def test_the_chart_scrolls_in_a_region_of_its_own(hospital: Hospital, browser: Any, base_url: str) -> None:
    """On a phone the page does not scroll sideways; the region does, and the keyboard reaches it."""
    hospital.place(doses=9, interval_minutes=24 * 60, first_due_at=now() - timedelta(days=6))
    phone = browser.new_context(viewport={"width": 390, "height": 844})
    tab = watch(phone.new_page(), base_url)
    open_chart(tab, hospital)
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    region = tab.page.locator(".sideways")
    assert region.evaluate("element => element.scrollWidth > element.clientWidth")
    today = tab.page.locator(".chart th[aria-current]")
    assert today.evaluate("element => element.getBoundingClientRect().right <= innerWidth"), "the chart begins at today"
    assert region.get_attribute("tabindex") == "0"  # Chromium would do without, other browsers not
    began = region.evaluate("element => element.scrollLeft")
    region.focus()
    tab.page.keyboard.press("ArrowLeft")
    scrolled = "(element, began) => new Promise(done => element.scrollLeft < began ? done(element.scrollLeft)"
    scrolled += " : element.addEventListener('scroll', () => done(element.scrollLeft), {once: true}))"
    assert region.evaluate(scrolled, began) < began
    phone.close()


def test_axe_finds_nothing_on_the_pages_of_a_patient(hospital: Hospital, tablet: Screen) -> None:
    hospital.change("UPDATE patients SET allergies = ARRAY['Penicillin']")
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2, high_alert=True)
    hospital.receive(20)
    wrong = give(hospital)
    day.mark_in_error(hospital, wrong, witness_id=hospital.add_staff("n", Role.NURSE, (hospital.ward_id,)).user_id)
    dose = give(hospital)
    for outcome in (Outcome.REFUSED, Outcome.HELD, Outcome.UNAVAILABLE):
        day.skip(hospital, hospital.place(), outcome)
    hospital.place(doses=3, interval_minutes=24 * 60, first_due_at=now() - timedelta(days=1), route="oral")

    open_chart(tablet, hospital, last=in_days(2))
    tablet.inspect("chart")
    open_dose(tablet, dose)
    tablet.inspect("dose")
    tablet.page.fill("#quantity_units", "1")
    tablet.page.click("button:has-text('Waste it')")
    tablet.page.wait_for_selector("[role=alert]")
    tablet.inspect("dose refused")
    tablet.page.goto(f"{tablet.base_url}/doses/{wrong}")
    tablet.inspect("dose in error")
    for found in ("", "?found=lost"):
        tablet.page.goto(f"{tablet.base_url}/patients{found}")
        tablet.inspect(f"patients{found}")
