"""A screen that nobody uses, and one on which somebody types for long."""

import pytest

from backend.ui.frame import session
from tests.hospital import Hospital
from tests.ui.conftest import Screen

MINUTE = 60_000  # in milliseconds


def test_a_page_that_nobody_uses_goes_to_the_lock_by_itself(
    hospital: Hospital, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.page.clock.install()
    screen.sign_in(hospital, "nurse")
    screen.page.goto(screen.base_url + "/patients")
    screen.page.clock.run_for(11 * MINUTE)
    assert screen.page.inner_text("h1") == "Patients", "the server has not locked it: somebody uses another tab"
    monkeypatch.setattr(session, "IDLE_SECONDS_MAX", -1)
    screen.page.clock.run_for(MINUTE)
    screen.page.wait_for_selector("h1:has-text('Screen locked')")
    assert screen.page.url.endswith("/lock?next=/patients")


def test_typing_is_a_use_of_the_screen_though_nothing_is_sent(hospital: Hospital, screen: Screen) -> None:
    screen.page.clock.install()
    screen.sign_in(hospital, "nurse")
    screen.page.goto(screen.base_url + "/patients")
    told: list[str] = []
    screen.page.on("request", lambda request: told.append(request.url) if "/awake" in request.url else None)
    screen.page.fill("#q", "A")
    screen.page.clock.run_for(2 * MINUTE)
    assert told == [], "once a minute at most, and only for somebody who types"
    with screen.page.expect_response("**/awake") as heard:
        screen.page.fill("#q", "Ab")
    assert "valmed=" in heard.value.header_value("set-cookie"), "the cookie says that it was used just now"
