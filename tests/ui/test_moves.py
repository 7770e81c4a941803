"""Transfers, counts, discrepancies, alerts, the register and verifying in a real browser: what is tapped is what the
ledger says."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from backend.actor import Role
from backend.db.use_cases import Bound
from backend.domain.stock import levels
from backend.domain.stock.ledger import Shelf
from backend.errors import Busy
from backend.ui.pages import transfers as transfer_pages
from tests.hospital import PASSWORD, Hospital
from tests.ui.conftest import Screen, watch

Enter = Callable[..., Screen]


@pytest.fixture
def enter(hospital: Hospital, browser: Any, base_url: str) -> Iterator[Enter]:
    """Signs somebody in at a screen of their own; afterwards nothing but refusals has gone wrong on any of them."""
    opened: list[Screen] = []

    def sign_in(login: str, **options: Any) -> Screen:
        made = watch(browser.new_context(**options).new_page(), base_url)
        opened.append(made)
        made.sign_in(hospital, login)
        made.page.wait_for_selector("nav[aria-label=Pages]")
        return made

    yield sign_in
    for screen in opened:
        assert [line for line in screen.wrong if not any(code in line for code in ("403", "422"))] == []
        assert screen.foreign == []
        screen.page.context.close()


@pytest.fixture
def pharmacy(hospital: Hospital) -> Shelf:
    """A shelf of the drug in the pharmacy with 20 units; the ward has none."""
    shelf = Shelf(hospital.organization_id, hospital.add_ward("Pharmacy"), hospital.drug_id)
    hospital.receive(20, lot="P-1", shelf=shelf)
    return shelf


def request(hospital: Hospital, screen: Screen, source: UUID, units: str) -> None:
    """The nurse's request of the drug for her ward."""
    screen.page.goto(f"{screen.base_url}/transfers/new?source_ward_id={source}&destination_ward_id={hospital.ward_id}")
    screen.page.fill(f"#units_{hospital.drug_id}", units)
    screen.page.click("button:has-text('Request what is filled in')")


def tap(screen: Screen, button: str, then: str) -> None:
    """Taps a button and waits for what the next page says."""
    screen.page.click(f"main button:has-text('{button}')")
    screen.page.wait_for_selector(f"text={then}")


def transfers(hospital: Hospital) -> list[tuple[Any, ...]]:
    """Every transfer's state, with the units of its lines."""
    return hospital.rows(
        "SELECT t.status::text, l.quantity_units, l.dispatched_units, l.received_units FROM stock_transfers t"
        " JOIN stock_transfer_lines l ON l.transfer_id = t.id ORDER BY t.created_at, l.quantity_units"
    )


def test_a_transfer_goes_from_request_to_receipt_and_what_is_short_is_a_discrepancy(
    hospital: Hospital, pharmacy: Shelf, enter: Enter
) -> None:
    zinc = Shelf(hospital.organization_id, pharmacy.ward_id, hospital.add_drug("Zinc"))
    hospital.receive(9, lot="Z-1", shelf=zinc)
    nurse, pharmacist = enter("nurse"), enter("pharmacist")
    nurse.page.click("nav >> text=Transfers")
    nurse.page.click("a:has-text('Request a transfer')")
    nurse.page.select_option("#source_ward_id", label="Pharmacy")
    nurse.page.select_option("#destination_ward_id", label="1 North")
    nurse.page.click("button:has-text('Choose these wards')")
    nurse.page.fill(f"#units_{hospital.drug_id}", "6")
    nurse.page.fill("#q", "zin")
    tap(nurse, "Search", "Chosen already")
    nurse.page.fill(f"#units_{zinc.drug_id}", "2")
    tap(nurse, "Request what", "No unit has moved yet")
    assert nurse.page.locator("button:has-text('Dispatch')").count() == 0, "sending is the pharmacist's"
    assert transfers(hospital) == [("requested", 2, 0, 0), ("requested", 6, 0, 0)]
    pharmacist.page.goto(nurse.page.url)
    pharmacist.page.fill(f"#send_{zinc.drug_id}", "")
    tap(pharmacist, "Dispatch", "It is on the way")
    assert (hospital.on_hand(pharmacy), hospital.on_hand(zinc), hospital.on_hand()) == (14, 9, 0)
    nurse.page.reload()
    nurse.page.click("summary:has-text('Something is missing')")
    nurse.page.fill(".line input", "4")
    tap(nurse, "Receive only this", "did not arrive with it")
    assert transfers(hospital) == [("received", 2, 0, 0), ("received", 6, 6, 4)]
    assert hospital.on_hand() == 4
    assert hospital.rows("SELECT expected_units, found_units FROM discrepancies") == [(6, 4)]


