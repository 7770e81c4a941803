"""No URL tells who a patient is (OWASP ASVS 8.3.1): neither one that a page leads to nor one that a search asks for."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend import create_app
from backend.actor import Role
from backend.config import Config
from backend.ui.frame.sealed_search import cipher_of
from tests.api.page_visits import PAGES
from tests.api.test_tenancy_of_pages import Screens
from tests.api.url_leaks import Page, tells
from tests.api.valid_requests import OPERATIONS, READS, assert_problem, everything, least, login_for, send
from tests.hospital import Client, Hospital, open_hospital, sign_in

SECRETS = ["Quillfeather", "Zebedee", "ZQ-902"]
WHOLE_NAME, MANY = "Quillfeather, Zebedee", 55  # so named: more than a page shows
SEARCHES = {"/patients": "nurse", "/prescribing/new": "doctor"}  # the pages that find a patient, and whose they are


@pytest.fixture(scope="module")
def urls() -> list[str]:
    """Every URL that was asked for."""
    return []


@pytest.fixture(scope="module")
def noting(config: Config, urls: list[str]) -> Iterator[Flask]:
    """An application that notes them."""
    made = create_app(replace(config, pool_size=4))
    made.before_request(lambda: urls.append(request.url))
    yield made
    made.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="module")
def crowded(noting: Flask) -> Hospital:
    """A hospital with patients of one name, and one of another."""
    hospital = open_hospital(noting.extensions["valmed"])
    for number in range(MANY):
        hospital.admit(f"{WHOLE_NAME} {number:02d}", f"ZQ-902-{number:02d}")
    return hospital


def at_the_screen(app: Flask, hospital: Hospital, role: str) -> FlaskClient:
    """The browser of one of the role."""
    client, about = app.test_client(), {"name": role, "role": role, "time_zone": "Europe/Berlin", "slug": hospital.slug}
    with client.session_transaction() as session:
        session["token"] = sign_in(app, hospital, role).token
        session["about"] = {**about, "organization": hospital.slug, "email": f"{role}@{hospital.slug}.example"}
        session["seen"] = int(time.time())
    return client


def search(client: FlaskClient, path: str, q: str, **more: str) -> TestResponse:
    """The answer to the page's form, sent as a browser without a script would."""
    page = Page(client.get(path).text)
    form = next(number for number, names in enumerate(page.typed) if "q" in names)
    where, fields = page.forms[form], {**page.fields[form], **more, "q": q}
    if where["method"] == "get":
        return client.get(where["action"], query_string=fields)
    return client.post(where["action"], data=fields)


def box(answer: TestResponse) -> str:
    """What stands in the page's search."""
    page = Page(answer.text)
    return next(fields["q"] for fields in page.fields if "q" in fields)


def patients_on(answer: TestResponse) -> int:
    """How many patients of the one name the page shows."""
    return len(re.findall(r"ZQ-902-[0-9]+, born", answer.text))


def test_a_url_is_read_as_whoever_finds_it_would() -> None:
    readable = ("quillfeather", "%51uillfeather", "a+zebedee", "ZQ-902-07", "WyJ4IiwicXVpbGxmZWF0aGVyIl0")
    for url in (f"/patients?x={one}" for one in readable):
        assert tells(f"https://h{url}", SECRETS), url
    assert not tells("https://h/p?found=gAAAAABqAbc-Qui&c=WyJ4Il0", SECRETS)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_leads_to_a_url_that_names_a_patient(noting: Flask, ours: Hospital, urls: list[str], name: str) -> None:
    """By a link, a form's address or a redirect; and no form that is sent as a URL finds a patient by what is typed."""
    rows = ours.rows("SELECT name, mrn FROM patients")
    named = [word for row in rows for word in (*row[0].split(", "), row[1]) if len(word) > 4]
    assert "Okafor" in named
    visit, screens = PAGES[name](ours), Screens(noting, ours)
    client = screens.open(visit.login)[0]
    urls.clear()
    page = Page(screens.send(name, visit).text)
    assert [url for url in (*urls, *page.urls) if tells(url, named)] == []
    for form, fields, names in zip(page.forms, page.fields, page.typed, strict=True):
        for field in names if form["method"] == "get" else ():
            found, nobody = (
                client.get(form["action"], query_string={**fields, field: word}).text for word in ("Okafor", "nobody")
            )
            assert not ("M-1" in found and "M-1" not in nobody), (form, field)


