"""The nurse's journeys in a real browser, on a real database: what she taps is what the ledger says."""

import threading
from typing import Any

import pytest

from backend.actor import Role
from backend.domain.identity.sign_in.totp import code_of, new_secret, step_at
from tests.hospital import PASSWORD, Hospital, now
from tests.ui.conftest import Screen, watch


@pytest.fixture
def ward(hospital: Hospital) -> Hospital:
    """A ward with stock of one lot and an order that is due."""
    hospital.receive(10, lot="A-1")
    hospital.place(units=2)
    return hospital


def given(hospital: Hospital) -> int:
    """How many doses stand in the record; the shelf agrees."""
    ((doses, units),) = hospital.rows(
        "SELECT count(*), coalesce(sum(quantity_units), 0) FROM medication_administrations WHERE outcome = 'given'"
    )
    assert hospital.on_hand() == 10 - units
    return int(doses)


def test_a_dose_is_given_in_two_taps_and_the_lots_are_named(ward: Hospital, screen: Screen) -> None:
    screen.sign_in(ward, "nurse")
    screen.open_give()
    screen.page.click("button:has-text('Give dose')")
    screen.page.wait_for_selector("h1:has-text('Given')")
    assert "A-1" in screen.page.inner_text("table")
    assert given(ward) == 1
    screen.page.click("a:has-text('Back to')")
    assert "No active orders" in screen.page.inner_text("main")


def test_a_click_of_these_tests_ends_with_its_answer(ward: Hospital, screen: Screen, owner: Any) -> None:
    """However late that comes: what is read next is the page that came of it."""
    screen.sign_in(ward, "nurse")
    screen.open_give()
    with owner.cursor() as cursor:
        cursor.execute(f"BEGIN; LOCK TABLE lanes.lane_{ward.shelf.lane:03d} IN EXCLUSIVE MODE")
        late = threading.Timer(0.5, cursor.execute, ["ROLLBACK"])
        late.start()
        screen.page.click("button:has-text('Give dose')")
        assert screen.page.locator("h1:has-text('Given')").count() == 1
        late.join()


def test_a_double_tap_gives_once(ward: Hospital, screen: Screen) -> None:
    screen.sign_in(ward, "nurse")
    screen.open_give()
    screen.page.dblclick("button:has-text('Give dose')")
    screen.page.wait_for_selector("h1:has-text('Given')")
    assert given(ward) == 1


