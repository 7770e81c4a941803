"""Nothing crosses from one hospital to another by a page: whatever its address, its form or its file names is tried
with another hospital's, and is answered like what nobody has."""

import io
import re
import time
import uuid
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from flask import Flask, Request
from flask.testing import FlaskClient
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.test import TestResponse

from backend import create_app
from backend.config import Config
from backend.domain.models import Base
from tests.api.other_hospital import ID, Foreign
from tests.api.page_visits import CURSORS, PAGES, PLAIN, UNHEEDED, WITHOUT_TENANT, Visit
from tests.api.valid_requests import OPERATIONS, everything, least, login_for, send
from tests.hospital import Client, Hospital, sign_in

pytestmark = pytest.mark.usefixtures("nothing_changes_there")
NAMED = re.compile(rf"{ID.pattern}|(?<=witness_email )[\w.-]+@[\w.-]+\.example")
CHANGING = re.compile(r'[0-9a-f]{32}|name="csrf_token" value="[^"]+"|<svg.*?</svg>', re.DOTALL)
TABLES = sorted(
    name
    for name, table in Base.metadata.tables.items()
    if isinstance(getattr(table.columns.get("id"), "type", None), sa.Uuid)
)


class Noting(ImmutableMultiDict[str, str]):
    """What an address or a form says, noting which fields are read."""

    read: ClassVar[set[str]] = set()

    def get(self, key: Any, *arguments: Any, **options: Any) -> Any:
        self.read.add(key)
        return super().get(key, *arguments, **options)

    def getlist(self, key: Any, *arguments: Any) -> Any:
        self.read.add(key)
        return super().getlist(key, *arguments)

    def __getitem__(self, key: Any) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: Any) -> bool:
        self.read.add(key)
        return super().__contains__(key)


class NotingRequest(Request):
    """A request of which it is known afterwards what was read of it."""

    parameter_storage_class = Noting


class Screens:
    """Browsers of a hospital's staff, each signed in when it is first needed."""

    def __init__(self, app: Flask, hospital: Hospital) -> None:
        self._app, self._hospital = app, hospital
        self._open: dict[str, tuple[FlaskClient, str]] = {}
        self.read: set[str] = set()

    def send(self, name: str, visit: Visit) -> TestResponse:
        """The page at the end of all redirects; `read` is what the first one read of its address and its form."""
        browser, mark = self.open(visit.login)
        method, rule = name.split(" # ")[0].split(" ", 1)
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", lambda found: str(visit.path[found[1]]), rule)
        options: dict[str, Any] = {"method": method, "query_string": visit.query}
        if method == "POST":
            options["data"] = {"csrf_token": mark, "key": uuid.uuid4().hex, **visit.form}
            if visit.file is not None:
                options["data"]["file"] = (io.BytesIO(visit.file), "file.csv")
        Noting.read.clear()
        answer = browser.open(path, **options)
        self.read = set(Noting.read)
        return browser.get(answer.location, follow_redirects=True) if answer.location else answer

    def open(self, login: str) -> tuple[FlaskClient, str]:
        """Somebody's browser, and the mark of their forms."""
        if login in self._open:
            return self._open[login]
        browser, actor = self._app.test_client(), self._hospital.staff[login]
        about = {"role": actor.role.value, "organization": self._hospital.slug, "hospital": "Test", "name": login}
        about |= {"email": f"{login}@{self._hospital.slug}.example", "time_zone": "Europe/Berlin"}
        with browser.session_transaction() as session:
            session.update(token=sign_in(self._app, self._hospital, login).token, about=about, seen=int(time.time()))
        found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/account").text)
        assert found is not None
        self._open[login] = browser, found[1]
        return self._open[login]


@pytest.fixture(scope="module")
def pages(config: Config) -> Iterator[Flask]:
    """The application, which notes what its pages read."""
    made = create_app(replace(config, pool_size=4, claims_bytes_max=2_097_152))
    made.request_class = NotingRequest
    yield made
    made.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="module")
def screens(pages: Flask, ours: Hospital) -> Screens:
    """Of our staff."""
    return Screens(pages, ours)