def test_a_search_shows_who_is_found_and_no_url_of_it_says_whom(
    noting: Flask, crowded: Hospital, urls: list[str]
) -> None:
    for path, role in SEARCHES.items():
        client = at_the_screen(noting, crowded, role)
        urls.clear()
        for q, count in ((WHOLE_NAME, 50), (f"{WHOLE_NAME} 07", 1), ("ZQ-902-11", 1), ("zebedee", 50), ("nobody", 0)):
            sent = search(client, path, f" {q} ")
            assert (sent.status_code, urlsplit(sent.location).path) == (303, path)
            shown = client.get(sent.location)
            assert (shown.status_code, box(shown), patients_on(shown)) == (200, q, count)
            assert patients_on(client.get(sent.location)) == count, "again, as by reload or back"
            links = Page(shown.text)
            if count == 50:
                more = client.get(links.links["More"])
                assert (box(more), patients_on(more), "Okafor" in more.text) == (q, MANY - 50, False)
                links.urls += Page(more.text).urls
            assert [url for url in (*urls, *links.urls, sent.location) if tells(url, SECRETS)] == []
        assert len(urls) > 10


def test_an_empty_search_has_no_seal_and_what_was_chosen_stays(noting: Flask, crowded: Hospital) -> None:
    client = at_the_screen(noting, crowded, "doctor")
    assert search(client, "/patients", "  ").location == "/patients"
    ward_id, drug_id = str(crowded.ward_id), str(crowded.drug_id)
    in_ward = search(client, "/patients", "M-1", ward_id=ward_id).location
    assert parse_qs(urlsplit(in_ward).query)["ward_id"] == [ward_id]
    assert "Okafor" not in client.get(search(client, "/patients", "M-1", ward_id=str(crowded.add_ward())).location).text
    of_drug = search(client, f"/prescribing/new?drug_id={drug_id}", "M-1").location
    (chosen,) = (url for url in Page(client.get(of_drug).text).urls if "patient_id=" in url)
    assert parse_qs(urlsplit(chosen).query) == {"patient_id": [str(crowded.patient_id)], "drug_id": [drug_id]}


def test_a_seal_shows_neither_its_term_nor_how_long_it_is(noting: Flask, crowded: Hospital) -> None:
    client = at_the_screen(noting, crowded, "nurse")
    seals = [search(client, "/patients", q).location for q in ("x", "x", WHOLE_NAME, "Ö" * 60)]
    assert len(set(seals)) == len(seals)
    assert len({len(seal) for seal in seals}) == 1
    assert box(client.get(seals[3])) == "Ö" * 60
    assert box(client.get(search(client, "/patients", "💊" * 100).location)) == "💊" * 100


