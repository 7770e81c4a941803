"""Prescribing in a real browser: what the doctor types is the order that stands, and nothing is ordered unread."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backend.actor import Role
from backend.domain.orders.cautions import names_match
from tests.hospital import Hospital, now
from tests.ui.conftest import Screen, watch

BERLIN = ZoneInfo("Europe/Berlin")
ORDERED = "SELECT units_per_dose, dose_text, route, priority::text, doses, interval_minutes FROM medication_orders"


def choose(screen: Screen, hospital: Hospital, drug: str = "Amoxicillin") -> None:
    """The form of an order of the drug for the patient, by the two searches before it."""
    screen.sign_in(hospital, "doctor")
    screen.page.click("a:has-text('Place an order')")
    screen.page.fill("#q", "okaf")
    screen.page.click("button:has-text('Search')")
    screen.page.click("a:has-text('Okafor, Grace')")
    screen.page.fill("#q", drug[:5].lower())
    screen.page.click("button:has-text('Search')")
    screen.page.click(f".found a:has-text('{drug}')")
    screen.page.wait_for_selector("#quantity_units")


def submit(screen: Screen) -> None:
    """Sends the form past what the browser itself would ask for: the server is the judge."""
    screen.page.locator("[required]").evaluate_all("fields => fields.forEach(field => { field.required = false })")
    screen.page.click("button:has-text('Place the order')")


def orders(hospital: Hospital) -> int:
    """How many orders there are."""
    return int(hospital.rows("SELECT count(*) FROM medication_orders")[0][0])


def forgive(screen: Screen, *statuses: str) -> None:
    """Refusals that the test asked for are no errors of the console."""
    screen.wrong = [line for line in screen.wrong if not any(status in line for status in statuses)]


def test_an_order_is_placed_in_three_steps_and_is_what_was_typed(hospital: Hospital, screen: Screen) -> None:
    first = (datetime.now(BERLIN) + timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
    choose(screen, hospital)
    screen.page.fill("#quantity_units", "2")
    screen.page.fill("#dose_text", "10 mg")
    screen.page.fill("#route", "oral")
    screen.page.fill("#doses", "6")
    screen.page.fill("#interval", "8")
    screen.page.fill("#first_due_at", f"{first:%Y-%m-%dT%H:%M}")
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin 5 mg for Okafor, Grace')")
    assert hospital.rows(ORDERED) == [(2, "10 mg", "oral", "routine", 6, 480)]
    assert hospital.rows("SELECT first_due_at, patient_id, drug_id, ward_id, prescriber_id FROM medication_orders") == [
        (
            first.astimezone(UTC),
            hospital.patient_id,
            hospital.drug_id,
            hospital.ward_id,
            hospital.staff["doctor"].user_id,
        )
    ]
    facts = " ".join(screen.page.inner_text("dl.facts").split())
    assert "every 8 hours, 6 doses" in facts
    assert f"{first:%-d %b} 08:00" in facts


def test_a_prn_order_needs_nothing_but_its_units(hospital: Hospital, screen: Screen) -> None:
    before = now()
    choose(screen, hospital)
    screen.page.check("input[value='prn']")
    screen.page.fill("#doses", "4")
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin')")
    assert hospital.rows(ORDERED) == [(1, None, None, "prn", 4, None)]
    ((due,),) = hospital.rows("SELECT first_due_at FROM medication_orders")
    assert before <= due <= now()


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("quantity_units", "a few", "quantity_units"),
        ("quantity_units", "0", "quantity_units"),
        ("doses", "1001", "doses"),
        ("doses", "3", "interval_minutes"),
        ("interval", "often", "interval_minutes"),
        ("first_due_at", "2027-03-28T02:30", "first_due_at"),
    ],
)
def test_what_cannot_be_ordered_is_marked_and_nothing_is_lost(
    hospital: Hospital, screen: Screen, field: str, typed: str, told: str
) -> None:
    """The last one is an hour that the clocks of Berlin leave out."""
    choose(screen, hospital)
    screen.page.fill("#dose_text", "10 mg")
    screen.page.fill(f"#{field}", typed)
    submit(screen)
    screen.page.wait_for_selector(f"#{told}-wrong")
    assert "Not ordered yet" in screen.page.inner_text("[role=alert]")
    assert "valid" not in screen.page.inner_text(f"#{told}-wrong")
    assert screen.page.locator(f"[aria-describedby='{told}-wrong'][aria-invalid=true]").count() == 1
    assert (screen.page.input_value("#dose_text"), screen.page.input_value(f"#{field}")) == ("10 mg", typed)
    assert orders(hospital) == 0
    screen.page.fill(f"#{field}", "" if field in {"interval", "first_due_at"} else "1")
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin')")
    assert orders(hospital) == 1
    forgive(screen, "422")


def test_an_allergy_of_the_drugs_name_is_confirmed_first(hospital: Hospital, screen: Screen) -> None:
    hospital.change("UPDATE patients SET allergies = ARRAY['Latex', 'amoxicillin (rash)']")
    choose(screen, hospital)
    assert "amoxicillin (rash)" in screen.page.inner_text(".allergies")
    assert screen.page.locator(".confirm").all_inner_texts() == [
        "Allergy: the patient is allergic to amoxicillin (rash), and Amoxicillin has the same name."
        " Order it all the same."
    ]
    submit(screen)
    screen.page.wait_for_selector("[role=alert]")
    assert "Something speaks against this order" in screen.page.inner_text("[role=alert]")
    assert orders(hospital) == 0
    screen.page.check("[name=confirmed]")
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin')")
    assert orders(hospital) == 1


def test_an_active_order_of_the_same_drug_is_confirmed_first(hospital: Hospital, screen: Screen) -> None:
    hospital.place(units=2, dose_text="10 mg")
    stronger = hospital.add_drug("Amoxicillin", strength="50 mg")
    choose(screen, hospital)
    screen.page.goto(f"{screen.base_url}/prescribing/new?patient_id={hospital.patient_id}&drug_id={stronger}")
    assert "Already ordered: Amoxicillin 5 mg, 10 mg, 2 tablets, once, by Doctor" in screen.page.inner_text(".confirm")
    submit(screen)
    screen.page.wait_for_selector("[role=alert]")
    assert orders(hospital) == 1
    screen.page.check("[name=confirmed]")
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin 50 mg')")
    assert orders(hospital) == 2


def test_an_order_that_came_meanwhile_is_confirmed_too(hospital: Hospital, screen: Screen) -> None:
    choose(screen, hospital)
    assert screen.page.locator(".confirm").count() == 0
    hospital.place()
    submit(screen)
    screen.page.wait_for_selector(".confirm")
    assert orders(hospital) == 1
    screen.page.check("[name=confirmed]")
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin')")
    assert orders(hospital) == 2


def test_a_network_lost_in_the_middle_orders_once_and_warns_of_nothing(hospital: Hospital, screen: Screen) -> None:
    """The order stands when the page asks again: it is not taken for another one of the same drug."""
    lost: list[int] = []

    def lose_the_first_answer(route: Any) -> None:
        if lost or route.request.method != "POST":
            route.continue_()
            return
        lost.append(route.fetch(max_redirects=0).status)
        route.abort("connectionfailed")

    choose(screen, hospital)
    screen.page.route("**/prescribing/new", lose_the_first_answer)
    submit(screen)
    screen.page.wait_for_selector("h2:has-text('Discontinue')")
    assert screen.page.locator(".confirm").count() == 0
    assert lost == [302]
    assert orders(hospital) == 1
    forgive(screen, "ERR_CONNECTION_FAILED")


def test_a_form_that_was_used_is_not_taken_for_another_order(hospital: Hospital, screen: Screen) -> None:
    choose(screen, hospital)
    used = screen.page.locator("main [name=key]").input_value()
    address = screen.page.url
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin')")
    screen.page.goto(address)
    screen.page.locator("main [name=key]").evaluate("(field, used) => { field.value = used }", used)
    screen.page.fill("#quantity_units", "3")
    submit(screen)
    screen.page.wait_for_selector("text=This page has already placed an order")
    assert orders(hospital) == 1
    screen.page.check("[name=confirmed]")
    submit(screen)
    screen.page.wait_for_selector(".notice:has-text('Ordered: Amoxicillin')")
    assert hospital.rows("SELECT units_per_dose FROM medication_orders ORDER BY created_at") == [(1,), (3,)]
    forgive(screen, "422")


def test_an_order_is_discontinued_with_a_reason(hospital: Hospital, screen: Screen) -> None:
    hospital.place(units=2)
    screen.sign_in(hospital, "doctor")
    screen.page.click("a:has-text('Amoxicillin')")
    screen.page.wait_for_selector("#reason")
    screen.page.locator("#reason").evaluate("field => { field.required = false }")
    screen.page.click("button:has-text('Discontinue the order')")
    screen.page.wait_for_selector("[role=alert]")
    assert hospital.rows("SELECT status::text FROM medication_orders") == [("active",)]
    screen.page.fill("#reason", "Therapy changed")
    screen.page.click("button:has-text('Discontinue the order')")
    screen.page.wait_for_selector("text=Discontinued: Amoxicillin for Okafor, Grace")
    assert hospital.rows("SELECT status::text, discontinue_reason FROM medication_orders") == [
        ("discontinued", "Therapy changed")
    ]
    assert screen.page.locator("#reason").count() == 0
    forgive(screen, "422")


def test_a_doctor_sees_her_own_orders_by_their_state(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(9)
    hospital.place(dose_text="the active one")
    hospital.fulfil(hospital.place(dose_text="the given one"))
    hospital.staff["doctor"] = hospital.add_staff("dana", Role.DOCTOR)
    hospital.place(dose_text="of another doctor")
    screen.sign_in(hospital, "doctor")

    def shown(state: str) -> list[str]:
        screen.page.click(f"nav[aria-label='State of the orders'] a:has-text('{state}')")
        screen.page.wait_for_selector(f"nav a[aria-current]:text-is('{state}')")
        return [text.split(",")[0] for text in screen.page.locator(".found .grow > .muted").all_inner_texts()]

    assert shown("All") == ["the given one", "the active one"]
    assert shown("Active") == ["the active one"]
    assert shown("Completed") == ["the given one"]
    assert shown("Discontinued") == []


def test_only_a_doctor_orders(hospital: Hospital, screen: Screen) -> None:
    order_id = hospital.place()
    screen.sign_in(hospital, "nurse")
    screen.page.wait_for_selector("#board")
    answer = screen.page.goto(f"{screen.base_url}/prescribing/new")
    assert answer.status == 403
    assert screen.page.goto(f"{screen.base_url}/prescribing/orders/{order_id}").status == 200
    assert screen.page.locator("main form").count() == 0
    forgive(screen, "403")


def test_an_order_is_placed_without_javascript(hospital: Hospital, browser: Any, base_url: str) -> None:
    hospital.place()
    plain = browser.new_context(java_script_enabled=False)
    tab = watch(plain.new_page(), base_url)
    choose(tab, hospital)
    tab.page.check("[name=confirmed]")
    tab.page.check("input[value='stat']")
    tab.page.click("button:has-text('Place the order')")
    assert "Ordered: Amoxicillin" in tab.page.inner_text("main")
    assert hospital.rows("SELECT count(*) FROM medication_orders WHERE priority::text = 'stat'") == [(1,)]
    plain.close()


@pytest.mark.parametrize(
    ("allergy", "drug", "match"),
    [
        ("Penicillin", "Penicillin V potassium", True),
        ("PENICILLINS", "penicillin", True),
        ("Sulfa drugs", "Sulfamethoxazole", True),
        ("Aspirin (asthma)", "Aspirin 100", True),
        ("Codein", "Paracetamol/codeine", True),
        ("Penicillin", "Amoxicillin", False),
        ("Nuts", "Nystatin", False),
        ("Dye", "Dyes", False),
        ("", "Amoxicillin", False),
    ],
)
def test_names_match_where_a_word_of_one_begins_a_word_of_the_other(allergy: str, drug: str, match: bool) -> None:
    assert names_match(allergy, drug) is match
    assert names_match(drug, allergy) is match


def test_axe_finds_nothing_on_the_pages_of_a_doctor(hospital: Hospital, tablet: Screen) -> None:
    hospital.change("UPDATE patients SET allergies = ARRAY['Amoxicillin']")
    hospital.change("UPDATE drugs SET high_alert = true, controlled_schedule = 2")
    hospital.place(priority="stat")

    tablet.sign_in(hospital, "doctor")
    tablet.page.wait_for_selector("h1:has-text('My orders')")
    tablet.inspect("orders")
    tablet.page.click("a:has-text('Place an order')")
    tablet.page.wait_for_selector("h1:has-text('for whom')")
    tablet.inspect("patient")
    tablet.page.click("a:has-text('Okafor, Grace')")
    tablet.page.wait_for_selector("h1:has-text('which drug')")
    tablet.inspect("drug")
    tablet.page.click(".found a:has-text('Amoxicillin')")
    tablet.page.wait_for_selector(".confirm")
    tablet.inspect("form")
    tablet.page.fill("#quantity_units", "none")
    for box in tablet.page.locator("[name=confirmed]").all():
        box.check()
    submit(tablet)
    tablet.page.wait_for_selector("[role=alert]")
    tablet.inspect("form refused")
    tablet.page.fill("#quantity_units", "1")
    submit(tablet)
    tablet.page.wait_for_selector("h2:has-text('Discontinue')")
    tablet.inspect("order")
