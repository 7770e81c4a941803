"""Takes the README's pictures of a fresh demo: python .github/tour/take.py http://127.0.0.1:8000

Needs the `test` extra and a Chromium of the system. Each picture is of the width of a ward's tablet or of a desk.
"""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

from backend.domain.identity.sign_in.totp import code_of, step_at

PASSWORD = "ward-demo-2026"  # of the demo's sign-ins, which it prints
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
TABLET, DESK, TALL = (820, 1000), (1280, 800), (1280, 1250)
PLACE = Path(__file__).parent


class Picture(NamedTuple):
    """What `login` sees at `start` after following `links`, each the text of a link or button."""

    name: str
    login: str
    start: str = "/"
    links: tuple[str, ...] = ()
    size: tuple[int, int] = TABLET
    theme: str = "light"


PICTURES = (
    Picture("board", "nurse"),
    Picture("round", "nurse", "/", ("The ward",)),
    Picture("given", "nurse", "/", ("Give", "Give dose")),
    Picture("chart", "nurse", "/patients", ("Abara, Jonas",), TALL),
    Picture("verify", "pharmacist"),
    Picture("stock", "pharmacist", "/stock?ward_id=", (), DESK, "dark"),
    Picture("drug", "pharmacist", "/stock?q=morphine", ("Morphine",), TALL),
    Picture("register", "pharmacist", "/register", ("Morphine",), DESK),
    Picture("prescribe", "doctor", "/patients", ("Abara, Jonas", "Place an order", "Amoxicillin"), TABLET),
    Picture("audit", "admin", "/audit", (), DESK, "dark"),
)


def _sign_in(page: Any, base: str, login: str) -> None:
    page.goto(base + "/sign-in")
    page.fill("#organization", "riverside")
    page.fill("#email", f"{login}@riverside.example")
    page.fill("#password", PASSWORD)
    page.click("main button.primary")
    if page.locator("#otp").count():
        page.fill("#otp", code_of(SECRET, step_at(datetime.now(UTC))))
        page.click("main button.primary")


def take(browser: Any, base: str, picture: Picture) -> None:
    """Writes PLACE/name.jpg."""
    width, height = picture.size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=picture.theme)
    page = context.new_page()
    _sign_in(page, base, picture.login)
    page.goto(base + picture.start)
    for link in picture.links:
        page.locator("main").locator("a, button").filter(has_text=link).first.click()
        page.wait_for_load_state("networkidle")
        page.wait_for_selector("form[data-sending]", state="detached")
    page.screenshot(path=PLACE / f"{picture.name}.jpg", type="jpeg", quality=60)
    context.close()


def main(base: str) -> None:
    """All pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for picture in PICTURES:
            take(browser, base.rstrip("/"), picture)
            print(picture.name)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