@pytest.fixture(scope="module")
def lost(noting: Flask, crowded: Hospital) -> dict[str, str]:
    """Seals that open no more, or never did."""
    sealed = parse_qs(urlsplit(search(at_the_screen(noting, crowded, "nurse"), "/patients", "x").location).query)
    seal, elsewhere = sealed["found"][0], open_hospital(noting.extensions["valmed"])
    ours, theirs = (cipher_of(str(noting.secret_key), one.organization_id) for one in (crowded, elsewhere))
    shift = noting.extensions["valmed"].config.token_hours * 3600
    moment, term = int(time.time()), WHOLE_NAME.encode()
    return {
        "a word": "Quillfeather",
        "no base64": "ö\N{SNOWMAN}/%00",
        "truncated": seal[:-5],
        "half": seal[: len(seal) // 2],
        "longer": seal + "AAAA",
        "changed": seal[:60] + ("A" if seal[60] != "A" else "B") + seal[61:],
        "huge": "A" * 200_000,
        "another hospital's": theirs.encrypt(term).decode(),
        "too old": ours.encrypt_at_time(term, moment - shift - 60).decode(),
        "of the future": ours.encrypt_at_time(term, moment + 3600).decode(),
        "another secret's": cipher_of("x" * 32, crowded.organization_id).encrypt(term).decode(),
    }


KINDS = (
    *("a word", "no base64", "truncated", "half", "longer", "changed", "huge", "another hospital's", "too old"),
    *("of the future", "another secret's"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", SEARCHES)
def test_a_seal_that_opens_no_more_is_an_empty_search(
    noting: Flask, crowded: Hospital, lost: dict[str, str], path: str, kind: str
) -> None:
    client = at_the_screen(noting, crowded, SEARCHES[path])
    cursor = parse_qs(urlsplit(Page(client.get(path).text).links["More"]).query)["cursor"][0]
    for query in ({}, {"cursor": cursor}):
        answer = client.get(path, query_string={**query, "found": lost[kind]})
        assert (answer.status_code, box(answer), patients_on(answer)) == (200, "", 49), "the first page of all"
        assert "Type the name again" in answer.text


def test_a_seal_opens_until_the_shift_ends(noting: Flask, crowded: Hospital) -> None:
    cipher, hours = cipher_of(str(noting.secret_key), crowded.organization_id), 11
    seal = cipher.encrypt_at_time(WHOLE_NAME.encode(), int(time.time()) - hours * 3600).decode()
    answer = at_the_screen(noting, crowded, "nurse").get("/patients", query_string={"found": seal})
    assert (box(answer), patients_on(answer)) == (WHOLE_NAME, 50)
    assert "Type the name again" not in answer.text


@pytest.mark.parametrize("path", SEARCHES)
@pytest.mark.parametrize("q", ["x" * 101, "a\0b", "a\nb", "x" * 500_000])
def test_what_nobody_searches_for_is_refused(noting: Flask, crowded: Hospital, path: str, q: str) -> None:
    assert search(at_the_screen(noting, crowded, SEARCHES[path]), path, q).status_code == 422


def test_only_a_doctor_looks_for_whom_to_prescribe(noting: Flask, crowded: Hospital) -> None:
    nurse = at_the_screen(noting, crowded, "nurse")
    mark = Page(nurse.get("/patients").text).fields
    token = next(fields["csrf_token"] for fields in mark if "q" in fields)
    assert nurse.post("/prescribing/patients", data={"csrf_token": token, "q": "x"}).status_code == 403


# The API


def in_pages(client: Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The pages of a search."""
    found = []
    while True:
        response = client.post("/patients/search", body)
        assert response.status_code == 200, response.text
        found.append(response.get_json())
        if found[-1]["next_cursor"] is None:
            return found
        body = {**body, "cursor": found[-1]["next_cursor"]}


@pytest.mark.parametrize("role", Role)
def test_a_search_answers_what_the_list_answers(noting: Flask, crowded: Hospital, role: Role, urls: list[str]) -> None:
    client = sign_in(noting, crowded, role.value)
    ward_id = str(crowded.ward_id)
    for body in ({}, {"q": "quill"}, {"q": "feather"}, {"q": "ZQ-902-11"}, {"ward_id": ward_id}, {"limit": 7}):
        urls.clear()
        walked = in_pages(client, body)
        assert urls == ["http://localhost/api/v1/patients/search"] * len(walked)
        cursor: dict[str, str] = {}
        for page in walked:
            assert client.request("GET", "/patients", query_string={**body, **cursor}).get_json() == page
            cursor = {"cursor": page["next_cursor"]}
    assert len(in_pages(client, {"q": "quill", "limit": 20})) == 3
    assert client.post("/patients/search").get_json() == client.get("/patients").get_json()


def test_a_search_stores_and_changes_nothing_whatever_key_it_has(noting: Flask, crowded: Hospital) -> None:
    client = sign_in(noting, crowded, "nurse")
    before = everything(crowded)
    for q, headers in (("quill", {}), ("quill", {"Idempotency-Key": "k"}), ("M-1", {"Idempotency-Key": "k"})):
        answer = client.request("POST", "/patients/search", json={"q": q}, headers=headers)
        assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (200, None)
        assert answer.get_json()["items"][0]["mrn"] == {"quill": "ZQ-902-00", "M-1": "M-1"}[q]
    assert everything(crowded) == before
    assert client.request("GET", "/patients/search").status_code == 405


def test_no_cursor_tells_a_name(noting: Flask, crowded: Hospital) -> None:
    client = sign_in(noting, crowded, "nurse")
    for query in ("", "&q=quill", "&q=feather"):
        cursor = client.get(f"/patients?limit=5{query}").get_json()["next_cursor"]
        assert cursor
        assert tells(f"/patients?cursor={cursor}", SECRETS) == []


def test_nobody_comes_after_a_patient_of_no_hospital(noting: Flask, crowded: Hospital) -> None:
    client, other = sign_in(noting, crowded, "nurse"), open_hospital(noting.extensions["valmed"])
    other.admit("A, A")
    theirs = sign_in(noting, other, "nurse").get("/patients?limit=1").get_json()["next_cursor"]
    assert client.get(f"/patients?cursor={theirs}").get_json() == {"items": [], "next_cursor": None}
    assert_problem(client.post("/patients/search", {"cursor": "x"}), 422, "validation_failed")


def test_no_other_read_finds_a_patient_by_what_its_url_says(staff: dict[str, Client], ours: Hospital) -> None:
    """Every parameter of every read, tried with a name and with a number."""
    finding = set()
    for name in READS:
        operation, client = OPERATIONS[name], staff[login_for(name)]
        for field in operation.query.fields if operation.query else ():
            nobody, *found = (
                send(client, name, least(name, ours, **{field: word})).text for word in ("nobody", "Okafor", "M-1")
            )
            if str(ours.patient_id) in "".join(found) and str(ours.patient_id) not in nobody:
                finding.add((name, field))
    assert finding == {("GET /patients", "q")}, (
        "a promise to old clients; POST /patients/search is the same without a URL"
    )