def test_who_sent_a_transfer_is_told_to_ask_a_colleague(hospital: Hospital, pharmacy: Shelf, enter: Enter) -> None:
    pharmacist = enter("pharmacist")
    request(hospital, pharmacist, pharmacy.ward_id, "6")
    tap(pharmacist, "Dispatch", "It is on the way")
    tap(pharmacist, "Everything arrived", "Ask a colleague to receive it")
    assert transfers(hospital) == [("dispatched", 6, 6, 0)]


def test_a_dispatch_of_more_than_there_is_names_the_drug_and_moves_nothing(
    hospital: Hospital, pharmacy: Shelf, enter: Enter
) -> None:
    pharmacist = enter("pharmacist")
    request(hospital, pharmacist, pharmacy.ward_id, "30")
    tap(pharmacist, "Dispatch", "Amoxicillin: Send less of it")
    pharmacist.page.fill(".line input", "31")
    tap(pharmacist, "Dispatch", "more of Amoxicillin than was asked for")
    pharmacist.page.fill(".line input", "many")
    tap(pharmacist, "Dispatch", "Amoxicillin: Type a whole number")
    assert pharmacist.page.input_value(".line input") == "many", "what was typed stays"
    assert hospital.on_hand(pharmacy) == 20
    tap(pharmacist, "Cancel the transfer", "No unit has moved")
    assert transfers(hospital) == [("cancelled", 30, 0, 0)]