def test_every_route_is_in_a_table(pages: Flask) -> None:
    """A new route fails here: enter it in VALID, in PAGES or, where it knows no hospital, in WITHOUT_TENANT."""
    routes = {
        f"{method} {rule.rule}"
        for rule in pages.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    operations = {name.replace(" ", " /api/v1", 1) for name in OPERATIONS}
    visited = {name.split(" # ")[0] for name in PAGES}
    assert routes - operations - visited - set(WITHOUT_TENANT) == set(), "a route without an entry"
    assert operations | visited | set(WITHOUT_TENANT) == routes, "an entry without a route"
    assert not visited & set(WITHOUT_TENANT)


@pytest.mark.parametrize("name", sorted(name for name in WITHOUT_TENANT if name.startswith("GET ")))
def test_a_page_without_a_tenant_shows_nothing_of_one(pages: Flask, foreign: Foreign, name: str) -> None:
    answer = pages.test_client().get(re.sub(r"<(?:path:)?\w+>", "busy", name.split(" ")[1]))
    assert not foreign.search(answer.text)


def named_in(visit: Visit) -> Iterator[tuple[str, Any, str]]:
    """Every id and email that a visit carries: where, in which field, and itself."""
    for where in ("path", "query", "form"):
        for key, value in getattr(visit, where).items():
            for found in dict.fromkeys(NAMED.findall(f"{key} {value}")):
                yield where, key, found
    for found in NAMED.findall((visit.file or b"").decode()):
        yield "file", "file", found


def with_another(visit: Visit, where: str, key: str, old: str, new: str) -> Visit:
    """The visit that names `new` in place of `old`, in one field."""

    def put(value: Any) -> Any:
        return [put(one) for one in value] if isinstance(value, list) else str(value).replace(old, new)

    made = deepcopy(visit)
    if where == "file":
        made.file = (made.file or b"").replace(old.encode(), new.encode())
    else:
        fields = getattr(made, where)
        setattr(made, where, {put(k) if k == key else k: put(v) if k == key else v for k, v in fields.items()})
    return made


def of_the_same_kind(named: str, ours: Hospital, theirs: Hospital) -> str:
    """A row of theirs in the table where `named` is one of ours; of an email the one of who is the same there."""
    if "@" in named:
        login = named.split("@")[0]
        return f"{login if login in theirs.staff else 'nurse'}@{theirs.slug}.example"
    query = " UNION ALL ".join(f"SELECT '{table}' FROM {table} WHERE id = :p1" for table in TABLES)
    ((table,),) = ours.rows(query, uuid.UUID(named))
    if table == "users":
        return next(str(actor.user_id) for actor in theirs.staff.values() if actor.role is _role(ours, named))
    return str(theirs.rows(f"SELECT id FROM {table} ORDER BY id LIMIT 1")[0][0])


def _role(ours: Hospital, user_id: str) -> Any:
    return next(actor.role for actor in ours.staff.values() if str(actor.user_id) == user_id)


def nobodys(named: str) -> str:
    """What no hospital has."""
    return f"{uuid.uuid4().hex}@nowhere.example" if "@" in named else str(uuid.uuid4())


def shown(answer: TestResponse, sent: str) -> str:
    """The page without what was sent, the marks of its forms, and its drawings, which move on with the time."""
    return CHANGING.sub("", answer.text.replace(sent, ""))


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_is_sent_of_another_hospital_is_as_good_as_what_nobody_has(
    screens: Screens, ours: Hospital, theirs: Hospital, foreign: Foreign, name: str
) -> None:
    """Answered alike, but for what was sent; nothing of theirs is shown, and nothing changes here either."""
    visit = PAGES[name](ours)
    screens.open(visit.login)
    before = everything(ours)
    for where, key, named in named_in(visit):
        if key in UNHEEDED.get(name, ()):
            continue
        sent, unknown = of_the_same_kind(named, ours, theirs), nobodys(named)
        answer = screens.send(name, with_another(visit, where, key, named, sent))
        assert not foreign.search(answer.text, sent), (where, key)
        assert answer.status_code == 404 if where == "path" else answer.status_code < 500, (key, answer.status_code)
        same = screens.send(name, with_another(visit, where, key, named, unknown))
        assert (same.status_code, shown(same, unknown)) == (answer.status_code, shown(answer, sent)), (where, key)
        assert everything(ours) == before, (where, key)
    _is_right(screens, ours, foreign, name, visit)


def _is_right(screens: Screens, ours: Hospital, foreign: Foreign, name: str, visit: Visit) -> None:
    """What the attempts met was the fence and no mistake of the visit; it names whatever the page can read."""
    answer = screens.send(name, visit)
    assert answer.status_code == visit.status, re.sub(r"<[^>]+>|\s+", " ", answer.text)[-600:]
    assert not foreign.search(answer.text)
    untried = screens.read - _fields(visit) - PLAIN
    for other, make in PAGES.items():
        if untried and _address(other) == _address(name):
            untried -= _fields(make(ours))
    assert sorted(untried) == [], "enter it in PLAIN where it names nothing, else in the page's visit"


def _fields(visit: Visit) -> set[str]:
    """What the visit sends; a cursor, which has a test of its own; and a witness, whom the email alone names."""
    return {*visit.query, *visit.form, "cursor", "witness_email", "witness_password", "witness_otp"}


def _address(name: str) -> str:
    return name.split(" # ")[0].split(" ", 1)[1]


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("GET ")])
def test_a_page_shows_nobody_what_is_theirs(screens: Screens, ours: Hospital, foreign: Foreign, name: str) -> None:
    """Whatever the role: refused or not."""
    visit = PAGES[name](ours)
    for login in {"nurse", "pharmacist", "doctor", "admin"} - {visit.login}:
        assert not foreign.search(screens.send(name, replace(visit, login=login)).text), login


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in UNHEEDED.items() for key in keys])
def test_a_field_that_is_unheeded_changes_nothing_there(
    screens: Screens, ours: Hospital, theirs: Hospital, foreign: Foreign, name: str, key: str
) -> None:
    """Nothing of it is refused; what comes next shows nothing of theirs either."""
    visit = PAGES[name](ours)
    where, named = next((where, named) for where, field, named in named_in(visit) if field == key)
    sent = of_the_same_kind(named, ours, theirs)
    answer = screens.send(name, with_another(visit, where, key, named, sent))
    assert answer.status_code in {200, 404}
    assert not foreign.search(answer.text, sent)


@pytest.mark.parametrize("name", CURSORS)
def test_their_cursor_shows_only_ours_on_a_page(
    screens: Screens, spies: dict[str, Client], ours: Hospital, theirs: Hospital, foreign: Foreign, name: str
) -> None:
    operation = CURSORS[name]
    spy = spies[login_for(operation)]
    cursor = send(spy, operation, least(operation, theirs, limit="1")).get_json()["next_cursor"]
    assert cursor
    visit = PAGES[name](ours)
    visit.query["cursor"] = cursor
    answer = screens.send(name, visit)
    assert answer.status_code == 200
    assert not foreign.search(answer.text, cursor)
