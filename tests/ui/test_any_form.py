"""Any form and any address's query, to every page and as each role: a page, a redirect or a refusal, never a 5xx.

What is typed is drawn from what each module of pages knows by name, from the hospital's own ids, and from what nobody
would type.
"""

import inspect
import io
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.routing import Rule

from backend import create_app
from backend.actor import Role
from backend.config import Config
from tests.api.bad_values import COUNTS, CURSORS_OF_NO_LIST, DAYS, MOMENTS, TEXTS
from tests.db.every_table import furnish
from tests.hospital import PASSWORD, Hospital, open_hospital, sign_in

TABLES = {
    "administration_id": "medication_administrations",
    "alert_id": "alerts",
    "assignment_id": "care_team_assignments",
    "count_id": "stock_counts",
    "discrepancy_id": "discrepancies",
    "drug_id": "drugs",
    "entry_id": "override_drugs",
    "lot_id": "lots",
    "movement_id": "stock_movements",
    "order_id": "medication_orders",
    "override_id": "order_overrides",
    "patient_id": "patients",
    "passkey_id": "passkeys",
    "run_id": "report_runs",
    "token_id": "access_tokens",
    "transfer_id": "stock_transfers",
    "user_id": "users",
    "ward_id": "wards",
}
NOT_PAGES = {"static", "api", "health", "bootstrap"}
# What ends the sign-in that it comes with, or may: these have a test of their own.
ENDING = {"account.change_password", "account.sign_out_everywhere", "staff.change", "staff.reset_second_factor"}
SHARE = 100  # forms of a page for so many examples of other tests
ODD = [
    str(value) for value in (*TEXTS, *COUNTS, *DAYS[:6], *MOMENTS[:6], *CURSORS_OF_NO_LIST[:8], PASSWORD, "٣", "½", "²")
]


@pytest.fixture(scope="module")
def pages(config: Config) -> Iterator[Flask]:
    """The application, whose forms need no token."""
    app = create_app(replace(config, pool_size=4, account_failures_max=1_000_000))
    app.config["WTF_CSRF_METHODS"] = set()
    yield app
    app.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="module")
def filled(pages: Flask) -> Hospital:
    """A hospital with a row in every table."""
    hospital = open_hospital(pages.extensions["valmed"])
    hospital.receive(500)
    return furnish(hospital)


@pytest.fixture(scope="module")
def ids(filled: Hospital) -> dict[str, list[str]]:
    """Some ids of each table."""
    rows = {name: filled.rows(f"SELECT id FROM {table} ORDER BY id LIMIT 4") for name, table in TABLES.items()}
    return {name: [str(row[0]) for row in found] for name, found in rows.items()}


def at_the_screen(app: Flask, hospital: Hospital, role: Role) -> FlaskClient:
    """The browser of one of the role."""
    client = app.test_client()
    with client.session_transaction() as session:
        session["token"] = sign_in(app, hospital, role.value).token
        session["about"] = {"name": role.value, "role": role.value, "time_zone": "Europe/Berlin", "slug": hospital.slug}
        session["about"] |= {"organization": hospital.slug, "email": f"{role.value}@{hospital.slug}.example"}
        session["seen"] = int(time.time())
    return client


def words_of(module: ModuleType) -> list[str]:
    """The texts in a module's source that may be the names or values of a form."""
    return sorted(set(re.findall(r"""["']([a-z][a-z_]{1,24}:?)["']""", inspect.getsource(module))))


def rules(app: Flask) -> list[Rule]:
    """Every page."""
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint.split(".")[0] not in NOT_PAGES]


def ends(rule: Rule) -> bool:
    """Whether the sign-in may be over after it."""
    return rule.endpoint in ENDING or rule.endpoint.startswith("signing_in.")


def address(rule: Rule, ids: dict[str, list[str]]) -> st.SearchStrategy[str]:
    """An address of the page with ids that are there."""
    known: dict[str, Any] = {name: st.sampled_from(ids[name]) for name in rule.arguments & set(ids)}
    known |= {name: st.sampled_from(["hold", "release", "recall"]) for name in rule.arguments - set(ids)}
    return st.fixed_dictionaries(known).map(
        lambda values: re.sub(r"<(?:[^:>]+:)?(\w+)>", lambda found: values[found[1]], rule.rule)
    )


def forms(module: ModuleType, ids: dict[str, list[str]]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """What somebody may send from a page of the module, names more than once among it."""
    words, known = words_of(module), [one for some in ids.values() for one in some]
    names = st.sampled_from([*words, *ids]) | st.builds("{}{}".format, st.sampled_from(words), st.sampled_from(known))
    plain = st.sampled_from(["", "1", "2", "-1", "2030-01-01", "x", "on"])
    values = st.sampled_from(known) | plain | st.sampled_from(words) | st.sampled_from(ODD) | st.text(max_size=12)
    joined = st.builds("{}:{}".format, st.sampled_from(words), values)
    return st.lists(st.tuples(names, values | joined), max_size=14)


def test_the_tables_are_those_of_the_addresses(pages: Flask) -> None:
    assert {name for rule in rules(pages) for name in rule.arguments} - set(TABLES) == {"change"}


def throw(client: FlaskClient, rule: Rule, ids: dict[str, list[str]]) -> Iterator[tuple[str, int]]:
    """Sends the page forms, and yields each method with the status of an answer."""
    app, heard = client.application, []
    module = sys.modules[app.view_functions[rule.endpoint].__module__]

    @settings(max_examples=max(1, settings().max_examples // SHARE))
    @given(path=address(rule, ids), sent=forms(module, ids))
    def ask(path: str, sent: list[tuple[str, str]]) -> None:
        for method in (rule.methods or set()) & {"GET", "POST"}:
            pairs: MultiDict[str, Any] = MultiDict(sent)
            if method == "POST" and "file" in pairs:
                pairs["file"] = FileStorage(io.BytesIO(pairs["file"].encode(errors="replace")), "file.csv")
            options = {"query_string": pairs} if method == "GET" else {"data": pairs}
            answer = client.open(path, method=method, **options)
            assert answer.status_code < 500, (method, path, sent)
            heard.append((method, answer.status_code))
            answer.close()

    ask()
    yield from heard


@pytest.mark.parametrize("role", Role)
def test_any_form_is_answered_below_500(pages: Flask, filled: Hospital, ids: dict[str, list[str]], role: Role) -> None:
    client = at_the_screen(pages, filled, role)
    heard = {answer for rule in rules(pages) if not ends(rule) for answer in throw(client, rule, ids)}
    assert client.get("/account").status_code == 200, "still signed in"
    assert ("GET", 200) in heard
    assert {status for method, status in heard if method == "POST"} >= {302, 403, 422}


def test_any_form_around_a_sign_in_is_answered_below_500(
    pages: Flask, filled: Hospital, ids: dict[str, list[str]]
) -> None:
    for rule in filter(ends, rules(pages)):
        client = at_the_screen(pages, filled, Role.ADMIN)
        assert {method for method, _ in throw(client, rule, ids)} == (rule.methods or set()) & {"GET", "POST"}