def test_a_request_whose_answer_was_lost_is_not_made_twice(
    hospital: Hospital, pharmacy: Shelf, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database says Busy after it has committed; the form that comes back carries the same key."""
    real, lost = transfer_pages.do, []

    def lose_the_first_answer(wanted: Bound[Any]) -> Any:
        made = real(wanted)
        if not lost:
            lost.append(made)
            raise Busy()
        return made

    monkeypatch.setattr(transfer_pages, "do", lose_the_first_answer)
    nurse = enter("nurse")
    request(hospital, nurse, pharmacy.ward_id, "6")
    nurse.page.wait_for_selector("text=nothing is done twice")
    tap(nurse, "Request what", "No unit has moved yet")
    assert len(lost) == 1
    assert transfers(hospital) == [("requested", 6, 0, 0)]
    nurse.wrong = [line for line in nurse.wrong if "503" not in line]


def test_what_a_ward_lacks_is_requested_once(hospital: Hospital, pharmacy: Shelf, enter: Enter) -> None:
    hospital.receive(3)
    hospital.run(lambda session: _set_levels(session, hospital.shelf, 5, 12))
    nurse = enter("nurse")
    nurse.page.goto(nurse.base_url + "/replenishment")
    assert "9 tablets" in nurse.page.inner_text("table")
    nurse.page.dblclick("button:has-text('Request all of it')")
    nurse.page.wait_for_selector("text=No unit has moved yet")
    assert transfers(hospital) == [("requested", 9, 0, 0)]
    nurse.page.goto(nurse.base_url + "/replenishment")
    assert "at its par levels" in nurse.page.inner_text("main")


def _set_levels(session: Any, shelf: Shelf, reorder: int, par: int) -> None:
    session.take_lanes([shelf.lane])
    levels.set_levels(session, shelf, reorder_point_units=reorder, par_level_units=par)


@pytest.fixture
def vault(hospital: Hospital) -> Hospital:
    """A ward that holds 417 units of morphine in lot M-1 and 4 in lot M-2, and a second nurse."""
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(417, lot="M-1")
    hospital.receive(4, lot="M-2")
    hospital.add_staff("nadia", Role.NURSE, (hospital.ward_id,))
    return hospital


def field(screen: Screen, lot: str) -> Any:
    """Where the count of a lot is typed."""
    return screen.page.get_by_label(f"Lot {lot}")


def start_count(screen: Screen) -> None:
    """Starts a count of controlled drugs on the nurse's ward."""
    screen.page.click("nav >> text=Counts")
    tap(screen, "Count controlled drugs", "0 of 2 lots")


def test_a_blind_count_shows_no_figure_until_it_is_completed_and_moves_no_unit(vault: Hospital, enter: Enter) -> None:
    nurse = enter("nurse")
    start_count(nurse)
    field(nurse, "M-1").fill("415")
    assert "417" not in nurse.page.content()
    assert "ledger" not in nurse.page.inner_text("form.count")
    tap(nurse, "complete the count", "Not counted yet")
    field(nurse, "M-2").fill("four")
    tap(nurse, "complete the count", "Morphine, lot M-2: Type a whole number")
    assert field(nurse, "M-2").input_value() == "four"
    assert field(nurse, "M-1").count() == 0, "415 is saved: only what is not counted is asked for"
    field(nurse, "M-2").fill("4")
    tap(nurse, "complete the count", "The count is completed")
    rows = [row.inner_text().split() for row in nurse.page.locator("tbody tr").all()]
    assert [row[-4:] for row in rows] == [["417", "415", "2", "missing"], ["4", "4", "As", "expected"]]
    assert vault.rows("SELECT expected_units, found_units FROM discrepancies") == [(417, 415)]
    assert vault.on_hand() == 421


def test_an_older_sheet_does_not_undo_what_a_colleague_counted_since(vault: Hospital, enter: Enter) -> None:
    first, second = enter("nurse"), enter("nadia")
    start_count(first)
    field(first, "M-1").fill("415")
    tap(first, "Save", "1 of 2 lots")
    second.page.goto(first.page.url)
    field(second, "M-1").fill("417")
    tap(second, "Save", "counted by Nadia")
    field(first, "M-2").fill("4")
    tap(first, "Save", "2 of 2 lots")
    assert vault.rows(
        "SELECT l.lot_number, c.counted_units, u.name FROM stock_count_lines c JOIN lots l ON l.id = c.lot_id"
        " JOIN users u ON u.id = c.counted_by_id ORDER BY 1"
    ) == [("M-1", 417, "Nadia"), ("M-2", 4, "Nurse")]


def test_a_ward_has_one_count_and_a_long_one_has_sheets(
    vault: Hospital, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ui.pages.counts.SHEET", 1)
    nurse = enter("nurse")
    start_count(nurse)
    nurse.page.click("nav >> text=Counts")
    tap(nurse, "Count everything", "Open the count under way")
    nurse.page.click("a:has-text('Open the count under way')")
    tap(nurse, "Save and go on", "Lot M-2")
    field(nurse, "M-2").fill("4")
    tap(nurse, "complete the count", "Not counted yet")
    field(nurse, "M-1").fill("417")
    tap(nurse, "complete the count", "The count is completed")
    assert vault.rows("SELECT status::text FROM stock_counts") == [("completed",)]
    assert vault.rows("SELECT count(*) FROM discrepancies") == [(0,)]


def variance(hospital: Hospital, enter: Enter) -> None:
    """A completed count that found 415 of 417 units, without JavaScript."""
    nurse = enter("nurse", java_script_enabled=False)
    start_count(nurse)
    field(nurse, "M-1").fill("415")
    field(nurse, "M-2").fill("4")
    tap(nurse, "complete the count", "The count is completed")


def test_a_discrepancy_ends_before_a_witness_and_only_then_stock_changes(vault: Hospital, enter: Enter) -> None:
    variance(vault, enter)
    pharmacist = enter("pharmacist")
    pharmacist.page.click("nav >> text=Discrepancies")
    pharmacist.page.click(".found a:has-text('Morphine')")
    tap(pharmacist, "I review it", "It is yours now")
    owner = vault.rows("SELECT owner_id, status::text FROM discrepancies")
    assert owner == [(vault.staff["pharmacist"].user_id, "under_review")]
    pharmacist.page.check("text=Units are gone")
    pharmacist.page.fill("#reason", "Two ampoules broke")
    pharmacist.page.click("main button:has-text('Resolve')")
    pharmacist.page.wait_for_selector("text=Ask a colleague of this ward")
    assert vault.on_hand() == 421
    assert pharmacist.page.input_value("#reason") == "Two ampoules broke", "what was typed stays"
    pharmacist.page.fill("[name=witness_email]", f"nadia@{vault.slug}.example")
    pharmacist.page.fill("[name=witness_password]", PASSWORD)
    tap(pharmacist, "Resolve", "witness Nadia")
    assert vault.on_hand() == 419
    assert vault.rows("SELECT status::text, resolution::text, reason FROM discrepancies") == [
        ("resolved", "loss", "Two ampoules broke")
    ]


def test_the_register_tells_balance_actor_and_witness_and_is_not_for_nurses(vault: Hospital, enter: Enter) -> None:
    vault.change("UPDATE organizations SET witness_required = true")
    vault.place(units=2)
    nurse = enter("nurse")
    nurse.open_give()
    nurse.page.fill("[name=witness_email]", f"nadia@{vault.slug}.example")
    nurse.page.fill("[name=witness_password]", PASSWORD)
    nurse.page.click("button:has-text('Give dose')")
    nurse.page.wait_for_selector("h1:has-text('Given')")
    pharmacist = enter("pharmacist")
    pharmacist.page.click("nav >> text=Register")
    pharmacist.page.click(".found a:has-text('Morphine')")
    rows = [row.inner_text().split("\t") for row in pharmacist.page.locator("tbody tr").all()]
    assert [part.strip() for part in rows[0][2:]] == ["−2", "419", "Okafor, Grace", "Nurse", "Nadia"]
    assert [row[3].strip() for row in rows] == ["419", "421", "417"]
    pharmacist.page.fill("#last", "2020-01-31")
    tap(pharmacist, "Show", "Nothing stands in the register here")
    assert nurse.page.goto(pharmacist.page.url).status == 403
    assert nurse.page.goto(nurse.base_url + "/register").status == 403


def test_an_alert_is_seen_and_leads_to_what_mends_it(hospital: Hospital, enter: Enter) -> None:
    hospital.receive(3)
    hospital.run(lambda session: _set_levels(session, hospital.shelf, 5, 12))
    nurse = enter("nurse")
    nurse.page.click("nav >> text=Alerts")
    assert "Low" in nurse.page.inner_text("main h2")
    tap(nurse, "Seen", "seen by Nurse")
    assert hospital.rows("SELECT kind::text, acknowledged_by_id FROM alerts") == [("low", hospital.nurse.user_id)]
    nurse.page.click("a:has-text('Replenish')")
    assert "9 tablets" in nurse.page.inner_text("table")
    hospital.receive(9)
    nurse.page.click("nav >> text=Alerts")
    assert "Nothing asks for a hand" in nurse.page.inner_text("main")


def test_an_order_is_verified_with_one_tap_and_what_speaks_against_it_is_said(hospital: Hospital, enter: Enter) -> None:
    hospital.receive(10)
    hospital.change("UPDATE patients SET allergies = ARRAY['amoxicillin']")
    later, stat = hospital.place(), hospital.place(priority="stat")
    pharmacist = enter("pharmacist")
    pharmacist.page.click("nav >> text=Verify")
    sections = pharmacist.page.locator("section.patient")
    assert "STAT" in sections.first.inner_text()
    assert "The patient is allergic to amoxicillin" in sections.first.inner_text()
    assert "Another order of Amoxicillin 5 mg is active" in sections.first.inner_text()
    pharmacist.page.click("section.patient button")
    pharmacist.page.wait_for_selector("text=Verified: Amoxicillin for Okafor, Grace")
    assert sections.count() == 1
    verified = "SELECT id FROM medication_orders WHERE verified_by_id IS NOT NULL"
    assert hospital.rows(verified) == [(stat,)]
    hospital.change(
        "UPDATE medication_orders SET status = 'discontinued', discontinued_at = now(),"
        " discontinued_by_id = prescriber_id, discontinue_reason = 'x' WHERE id = :p1",
        later,
    )
    pharmacist.page.click("section.patient button")
    pharmacist.page.wait_for_selector("text=Nothing is to be verified any more")
    assert hospital.rows(verified) == [(stat,)]


@pytest.mark.parametrize("login", ["nurse", "doctor", "admin"])
def test_a_role_sees_no_page_that_its_operations_refuse(
    hospital: Hospital, pharmacy: Shelf, enter: Enter, login: str
) -> None:
    allowed = {
        "nurse": {"/transfers/new", "/replenishment", "/discrepancies"},
        "doctor": set[str](),
        "admin": {"/discrepancies", "/register"},
    }[login]
    screen = enter(login)
    pages = ("/transfers/new", "/replenishment", "/discrepancies", "/register")
    verifying = f"/orders/to-verify?ward_id={hospital.ward_id}"
    answers = {page: screen.page.request.get(screen.base_url + page).status for page in (*pages, verifying)}
    assert answers == {page: 200 if page in allowed else 403 for page in (*pages, verifying)}
    assert screen.page.goto(screen.base_url + "/transfers").status == 200
    assert (screen.page.locator("a:has-text('Request a transfer')").count() == 1) is (login == "nurse")


ODD = ("/transfers?status=x", "/transfers?cursor=x", "/transfers/new?source_ward_id=x&destination_ward_id=y")
ODDER = ("/counts?status=x", "/discrepancies?ward_id=x", "/alerts?ward_id=x", "/replenishment?ward_id=x")


@pytest.mark.parametrize("address", [*ODD, *ODDER, "/register/{drug}?first=x", "/register/{drug}?last=9999-12-31"])
def test_an_odd_address_is_refused_and_never_breaks(hospital: Hospital, enter: Enter, address: str) -> None:
    screen = enter("pharmacist")
    answer = screen.page.goto(screen.base_url + address.format(drug=hospital.drug_id))
    assert answer.status in {404, 422}


def test_axe_finds_nothing_on_the_pages_of_moves(vault: Hospital, tablet: Screen, enter: Enter) -> None:
    source = Shelf(vault.organization_id, vault.add_ward("Pharmacy"), vault.drug_id)
    vault.receive(20, lot="P-1", shelf=source)
    vault.run(lambda session: _set_levels(session, vault.shelf, 30, 40))
    vault.place()
    variance(vault, enter)
    tablet.sign_in(vault, "pharmacist")
    tablet.page.wait_for_selector("nav.tabs")

    for page in ("transfers", "alerts", "discrepancies", "register", "orders/to-verify", "counts", "transfers/new"):
        tablet.page.goto(f"{tablet.base_url}/{page}")
        tablet.inspect(page)
    tablet.page.goto(f"{tablet.base_url}/replenishment?ward_id={vault.ward_id}")
    tablet.inspect("replenishment")
    request(vault, tablet, source.ward_id, "none")
    tablet.page.wait_for_selector("[role=alert]")
    tablet.inspect("a refused request")
    request(vault, tablet, source.ward_id, "2")
    tablet.page.wait_for_selector("text=No unit has moved yet")
    tablet.inspect("a requested transfer")
    tap(tablet, "Dispatch", "It is on the way")
    tablet.page.click("summary:has-text('Something is missing')")
    tablet.inspect("a transfer on its way")
    tablet.page.goto(f"{tablet.base_url}/transfers")
    tablet.inspect("transfers")
    tablet.page.goto(f"{tablet.base_url}/discrepancies")
    tablet.page.click(".found a")
    tablet.page.wait_for_selector("text=Resolve it")
    tablet.inspect("discrepancy")
    tablet.page.goto(f"{tablet.base_url}/register/{vault.drug_id}")
    tablet.inspect("register of a drug")
    tablet.page.goto(f"{tablet.base_url}/counts")
    tablet.page.select_option("#ward_id", label="Pharmacy")
    tap(tablet, "Count controlled drugs", "0 of 1 lot")
    tap(tablet, "complete the count", "Not counted yet")
    tablet.inspect("count sheet")
    tablet.page.goto(f"{tablet.base_url}/counts")
    tablet.page.click(".found a:has-text('Completed')")
    tablet.page.wait_for_selector("text=no unit has moved")
    tablet.inspect("completed count")
