"""The doors of the pages, without a browser: forms from elsewhere, cookies, the end of a session, where one is led."""

import re
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from backend.ui.frame.session import IDLE_SECONDS_MAX
from tests.api.valid_requests import everything
from tests.hospital import PASSWORD, Hospital
from tests.web.test_headers import url_of

HTTPS = "https://ward.example"
API = "/api/v1/"


def token_on(page: TestResponse) -> str:
    """The token of the page's forms."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def send(client: FlaskClient, path: str, page: str, *, base: str = "http://localhost", **form: str) -> TestResponse:
    """The answer to the form, sent with the token of the page `page`."""
    form["csrf_token"] = token_on(client.get(page, base_url=base))
    return client.post(path, data=form, base_url=base, headers={"Referer": base + page})


def sign_in(client: FlaskClient, hospital: Hospital, login: str = "nurse", **options: str) -> TestResponse:
    """The answer to the sign-in form."""
    person = {"organization": hospital.slug, "email": f"{login}@{hospital.slug}.example", "password": PASSWORD}
    return send(client, "/sign-in", "/sign-in", **{**person, **options})


@pytest.fixture
def client(ward_app: Flask, hospital: Hospital) -> FlaskClient:
    """An admin's tab."""
    made = ward_app.test_client()
    assert sign_in(made, hospital, "admin").status_code == 302
    return made


def forms(app: Flask) -> Iterator[Rule]:
    """Every path of a page that changes something."""
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith(API) and (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}:
            yield rule


def test_no_form_is_taken_without_its_token_with_anothers_or_from_another_site(
    ward_app: Flask, client: FlaskClient, hospital: Hospital
) -> None:
    mine = token_on(client.get("/account"))
    foreign = token_on(ward_app.test_client().get("/sign-in"))
    before, paths = everything(hospital), [url_of(rule) for rule in forms(ward_app)]
    assert len(paths) > 40
    for path in paths:
        for token, headers in (
            (None, {}),
            (foreign, {}),
            (mine[:-1], {}),
            (mine, {"Sec-Fetch-Site": "cross-site"}),
            (mine, {"Sec-Fetch-Site": "same-site"}),
        ):
            form = {} if token is None else {"csrf_token": token}
            answer = client.post(path, data=form, headers=headers)
            assert (answer.status_code, "too old" in answer.text) == (400, True), (path, token, headers)
    assert everything(hospital) == before
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}):
        assert client.post("/theme", data={"csrf_token": mine, "theme": "dark"}, headers=headers).status_code == 302


def test_over_https_a_form_must_come_from_here(ward_app: Flask, hospital: Hospital) -> None:
    client = ward_app.test_client()
    token = token_on(client.get("/sign-in", base_url=HTTPS))
    for referrer, status in (("https://evil.example/", 400), (None, 400), (HTTPS + "/sign-in", 401)):
        headers = {} if referrer is None else {"Referer": referrer}
        answer = client.post("/sign-in", data={"csrf_token": token}, base_url=HTTPS, headers=headers)
        assert answer.status_code == status, referrer


def test_the_api_knows_no_cookie(client: FlaskClient, hospital: Hospital) -> None:
    assert client.get("/account").status_code == 200
    before = everything(hospital)
    for method, path in (("GET", "me"), ("GET", "users"), ("POST", "wards"), ("DELETE", "me/tokens")):
        body = {"json": {"name": "x", "kind": "ward"}} if method == "POST" else {}
        assert client.open(API + path, method=method, **body).status_code == 401
    assert everything(hospital) == before


def test_signing_in_makes_another_session_than_the_one_before(ward_app: Flask, hospital: Hospital) -> None:
    client, thief = ward_app.test_client(), ward_app.test_client()
    planted = token_on(client.get("/sign-in"))
    cookie = client.get_cookie("valmed")
    assert cookie is not None
    thief.set_cookie("valmed", cookie.value)
    assert sign_in(client, hospital).status_code == 302
    mine = client.get_cookie("valmed")
    assert mine is not None
    assert mine.value != cookie.value
    assert client.get("/account").status_code == 200
    assert thief.get("/account").location == "/sign-in?next=/account"
    assert client.post("/theme", data={"csrf_token": planted}).status_code == 400, "the token of before is void too"