def test_a_network_lost_in_the_middle_of_a_tap_loses_and_doubles_nothing(ward: Hospital, screen: Screen) -> None:
    """The server has given the dose and the answer never arrives; the page asks again with the same key."""
    lost: list[Any] = []

    def lose_the_first_answer(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort("connectionfailed")

    screen.sign_in(ward, "nurse")
    screen.open_give()
    screen.page.route("**/orders/*/give", lose_the_first_answer)
    screen.page.locator("button:has-text('Give dose')").click()  # and waits for no answer
    screen.page.wait_for_selector("text=nothing is done twice")
    screen.page.wait_for_selector("h1:has-text('Given')")
    assert lost == [200]
    assert given(ward) == 1
    screen.wrong = [line for line in screen.wrong if "ERR_CONNECTION_FAILED" not in line]


def test_the_second_nurse_sees_who_gave_it_and_when(
    ward: Hospital, screen: Screen, browser: Any, base_url: str
) -> None:
    ward.add_staff("nadia", Role.NURSE, (ward.ward_id,))
    other = browser.new_context()
    second = watch(other.new_page(), base_url)
    for tab, login in ((screen, "nurse"), (second, "nadia")):
        tab.sign_in(ward, login)
        tab.open_give()
    screen.page.click("button:has-text('Give dose')")
    screen.page.wait_for_selector("h1:has-text('Given')")
    second.page.click("button:has-text('Give dose')")
    second.page.wait_for_selector("[role=alert]")
    assert "Nurse gave it at" in second.page.inner_text("[role=alert]")
    assert given(ward) == 1
    other.close()


def test_of_two_browsers_at_once_one_gives_and_the_other_says_who(
    ward: Hospital, screen: Screen, browser: Any, base_url: str
) -> None:
    ward.add_staff("nadia", Role.NURSE, (ward.ward_id,))
    other = browser.new_context()
    second = watch(other.new_page(), base_url)
    for tab, login in ((screen, "nurse"), (second, "nadia")):
        tab.sign_in(ward, login)
        tab.open_give()
    for tab in (screen, second):
        tab.page.evaluate("setTimeout(() => document.querySelector('main form button').click(), 50)")
    for tab in (screen, second):
        tab.page.wait_for_selector("h1:has-text('Given'), [role=alert]")
    assert sum(tab.page.locator("[role=alert]:has-text('gave it at')").count() for tab in (screen, second)) == 1
    assert given(ward) == 1
    screen.wrong = [line for line in screen.wrong if "409" not in line]
    other.close()


def test_too_little_stock_says_what_to_do(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(1)
    hospital.place(units=2)
    screen.sign_in(hospital, "nurse")
    screen.open_give()
    screen.page.click("button:has-text('Give dose')")
    screen.page.wait_for_selector("[role=alert]")
    said = screen.page.inner_text("[role=alert]")
    assert "2 units are needed and 1 may be given" in said
    assert "Ask the pharmacy" in said
    assert hospital.on_hand() == 1


def test_a_controlled_drug_asks_for_a_witness(hospital: Hospital, screen: Screen) -> None:
    hospital.change("UPDATE organizations SET witness_required = true")
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.add_staff("nadia", Role.NURSE, (hospital.ward_id,))
    hospital.receive(10, lot="A-1")
    hospital.place(units=1)
    screen.sign_in(hospital, "nurse")
    screen.open_give()
    screen.page.click("button:has-text('Give dose')")
    screen.page.wait_for_selector("[role=alert]")
    screen.wrong = [line for line in screen.wrong if "403" not in line]
    screen.page.fill("#give-witness-email", f"nadia@{hospital.slug}.example")
    screen.page.fill("#give-witness-password", PASSWORD)
    screen.page.click("button:has-text('Give dose')")
    screen.page.wait_for_selector("h1:has-text('Given')")
    assert given(hospital) == 1


def test_witness_is_asked_for_a_code_where_the_policy_asks_their_role(hospital: Hospital, screen: Screen) -> None:
    nadia, secret = hospital.add_staff("nadia", Role.NURSE, (hospital.ward_id,)), new_secret()
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(10, lot="A-1")
    hospital.place(units=1)
    screen.sign_in(hospital, "nurse")
    hospital.change("UPDATE organizations SET witness_required = true, second_factor_roles = '{nurse}'")
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE id = :p2", secret, nadia.user_id)
    screen.open_give()
    _witness(screen, hospital)
    screen.page.click("button:has-text('Give dose')")
    assert "the code that their app shows now" in screen.page.inner_text("[role=alert]")
    assert "`" not in screen.page.inner_text("[role=alert]")
    screen.wrong = [line for line in screen.wrong if "403" not in line]
    code = code_of(secret, step_at(now()))
    _witness(screen, hospital)
    screen.page.fill("#give-witness-otp", f"{code[:3]} {code[3:]}")
    screen.page.click("button:has-text('Give dose')")
    screen.page.wait_for_selector("h1:has-text('Given')")
    assert hospital.rows("SELECT witness_id FROM medication_administrations") == [(nadia.user_id,)]


def _witness(screen: Screen, hospital: Hospital) -> None:
    screen.page.fill("#give-witness-email", f"nadia@{hospital.slug}.example")
    screen.page.fill("#give-witness-password", PASSWORD)


def test_a_dose_that_is_refused_is_recorded_and_takes_nothing(ward: Hospital, screen: Screen) -> None:
    screen.sign_in(ward, "nurse")
    screen.open_give()
    screen.page.click("summary:has-text('Not given')")
    screen.page.click("button:has-text('Patient refused')")
    screen.page.wait_for_selector("text=No active orders")
    assert ward.rows("SELECT outcome::text FROM medication_administrations") == [("refused",)]
    assert ward.on_hand() == 10


def test_a_round_gives_what_is_ticked_and_says_what_it_did_not(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(10, lot="A-1")
    hospital.place_many(3, units=3)
    untouched = hospital.place(units=1)
    hospital.place(units=4)
    screen.sign_in(hospital, "nurse")
    screen.page.click("a:has-text('The ward')")
    screen.page.wait_for_selector("button:has-text('Give what is ticked')")
    assert given(hospital) == 0, "looking at a round gives nothing"
    screen.page.uncheck(f"[id='t{untouched}']")
    screen.page.click("button:has-text('Give what is ticked')")
    screen.page.wait_for_selector("h1:has-text('3 given, 1 not')")
    assert given(hospital) == 3
    assert hospital.rows(f"SELECT status::text FROM medication_orders WHERE id = '{untouched}'") == [("active",)]


def test_a_round_leaves_high_alert_unticked_and_controlled_apart(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(10)
    ordinary = hospital.place(units=1)
    names = {"Heparin": {"high_alert": True}, "Morphine": {"controlled_schedule": 2}}
    apart = []
    for name, about in names.items():
        hospital.drug_id = hospital.add_drug(name, **about)
        hospital.receive(10)
        apart.append(hospital.place(units=1))
    screen.sign_in(hospital, "nurse")
    screen.page.click("a:has-text('The ward')")
    screen.page.wait_for_selector("button:has-text('Give what is ticked')")
    assert screen.page.is_checked(f"[id='t{ordinary}']")
    assert not screen.page.is_checked(f"[id='t{apart[0]}']")
    assert screen.page.locator(f"[id='t{apart[1]}']").count() == 0
    screen.page.uncheck(f"[id='t{ordinary}']")
    screen.page.click("button:has-text('Give what is ticked')")
    screen.page.wait_for_selector("text=Tick what is to be given.")
    assert given(hospital) == 0
    screen.wrong = [line for line in screen.wrong if "422" not in line]


def test_a_round_gives_the_dose_that_was_read_not_the_next(hospital: Hospital, screen: Screen) -> None:
    """Somebody else gives the dose while the page is open: its tick is refused."""
    hospital.receive(10)
    order = hospital.place(units=1, doses=3, interval_minutes=30)
    hospital.place(units=1)
    screen.sign_in(hospital, "nurse")
    screen.page.click("a:has-text('The ward')")
    screen.page.wait_for_selector("button:has-text('Give what is ticked')")
    hospital.fulfil(order, dose=1)
    screen.page.click("button:has-text('Give what is ticked')")
    screen.page.wait_for_selector("h1:has-text('1 given, 1 not')")
    assert given(hospital) == 2


def test_every_form_works_without_javascript(ward: Hospital, browser: Any, base_url: str) -> None:
    plain = browser.new_context(java_script_enabled=False)
    tab = watch(plain.new_page(), base_url)
    tab.type_password(ward, "nurse")
    tab.open_give()
    tab.page.click("button:has-text('Give dose')")
    assert tab.page.inner_text("h1").strip() == "Given"
    assert given(ward) == 1
    tab.page.reload()
    assert tab.page.inner_text("h1").strip() == "Given", "sending the form again is the same request"
    assert given(ward) == 1
    plain.close()


def test_the_board_keeps_itself_fresh_and_says_when_it_cannot(ward: Hospital, screen: Screen) -> None:
    screen.page.clock.install()
    screen.sign_in(ward, "nurse")
    screen.page.wait_for_selector("#board")
    ward.place(units=1)
    screen.page.clock.run_for(6_000)
    screen.page.wait_for_selector(".order >> nth=1")
    screen.page.route("**/board", lambda route: route.abort("internetdisconnected"))
    screen.page.clock.run_for(6_000)
    screen.page.wait_for_selector("text=the server is out of reach")
    screen.wrong = [line for line in screen.wrong if "ERR_INTERNET_DISCONNECTED" not in line]


def test_an_idle_screen_locks_and_the_password_opens_it_where_it_was(ward: Hospital, screen: Screen) -> None:
    screen.sign_in(ward, "nurse")
    screen.page.wait_for_selector("#board")
    screen.page.click("summary:has-text('Nurse')")
    screen.page.click("button:has-text('Lock the screen')")
    screen.page.wait_for_selector("h1:has-text('Screen locked')")
    screen.page.goto(screen.base_url + "/")
    screen.page.wait_for_selector("h1:has-text('Screen locked')")
    screen.page.fill("#password", "wrong")
    screen.page.click("button:has-text('Unlock')")
    screen.page.wait_for_selector("text=That is not the password")
    screen.page.fill("#password", PASSWORD)
    screen.page.click("button:has-text('Unlock')")
    screen.page.wait_for_selector("#board")


def test_after_signing_out_the_token_opens_nothing(ward: Hospital, screen: Screen) -> None:
    screen.sign_in(ward, "nurse")
    screen.page.wait_for_selector("#board")
    screen.page.click("summary:has-text('Nurse')")
    screen.page.click("button:has-text('Sign out')")
    screen.page.wait_for_selector("text=You are signed out")
    assert ward.rows("SELECT count(*) FROM access_tokens WHERE revoked_at IS NULL") == [(0,)]


def test_axe_finds_nothing_on_the_pages_of_a_nurse(ward: Hospital, tablet: Screen) -> None:

    tablet.page.goto(tablet.base_url + "/")
    tablet.inspect("sign in")
    tablet.sign_in(ward, "nurse")
    tablet.page.wait_for_selector("#board")
    tablet.inspect("board")
    tablet.open_give()
    tablet.inspect("give")
    tablet.page.click("button:has-text('Give dose')")
    tablet.page.wait_for_selector("h1:has-text('Given')")
    tablet.inspect("given")
    ward.place_many(2, units=1)
    ward.place(units=100)
    tablet.page.goto(tablet.base_url + "/")
    tablet.page.click(".patient a:has-text('Round (2)')")
    tablet.page.wait_for_selector("text=The ward has too little.")
    tablet.inspect("round")
    tablet.page.click("button:has-text('Give what is ticked')")
    tablet.page.wait_for_selector("h1:has-text('2 given')")
    tablet.inspect("round given")
    tablet.page.goto(tablet.base_url + "/boards")
    tablet.inspect("boards")
    tablet.page.click("summary:has-text('Nurse')")
    tablet.page.click("button:has-text('Lock the screen')")
    tablet.page.wait_for_selector("h1:has-text('Screen locked')")
    tablet.inspect("lock")
