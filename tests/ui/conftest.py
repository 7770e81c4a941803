"""A real browser on the real application: Chromium of the system, driven by Playwright; without one the tests skip."""

import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from werkzeug.serving import make_server

from backend import create_app
from backend.config import Config
from tests.api.url_leaks import tells
from tests.hospital import PASSWORD, Hospital

AXE = Axe()
JUDGED = "async options => (await axe.run(options)).violations"  # what passes is not described, which takes long
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]  # the others judge a page alike in every theme
TABLET = {"width": 820, "height": 1180}
PATIENT = ["Okafor", "Grace"]  # whom tests/hospital.py admits
# The one without a window comes first: a test costs it 0.6 s of CPU less.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install Debian's package chromium-headless-shell")
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": ["--no-sandbox"]}


@pytest.fixture(scope="session")
def ward_app(config: Config) -> Iterator[Flask]:
    app = create_app(replace(config, pool_size=16))
    yield app
    app.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="session")
def listener() -> Iterator[socket.socket]:
    """A port, known before the application that is told of it."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(scope="session")
def named_app(config: Config, listener: socket.socket) -> Iterator[Flask]:
    """An application that knows the address of its pages."""
    app = create_app(replace(config, pool_size=16, origin=f"http://localhost:{listener.getsockname()[1]}"))
    yield app
    app.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="session")
def base_url(ward_app: Flask) -> Iterator[str]:
    """Where the application answers, each request in a thread."""
    server = make_server("127.0.0.1", 0, ward_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Screen:
    """A browser tab of somebody, and everything that went wrong in it."""

    page: Any
    base_url: str
    wrong: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def type_password(self, hospital: Hospital, login: str) -> None:
        """Fill in the form of signing in and send it."""
        self.page.goto(self.base_url + "/")
        self.page.fill("#organization", hospital.slug)
        self.page.fill("#email", f"{login}@{hospital.slug}.example")
        self.page.fill("#password", PASSWORD)
        self.page.click("main button.primary")

    def sign_in(self, hospital: Hospital, login: str) -> None:
        """Send what `type_password` sends, without drawing the form, and open the page to which it leads.

        The browser keeps the cookies of the answers. Raises AssertionError where the right password leads nowhere.
        """
        form = self.page.request.get(self.base_url + "/sign-in")
        token = re.search(r'name="csrf_token" value="([^"]+)"', form.text())
        assert token is not None, form.text()
        who = {"organization": hospital.slug, "email": f"{login}@{hospital.slug}.example", "password": PASSWORD}
        answer = self.page.request.post(
            self.base_url + "/sign-in", form={"csrf_token": token[1], **who}, max_redirects=0
        )
        assert answer.status == 302, answer.text()
        self.page.goto(self.base_url + answer.headers["location"])

    def open_give(self) -> None:
        """Taps the first Give of the board."""
        self.page.click("a:has-text('Give') >> nth=0")
        self.page.wait_for_selector("#scan")

    def inspect(self, name: str) -> None:
        """The page, each closed part of it opened, breaks no rule of axe in either theme and is no wider than the
        screen."""
        for closed in self.page.locator("main details:not([open]) > summary").all()[::-1]:
            closed.click()
        self.page.evaluate(AXE.axe_script)
        violations = self.page.evaluate(JUDGED, {"resultTypes": ["violations"]})
        self.page.emulate_media(color_scheme="dark")
        self.page.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
        violations += self.page.evaluate(JUDGED, {"resultTypes": ["violations"], "runOnly": RULES_OF_COLOUR})
        self.page.evaluate("delete document.documentElement.dataset.bsTheme")
        self.page.emulate_media(color_scheme="light")
        assert [(rule["id"], node["html"][:90]) for rule in violations for node in rule["nodes"]] == [], name
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"


def answered(page: Any, gesture: Callable[..., None]) -> Callable[..., None]:
    """`gesture` of the page, which ends when what it sent is answered and the page that came of it is whole.

    A form of ward.mjs is sent by fetch, of which Playwright knows nothing: what a test then reads, or waits for, would
    be of the page before.
    """

    def act(*arguments: Any, **options: Any) -> None:
        gesture(*arguments, **options)
        page.wait_for_selector("form[data-sending]", state="detached")
        page.wait_for_load_state()

    return act


def watch(page: Any, base_url: str) -> Screen:
    """A screen that remembers errors of the console, violations of the CSP and requests to other hosts, and whose
    clicks and keys end with their answer."""
    screen = Screen(page, base_url)
    for gesture in ("click", "dblclick", "press"):
        setattr(page, gesture, answered(page, getattr(page, gesture)))

    def heard(message: Any) -> None:
        if message.type in {"error", "warning"} and "status of 4" not in message.text:  # a refusal is no fault
            screen.wrong.append(message.text)

    def asked(request: Any) -> None:
        if tells(request.url, PATIENT):
            screen.wrong.append(f"a patient in {request.url}")
        if not request.url.startswith((base_url, "data:")):
            screen.foreign.append(request.url)

    page.on("console", heard)
    page.on("pageerror", lambda error: screen.wrong.append(str(error)))
    page.on("request", asked)
    page.set_default_timeout(30_000)
    return screen


@pytest.fixture
def screen(page: Any, base_url: str) -> Iterator[Screen]:
    """One tab; afterwards nothing has gone wrong in it and nothing came from elsewhere."""
    made = watch(page, base_url)
    yield made
    assert made.wrong == []
    assert made.foreign == []


@pytest.fixture
def tablet(browser: Any, base_url: str) -> Iterator[Screen]:
    """A ward's tablet in a light theme; afterwards nothing has gone wrong on it."""
    context = browser.new_context(color_scheme="light", viewport=TABLET)
    made = watch(context.new_page(), base_url)
    yield made
    assert made.wrong == []
    assert made.foreign == []
    assert made.page.evaluate("document.documentElement.dataset.bsTheme ?? 'light'") == "light"
    context.close()