def test_a_copy_of_the_cookie_ends_with_the_sign_out(ward_app: Flask, client: FlaskClient) -> None:
    cookie = client.get_cookie("valmed")
    assert cookie is not None
    thief = ward_app.test_client()
    thief.set_cookie("valmed", cookie.value)
    assert thief.get("/account").status_code == 200
    assert send(client, "/sign-out", "/account").status_code == 302
    assert thief.get("/account").location == "/sign-in?next=/account"


def test_over_https_the_cookie_is_of_this_host_alone(ward_app: Flask, hospital: Hospital) -> None:
    client = ward_app.test_client()
    answer = sign_in(client, hospital, base=HTTPS)
    given = {cookie.split("=", 1)[0]: cookie for cookie in answer.headers.getlist("Set-Cookie")}
    assert set(given) == {"__Host-valmed", "organization"}
    for cookie in given.values():
        attributes = {part.strip().split("=")[0].lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite", "path"} <= attributes, cookie
        assert "domain" not in attributes
        assert "SameSite=Strict" in cookie
        assert "Path=/;" in cookie + ";"
    assert client.get("/account", base_url=HTTPS).status_code == 200
    other = ward_app.test_client()
    mine = client.get_cookie("__Host-valmed", domain="ward.example")
    assert mine is not None
    other.set_cookie("valmed", mine.value, domain="ward.example")
    assert other.get("/account", base_url=HTTPS).location == "/sign-in?next=/account", "a name that a neighbour may set"


def seen(client: FlaskClient, ago: int) -> None:
    """The screen was last used so many seconds ago."""
    with client.session_transaction() as session:
        session["seen"] = int(time.time()) - ago


def test_a_screen_locks_after_ten_idle_minutes_and_polls_are_no_use_of_it(client: FlaskClient) -> None:
    assert IDLE_SECONDS_MAX == 600
    seen(client, IDLE_SECONDS_MAX - 5)
    assert client.get("/account", headers={"X-Poll": "1"}).status_code == 200
    with client.session_transaction() as session:
        assert time.time() - session["seen"] > IDLE_SECONDS_MAX - 10
    assert client.get("/account").status_code == 200
    with client.session_transaction() as session:
        assert time.time() - session["seen"] < 60
    seen(client, IDLE_SECONDS_MAX + 5)
    assert client.get("/account").location == "/lock?next=/account"


def test_a_session_ends_after_a_shift_however_busy_and_no_password_of_the_lock_makes_it_longer(
    client: FlaskClient, hospital: Hospital
) -> None:
    ((hours,),) = hospital.rows("SELECT extract(epoch FROM expires_at - created_at) / 3600 FROM access_tokens")
    assert hours == hospital.database.config.token_hours == 12
    hospital.change("UPDATE access_tokens SET created_at = created_at - interval '12 h', expires_at = now()")
    assert client.get("/account").location == "/sign-in?next=/account"
    assert send(client, "/unlock", "/lock", password=PASSWORD, next="/account").status_code == 302
    assert client.get("/account").location == "/sign-in?next=/account"


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("https://evil.example/", "//evil.example", "///evil.example", "////evil.example", "/\\evil.example"),
        *("\\\\evil.example", "/\t/evil.example", "/\n/evil.example", "/ /evil.example", "javascript:alert(1)"),
        *("evil.example", "", "/\x00/evil.example", "https:evil.example", "/account\r\nSet-Cookie: a=b"),
    ],
)
def test_nobody_is_led_to_another_host(ward_app: Flask, hospital: Hospital, elsewhere: str) -> None:
    client = ward_app.test_client()
    assert sign_in(client, hospital, next=elsewhere).location == "/"
    assert send(client, "/theme", "/account", next=elsewhere).location == "/"
    assert send(client, "/unlock", "/lock", next=elsewhere, password=PASSWORD).location == "/"


def test_one_is_led_where_one_wanted_to_go(ward_app: Flask, hospital: Hospital) -> None:
    for wanted in ("/account", "/stock?q=Amox%2C+i&more=1", "/patients/ä"):
        client = ward_app.test_client()
        assert sign_in(client, hospital, next=wanted).location in {wanted, "/patients/%C3%A4"}
