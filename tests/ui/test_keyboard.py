"""Where the keyboard goes on after something was done, and what a narrow screen shows."""

from typing import Any

import pytest

from tests.hospital import Hospital
from tests.ui.conftest import Screen

PHONES = ({"width": 390, "height": 844}, {"width": 320, "height": 640})  # 320 is a desk's 1280 at 400 %

TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("main *")]
    .filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest(".sideways"))
    .map(one => one.outerHTML.slice(0, 60))"""


def focused(screen: Screen, selector: str) -> bool:
    """Whether the keyboard is at `selector`."""
    return bool(screen.page.evaluate("selector => document.activeElement.matches(selector)", selector))


def test_after_a_refused_scan_the_scanner_types_into_its_field_again(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(10)
    hospital.place(units=1)
    screen.sign_in(hospital, "nurse")
    screen.open_give()
    screen.page.fill("#scan", "no code")
    screen.page.press("#scan", "Enter")
    screen.page.wait_for_selector("[role=alert]")
    assert focused(screen, "#scan")
    screen.page.fill("#scan", "")
    screen.page.click("button:has-text('Give dose')")
    screen.page.wait_for_selector("h1:has-text('Given')")
    assert focused(screen, "a.btn.primary"), "Enter goes back to the board"
    screen.wrong = [line for line in screen.wrong if "422" not in line]


def test_the_keyboard_goes_on_at_what_was_said(hospital: Hospital, screen: Screen) -> None:
    hospital.receive(10)
    hospital.place_many(2, units=1)
    screen.sign_in(hospital, "nurse")
    screen.page.click("a:has-text('The ward')")
    for tick in screen.page.locator("input[name=tick]").all():
        tick.uncheck()
    screen.page.click("button:has-text('Give what is ticked')")
    screen.page.wait_for_selector("[role=alert]")
    assert focused(screen, "main [role=alert]")
    screen.page.goto(screen.base_url + "/")
    screen.open_give()
    screen.page.click("summary:has-text('Not given')")
    screen.page.click("button:has-text('Held')")
    screen.page.wait_for_selector("text=Recorded as held")
    assert focused(screen, "main [role=status]")
    screen.wrong = [line for line in screen.wrong if "422" not in line]


def test_escape_and_a_tap_elsewhere_close_the_menu(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "nurse")
    menu = screen.page.locator(".who")
    for close in (lambda: screen.page.keyboard.press("Escape"), lambda: screen.page.mouse.click(200, 400)):
        screen.page.click(".who summary")
        assert menu.get_attribute("open") is not None
        close()
        assert menu.get_attribute("open") is None


@pytest.mark.parametrize("size", PHONES, ids=["phone", "400 %"])
def test_a_narrow_screen_shows_everything_and_nothing_overlaps(
    hospital: Hospital, screen: Screen, size: dict[str, Any]
) -> None:
    hospital.receive(10)
    hospital.place_many(3, units=1)
    screen.page.set_viewport_size(size)
    screen.sign_in(hospital, "nurse")
    screen.page.wait_for_selector("#board")
    for link in ("Patients", "Stock", "Transfers", "Counts", "Discrepancies", "Alerts", "Board"):
        screen.page.click(f"nav[aria-label=Pages] a:has-text('{link}')")
        screen.page.wait_for_selector(f"nav[aria-label=Pages] a[aria-current]:has-text('{link}')")
        assert screen.page.evaluate(TOO_WIDE) == [], link
    screen.page.click("a.tile")
    screen.page.click("a:has-text('The ward')")
    screen.page.wait_for_selector("li.order.tick")
    assert screen.page.evaluate(TOO_WIDE) == []
    row = screen.page.locator("li.order.tick").first
    state, stock = row.locator(".when .chip").bounding_box(), row.locator(".stock").bounding_box()
    assert state["x"] + state["width"] <= stock["x"] or state["y"] + state["height"] <= stock["y"]
