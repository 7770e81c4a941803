"""The pharmacist's journeys through stock in a real browser: what the screen says is what the ledger holds."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from backend.actor import Role
from backend.domain.stock.ledger import Shelf
from backend.errors import Busy, Conflict, DomainError
from backend.ui.frame.rendering import kept_key
from tests.hospital import PASSWORD, Hospital, now
from tests.ui.conftest import Screen, watch

GTIN = "04012345000016"
LONG = 170  # lines of a delivery


def in_days(days: int) -> Any:
    return (now() + timedelta(days=days)).date()


def movements(hospital: Hospital) -> list[tuple[Any, ...]]:
    return hospital.rows("SELECT reason::text, units FROM stock_movements ORDER BY recorded_at, sequence")


def drug_url(hospital: Hospital, screen: Screen, drug_id: Any = None) -> str:
    return f"{screen.base_url}/stock/drugs/{drug_id or hospital.drug_id}?ward_id={hospital.ward_id}"


def forgive(screen: Screen, *codes: str) -> None:
    """The console tells of each answer that is a refusal."""
    screen.wrong = [line for line in screen.wrong if not any(code in line for code in codes)]


@pytest.fixture
def pharmacy(hospital: Hospital, screen: Screen) -> Hospital:
    """A shelf with one lot, and the pharmacist at the screen."""
    hospital.receive(10, lot="A-1")
    screen.sign_in(hospital, "pharmacist")
    screen.page.wait_for_selector("nav.tabs")
    return hospital


def test_shelves_are_found_by_name_and_state(pharmacy: Hospital, screen: Screen) -> None:
    morphine = Shelf(pharmacy.organization_id, pharmacy.ward_id, pharmacy.add_drug("Morphine"))
    pharmacy.receive(3, lot="M-1", expires_on=in_days(9), shelf=morphine)
    pharmacy.change("UPDATE stock_levels SET par_level_units = 9, reorder_point_units = 5 WHERE on_hand_units = 3")
    screen.page.click("nav a:has-text('Stock')")
    assert screen.page.locator("tbody tr").count() == 2
    screen.page.fill("#q", "morph")
    screen.page.click("button:has-text('Show')")
    screen.page.wait_for_selector("tbody tr:has-text('Low')")
    assert screen.page.locator("tbody tr").count() == 1
    assert "Expiring" in screen.page.inner_text("tbody")
    screen.page.fill("#q", "")
    screen.page.select_option("#state", "low")
    screen.page.click("button:has-text('Show')")
    screen.page.wait_for_selector("tbody tr:has-text('Low')")
    assert "Amoxicillin" not in screen.page.inner_text("tbody")
    screen.page.click("tbody a")
    screen.page.wait_for_selector("h1:has-text('Morphine')")
    assert "M-1" in screen.page.inner_text("main")


def test_levels_are_set_and_drawn_and_a_par_below_the_reorder_point_is_refused(
    pharmacy: Hospital, screen: Screen
) -> None:
    screen.page.goto(drug_url(pharmacy, screen))
    screen.page.click("summary:has-text('Change reorder')")
    screen.page.fill("#reorder", "30")
    screen.page.fill("#par", "20")
    screen.page.click("button:has-text('Set the levels')")
    screen.page.wait_for_selector("[role=alert]")
    forgive(screen, "422")
    assert "Par level units: not below the reorder point" in screen.page.inner_text("[role=alert]")
    assert screen.page.input_value("#reorder") == "30", "what was typed stays"
    levels = "SELECT reorder_point_units, par_level_units FROM stock_levels"
    assert pharmacy.rows(levels) == [(0, 0)]
    screen.page.fill("#par", "90")
    screen.page.click("button:has-text('Set the levels')")
    screen.page.wait_for_selector("text=The levels are set")
    assert pharmacy.rows(levels) == [(30, 90)]
    assert screen.page.locator("svg .limit-label").text_content() == "Reorder at 30"
    screen.page.click("summary:has-text('Stock by day')")
    assert screen.page.inner_text("details.numbers[open] tbody tr >> nth=0").split()[-1] == "10"


def test_the_ledger_has_pages_and_the_hospital_is_the_sum_of_its_wards(pharmacy: Hospital, screen: Screen) -> None:
    other = Shelf(pharmacy.organization_id, pharmacy.add_ward("2 South"), pharmacy.drug_id)
    for _ in range(50):
        pharmacy.receive(1, lot="B-2", shelf=other)
    pharmacy.fulfil(pharmacy.place(units=4))
    screen.page.goto(drug_url(pharmacy, screen).partition("?")[0])
    screen.page.click("summary:has-text('Stock by day')")
    assert screen.page.inner_text("details.numbers[open] tbody tr >> nth=0").split()[-1] == "56"
    ledger = "section[aria-labelledby=ledger-title] tbody tr"
    assert screen.page.locator(ledger).count() == 50
    assert "Fulfilment" in screen.page.inner_text(ledger + " >> nth=0")
    screen.page.click("a:has-text('Earlier')")
    screen.page.wait_for_selector("a:has-text('Newest')")
    assert screen.page.locator(ledger).count() == 2
    assert "A-1" in screen.page.inner_text(ledger + " >> nth=1")


def test_a_delivery_of_a_scanned_and_a_searched_drug_is_received_once(pharmacy: Hospital, screen: Screen) -> None:
    pharmacy.add_drug("Cefazolin", gtin=GTIN)
    screen.page.goto(screen.base_url + "/stock/receive")
    screen.page.select_option("#ward_id", str(pharmacy.ward_id))
    screen.page.fill("#what", f"(01){GTIN}(17){in_days(400):%y%m%d}(10)C-7")
    screen.page.press("#what", "Enter")
    screen.page.wait_for_selector("legend:has-text('Cefazolin')")
    assert screen.page.input_value("#lot-1") == "C-7"
    assert screen.page.input_value("#expires-1") == f"{in_days(400)}"
    screen.page.fill("#units-1", "20")
    screen.page.fill("#what", "amox")
    screen.page.press("#what", "Enter")
    screen.page.click("button:has-text('Amoxicillin')")
    screen.page.wait_for_selector("#lot-2")
    assert screen.page.input_value("#units-1") == "20", "the first line stays"
    screen.page.fill("#lot-2", "A-2")
    screen.page.fill("#expires-2", f"{in_days(90)}")
    screen.page.fill("#units-2", "many")
    screen.page.click("button:has-text('Receive 2 lines')")
    screen.page.wait_for_selector("[role=alert]")
    forgive(screen, "422")
    assert "Line 2, quantity units" in screen.page.inner_text("[role=alert]")
    assert movements(pharmacy) == [("receipt", 10)]
    screen.page.fill("#units-2", "5")
    screen.page.dblclick("button:has-text('Receive 2 lines')")
    screen.page.wait_for_selector("h1:has-text('Received')")
    assert sorted(movements(pharmacy)) == [("receipt", 5), ("receipt", 10), ("receipt", 20)]
    assert pharmacy.on_hand() == 15


def test_a_long_delivery_is_sent_whole(pharmacy: Hospital, screen: Screen) -> None:
    """A form that is sent in parts may have 1,000 of them; a line has six."""
    screen.page.goto(f"{screen.base_url}/stock/receive?ward_id={pharmacy.ward_id}")
    screen.page.fill("#what", "amox")
    screen.page.press("#what", "Enter")
    screen.page.click("button:has-text('Amoxicillin')")
    for field, value in (("lot", "B-0"), ("expires", f"{in_days(90)}"), ("units", "1")):
        screen.page.fill(f"#{field}-1", value)
    screen.page.eval_on_selector(
        "main fieldset:has([name=lot_number])",
        """(line, lines) => {
          for (let number = 1; number < lines; number += 1) {
            const copy = line.cloneNode(true);
            copy.querySelectorAll("[id]").forEach((field) => (field.id += `-${number}`));
            copy.querySelector("[name=lot_number]").value = `B-${number}`;
            line.after(copy);
          }
        }""",
        LONG,
    )
    screen.page.click("button:has-text('Receive 1 line')")
    screen.page.wait_for_selector("h1:has-text('Received')")
    assert pharmacy.on_hand() == 10 + LONG
    assert pharmacy.rows("SELECT count(DISTINCT lot_id) FROM stock_movements") == [(1 + LONG,)]


def test_a_scan_that_contradicts_the_line_receives_nothing(pharmacy: Hospital, screen: Screen) -> None:
    pharmacy.add_drug("Cefazolin", gtin=GTIN)
    screen.page.goto(f"{screen.base_url}/stock/receive?ward_id={pharmacy.ward_id}")
    screen.page.fill("#what", f"(01){GTIN}(17){in_days(400):%y%m%d}(10)C-7")
    screen.page.press("#what", "Enter")
    screen.page.wait_for_selector("#lot-1")
    screen.page.fill("#lot-1", "C-8")
    screen.page.fill("#units-1", "5")
    screen.page.click("button:has-text('Receive 1 line')")
    screen.page.wait_for_selector("[role=alert]:has-text('is of lot C-7, not of C-8')")
    assert movements(pharmacy) == [("receipt", 10)]


def test_a_delivery_whose_answer_was_lost_is_not_received_twice(pharmacy: Hospital, screen: Screen) -> None:
    lost: list[int] = []

    def lose_the_first_answer(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort("connectionfailed")

    screen.page.goto(f"{screen.base_url}/stock/receive?ward_id={pharmacy.ward_id}")
    screen.page.fill("#what", "amox")
    screen.page.press("#what", "Enter")
    screen.page.click("button:has-text('Amoxicillin')")
    screen.page.wait_for_selector("#lot-1")
    for field, value in (("lot", "A-2"), ("expires", f"{in_days(90)}"), ("units", "5")):
        screen.page.fill(f"#{field}-1", value)
    screen.page.route("**/stock/receive", lose_the_first_answer)
    screen.page.click("button:has-text('Receive 1 line')")
    screen.page.wait_for_selector("h1:has-text('Received')")
    assert lost == [200]
    assert pharmacy.on_hand() == 15
    forgive(screen, "ERR_CONNECTION_FAILED")


def test_bad_lines_of_a_file_are_shown_and_nothing_is_received(pharmacy: Hospital, screen: Screen) -> None:
    head = "drug_id,lot_number,expires_on,quantity_units"
    good = f"{pharmacy.drug_id},F-1,{in_days(90)},7"

    def send(*lines: str) -> None:
        screen.page.goto(f"{screen.base_url}/stock/receive?ward_id={pharmacy.ward_id}")
        screen.page.click("summary:has-text('as a file')")
        content = "\r\n".join((head, *lines)).encode()
        screen.page.set_input_files("#file", {"name": "d.csv", "mimeType": "text/csv", "buffer": content})
        screen.page.click("button:has-text('Receive the file')")

    bad = "section[aria-labelledby=bad-title] tbody tr"
    send(good, "", f"{pharmacy.drug_id},F-2,tomorrow,lots")
    screen.page.wait_for_selector(bad)
    assert [row.split("\t")[0].strip() for row in screen.page.locator(bad).all_inner_texts()] == ["4", "4"]
    assert "F-2,tomorrow,lots" in screen.page.inner_text(bad)
    send(good, "", f"{pharmacy.drug_id},F-2,{in_days(-1)},1")
    screen.page.wait_for_selector(bad + ":has-text('this lot has expired')")
    assert screen.page.inner_text(bad).split("\t")[0].strip() == "4"
    send(good, "", f"{uuid.uuid4()},F-2,{in_days(9)},1")
    screen.page.wait_for_selector(bad + ":has-text('no such drug')")
    assert screen.page.inner_text(bad).split("\t")[0].strip() == "4"
    forgive(screen, "422", "404")
    assert pharmacy.on_hand() == 10
    send(good)
    screen.page.wait_for_selector("h1:has-text('Received')")
    assert pharmacy.on_hand() == 17


def test_waste_of_a_controlled_drug_asks_for_a_witness(pharmacy: Hospital, screen: Screen) -> None:
    morphine = pharmacy.add_drug("Morphine", controlled_schedule=2)
    shelf = Shelf(pharmacy.organization_id, pharmacy.ward_id, morphine)
    pharmacy.receive(10, lot="M-1", shelf=shelf)
    pharmacy.add_staff("nadia", Role.NURSE, (pharmacy.ward_id,))
    screen.page.goto(drug_url(pharmacy, screen, morphine))
    screen.page.click("a:has-text('Adjust')")
    screen.page.fill("#quantity_units", "2")
    screen.page.fill("#note", "dropped")
    screen.page.click("button:has-text('Adjust the stock')")
    screen.page.wait_for_selector("[role=alert]:has-text('Ask a colleague of this ward')")
    forgive(screen, "403")
    assert pharmacy.on_hand(shelf) == 10
    assert screen.page.input_value("#note") == "dropped"
    screen.page.fill("#adjust-witness-email", f"nadia@{pharmacy.slug}.example")
    screen.page.fill("#adjust-witness-password", PASSWORD)
    screen.page.click("button:has-text('Adjust the stock')")
    screen.page.wait_for_selector("h1:has-text('Adjusted')")
    assert "M-1" in screen.page.inner_text("table")
    assert movements(pharmacy)[-1] == ("waste", -2)
    assert pharmacy.on_hand(shelf) == 8


def test_units_come_back_to_a_lot_that_the_shelf_does_not_hold(pharmacy: Hospital, screen: Screen) -> None:
    pharmacy.receive(1, lot="R-1", shelf=Shelf(pharmacy.organization_id, pharmacy.add_ward(), pharmacy.drug_id))
    screen.page.goto(drug_url(pharmacy, screen))
    screen.page.click("a:has-text('Adjust')")
    screen.page.check("[name=reason][value=return]")
    screen.page.check("[name=direction][value=add]")
    screen.page.fill("#quantity_units", "3")
    screen.page.click("button:has-text('Adjust the stock')")
    screen.page.wait_for_selector("[role=alert]:has-text('name it')")
    forgive(screen, "422")
    option = screen.page.locator("#lot_id option:has-text('R-1')").get_attribute("value")
    screen.page.select_option("#lot_id", option)
    screen.page.click("button:has-text('Adjust the stock')")
    screen.page.wait_for_selector("h1:has-text('Adjusted')")
    assert movements(pharmacy)[-1] == ("return", 3)
    assert pharmacy.on_hand() == 13


def test_a_movement_is_undone_once(pharmacy: Hospital, screen: Screen) -> None:
    screen.page.goto(drug_url(pharmacy, screen))
    screen.page.click("a:has-text('Undo')")
    address = screen.page.url
    screen.page.fill("#undo-reason", "counted twice")
    screen.page.click("button:has-text('Undo the movement')")
    screen.page.wait_for_selector("text=The movement is undone")
    assert movements(pharmacy) == [("receipt", 10), ("correction", -10)]
    assert "counted twice" in screen.page.inner_text("section[aria-labelledby=ledger-title]")
    screen.page.goto(address)
    screen.page.fill("#undo-reason", "once more")
    screen.page.click("button:has-text('Undo the movement')")
    screen.page.wait_for_selector("[role=alert]:has-text('has been undone')")
    assert len(movements(pharmacy)) == 2


def test_a_recall_says_where_the_lot_lies_and_who_was_given_it(pharmacy: Hospital, screen: Screen) -> None:
    pharmacy.fulfil(pharmacy.place(units=2))
    screen.page.click("nav a:has-text('Stock')")
    screen.page.click("nav a:has-text('Lots')")
    screen.page.fill("#lot_number", "A-1")
    screen.page.click("button:has-text('Show')")
    screen.page.click("tbody a:has-text('A-1')")
    screen.page.click("summary:has-text('on hold')")
    screen.page.fill("#hold-reason", "a complaint")
    screen.page.click("button:has-text('Hold the lot')")
    screen.page.wait_for_selector("text=nothing of it is given or sent")
    screen.page.click("button:has-text('Release it')")
    screen.page.wait_for_selector("text=The lot is released")
    assert pharmacy.rows("SELECT status::text FROM lots") == [("available",)]
    screen.page.click("summary:has-text('Recall it')")
    screen.page.fill("#recall-reason", "particles")
    screen.page.click("button:has-text('for good')")
    screen.page.wait_for_selector("text=The lot is recalled")
    assert pharmacy.rows("SELECT status::text, status_reason FROM lots") == [("recalled", "particles")]
    touched = screen.page.inner_text("main")
    assert "1 North\t8" in touched
    assert "Okafor, Grace" in touched
    assert screen.page.locator("form").filter(has_text="Recall").count() == 0


def test_a_drug_goes_on_a_list_and_its_override_is_reviewed(pharmacy: Hospital, screen: Screen) -> None:
    pharmacy.change("UPDATE organizations SET verification_required = true")
    screen.page.goto(f"{screen.base_url}/override-list?ward_id={pharmacy.ward_id}")
    screen.page.fill("#q", "amox")
    screen.page.click("button:has-text('Show')")
    screen.page.click("button:has-text('Amoxicillin')")
    screen.page.wait_for_selector("text=is on the list of 1 North")
    pharmacy.fulfil(pharmacy.place(), override_reason="he cannot wait")
    screen.page.click("nav[aria-label=Stock] a >> text='Overrides'")
    screen.page.wait_for_selector("article:has-text('he cannot wait')")
    screen.page.fill("article input[name=note]", "agreed")
    screen.page.click("button:has-text('Not appropriate')")
    screen.page.wait_for_selector("text=Nothing is to be reviewed")
    assert pharmacy.rows("SELECT status::text, review_note FROM order_overrides") == [("inappropriate", "agreed")]
    screen.page.goto(f"{screen.base_url}/override-list?ward_id={pharmacy.ward_id}")
    screen.page.click("button:has-text('Take off')")
    screen.page.wait_for_selector("text=off the list")
    assert pharmacy.rows("SELECT count(*) FROM override_drugs") == [(0,)]


def test_the_charts_of_a_ward_show_what_its_tables_say(pharmacy: Hospital, screen: Screen) -> None:
    pharmacy.receive(4, lot="E-1", expires_on=in_days(3))
    pharmacy.fulfil(pharmacy.place(units=4))
    pharmacy.receive(6, lot="E-2", expires_on=in_days(8))
    screen.page.goto(f"{screen.base_url}/charts?ward_id={pharmacy.ward_id}")
    for section, row, cells in (
        ("horizon-title", 2, ["1", "6"]),  # after the expired and this week comes the next
        ("used-title", 0, ["4"]),
        ("flow-title", 0, ["1"]),
    ):
        table = f"section[aria-labelledby={section}] details.numbers"
        screen.page.click(f"{table} summary")
        assert screen.page.inner_text(f"{table} tbody tr >> nth={row}").split("\t")[1:] == cells
    bars = screen.page.locator("section[aria-labelledby=used-title] rect.bar-of")
    heights = [float(bar.get_attribute("height")) for bar in bars.all()]
    assert len(heights) == 30
    assert [height > 0 for height in heights] == [False] * 29 + [True]


def test_a_nurse_reads_stock_and_changes_nothing(pharmacy: Hospital, browser: Any, base_url: str) -> None:
    (lot_id,) = pharmacy.rows("SELECT id FROM lots")[0]
    context = browser.new_context()
    tab = watch(context.new_page(), base_url)
    tab.sign_in(pharmacy, "nurse")
    tab.page.wait_for_selector("#board")
    tab.page.goto(drug_url(pharmacy, tab))
    assert "A-1" in tab.page.inner_text("main")
    assert tab.page.locator("main form").count() == 0
    where = f"/stock/wards/{pharmacy.ward_id}/drugs/{pharmacy.drug_id}/adjust"
    for path in (f"/lots/{lot_id}", "/overrides", "/stock/receive", where):
        assert tab.page.goto(base_url + path).status == 403, path
    for path in ("/lots", "/charts", "/override-list", "/stock"):
        assert tab.page.goto(base_url + path).status == 200, path
    context.close()


def test_what_an_address_or_a_form_should_not_say_is_refused_and_never_a_fault(
    pharmacy: Hospital, screen: Screen
) -> None:
    unknown = uuid.uuid4()
    for path, status in (
        ("/stock?ward_id=x", 422),
        ("/stock?state=lost", 422),
        ("/stock?cursor=x", 422),
        (f"/stock/drugs/{unknown}", 404),
        (f"/stock/drugs/{pharmacy.drug_id}?ward_id={unknown}", 200),
        (f"/stock/drugs/{pharmacy.drug_id}?undo=x", 200),
        (f"/stock/wards/{unknown}/drugs/{pharmacy.drug_id}/adjust", 404),
        ("/charts?ward_id=x", 422),
        ("/lots?status=x", 422),
        (f"/lots/{unknown}", 404),
        ("/override-list?ward_id=x", 422),
        ("/overrides?status=x", 422),
        ("/stock/receive?ward_id=x", 200),
    ):
        assert screen.page.goto(screen.base_url + path).status == status, path
    screen.page.goto(screen.base_url + "/stock/receive")
    token = screen.page.locator("main [name=csrf_token]").first.get_attribute("value")
    for form in ({"do": "add:x"}, {"do": "receive"}, {"do": "receive", "drug_id": "x"}, {"what": "(01)1"}):
        sent = screen.page.request.post(f"{screen.base_url}/stock/receive", form={"csrf_token": token, **form})
        assert sent.status == 422, form
    forgive(screen, "422", "404")
    assert movements(pharmacy) == [("receipt", 10)]


def test_a_delivery_is_received_without_javascript(hospital: Hospital, browser: Any, base_url: str) -> None:
    plain = browser.new_context(java_script_enabled=False)
    tab = watch(plain.new_page(), base_url)
    tab.sign_in(hospital, "pharmacist")
    tab.page.goto(f"{base_url}/stock/receive?ward_id={hospital.ward_id}")
    for number in (1, 2):
        tab.page.fill("#what", "amox")
        tab.page.click("button:has-text('Find')")
        tab.page.click("button:has-text('Amoxicillin')")
        tab.page.fill(f"#lot-{number}", f"N-{number}")
        tab.page.fill(f"#expires-{number}", f"{in_days(90)}")
        tab.page.fill(f"#units-{number}", str(number))
    tab.page.click("button:has-text('Take out line 1')")
    assert tab.page.input_value("#lot-1") == "N-2"
    tab.page.click("button:has-text('Receive 1 line')")
    assert tab.page.inner_text("h1").strip() == "Received"
    tab.page.reload()
    assert tab.page.inner_text("h1").strip() == "Received", "sending the form again is the same request"
    assert hospital.on_hand() == 2
    plain.close()


@pytest.mark.parametrize(("refusal", "kept"), [(Busy(), True), (Conflict("Not now."), False), (None, False)])
def test_a_form_keeps_its_key_only_where_the_change_may_have_been_made(
    ward_app: Flask, refusal: DomainError | None, kept: bool
) -> None:
    key = "0123456789abcdef" * 2
    with ward_app.test_request_context("/stock/receive", method="POST", data={"key": key}):
        secured = ward_app.jinja_env.get_template("_forms.html").make_module().secured
        assert (f'name="key" value="{key}"' in secured(kept_key(refusal))) is kept
        assert 'name="key" value=""' not in secured(kept_key(refusal))


def test_axe_finds_nothing_on_the_pages_of_stock(hospital: Hospital, tablet: Screen) -> None:
    hospital.change("UPDATE organizations SET verification_required = true")
    hospital.receive(10, lot="A-1", expires_on=in_days(5))
    hospital.change("UPDATE stock_levels SET par_level_units = 60, reorder_point_units = 50")
    (lot_id,) = hospital.rows("SELECT id FROM lots")[0]
    (movement_id,) = hospital.rows("SELECT id FROM stock_movements")[0]

    tablet.sign_in(hospital, "pharmacist")
    tablet.page.wait_for_selector("nav.tabs")
    tablet.page.goto(f"{tablet.base_url}/override-list?ward_id={hospital.ward_id}&q=amox")
    tablet.inspect("override list, adding")
    tablet.page.click("button:has-text('Amoxicillin')")
    tablet.page.wait_for_selector("text=is on the list of 1 North")
    hospital.fulfil(hospital.place(units=2), override_reason="he cannot wait")
    drug = drug_url(hospital, tablet)
    for name, url in {
        "override list": f"{tablet.base_url}/override-list",
        "overrides": f"{tablet.base_url}/overrides",
        "stock": f"{tablet.base_url}/stock",
        "drug": f"{drug}&undo={movement_id}",
        "drug of the hospital": drug.partition("?")[0],
        "lots": f"{tablet.base_url}/lots",
        "lot": f"{tablet.base_url}/lots/{lot_id}",
        "charts": f"{tablet.base_url}/charts?ward_id={hospital.ward_id}",
        "receive": f"{tablet.base_url}/stock/receive?ward_id={hospital.ward_id}",
    }.items():
        tablet.page.goto(url)
        tablet.inspect(name)
    tablet.page.fill("#what", "amox")
    tablet.page.press("#what", "Enter")
    tablet.page.wait_for_selector("button:has-text('Amoxicillin')")
    tablet.inspect("receive, found")
    tablet.page.click("button:has-text('Amoxicillin')")
    tablet.page.wait_for_selector("#lot-1")
    tablet.inspect("receive, a line")
    for field, value in (("lot", "A-2"), ("expires", f"{in_days(90)}"), ("units", "5")):
        tablet.page.fill(f"#{field}-1", value)
    tablet.page.click("button:has-text('Receive 1 line')")
    tablet.page.wait_for_selector("h1:has-text('Received')")
    tablet.inspect("received")
    tablet.page.goto(f"{tablet.base_url}/stock/wards/{hospital.ward_id}/drugs/{hospital.drug_id}/adjust")
    tablet.inspect("adjust")
    tablet.page.fill("#quantity_units", "1")
    tablet.page.click("button:has-text('Adjust the stock')")
    tablet.page.wait_for_selector("h1:has-text('Adjusted')")
    tablet.inspect("adjusted")
