"""A read of stock sends as many statements for two hundred rows as for one."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from flask import Flask

from backend import create_app
from backend.config import Config
from backend.db.engine import normalised_url
from backend.db.provision import connect
from tests.api.valid_requests import LISTS, least, login_for, send
from tests.counting import statements_of
from tests.db.every_table import furnish
from tests.hospital import Client, Hospital, open_hospital, sign_in

ROWS = 200
OF_STOCK = sorted(name for name in LISTS if name.split("/")[1] in {"stock", "drugs"})
SEARCHES: list[dict[str, str]] = [{"q": "row"}, {"q": "ow"}]  # by the beginning of a name, by a part of it
STATES: list[dict[str, str]] = [{"state": state} for state in ("low", "out", "expiring", "expired")]
QUERIES = {"GET /drugs": SEARCHES, "GET /stock": [*SEARCHES, *STATES]}
CASES = [(name, query) for name in OF_STOCK if name != "GET /stock/register" for query in ({}, *QUERIES.get(name, ()))]
# Each drug has one shelf, with an expired lot and one on hold that expires soon, and one dose of it was given.
FILL = (
    """INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit)
    SELECT {org}, {id}, 'Row ' || n, 'row', '1', 'tablet', 'tablet' FROM {rows}""",
    """INSERT INTO wards (organization_id, id, name, kind)
    SELECT {org}, {id}, 'Ward ' || n, 'ward' FROM {rows} WHERE n > 1""",
    """INSERT INTO lots (organization_id, id, drug_id, lot_number, expires_on, status, status_reason)
    SELECT {org}, gen_random_uuid(), {id}, lot, CURRENT_DATE + days, 'on_hold', 'test'
    FROM {rows}, (VALUES ('1', -2), ('2', 20)) AS l (lot, days)""",
    """INSERT INTO stock_levels (organization_id, id, ward_id, drug_id, sequence)
    SELECT {org}, {id}, {ward}, {id}, 1 FROM {rows}""",
    """INSERT INTO stock_lots (organization_id, id, ward_id, drug_id, lot_id, quantity_units)
    SELECT {org}, gen_random_uuid(), {ward}, drug_id, id, 1 FROM lots""",
    """INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units, balance_after_units,
      reason, reference_id, occurred_at)
    SELECT {org}, {id}, {ward}, drug_id, id, 1, -1, 0, 'fulfilment', {id}, now() FROM lots, {rows}
    WHERE lot_number = '1' AND drug_id = {id}""",
)


@pytest.fixture(scope="module")
def counted(config: Config) -> Iterator[Flask]:
    """An application of one connection."""
    app = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    yield app
    app.extensions["valmed"].engine.dispose()


@pytest.fixture(scope="module")
def sent(counted: Flask) -> list[str]:
    """What it sends."""
    return statements_of(counted)


def filled(app: Flask, rows: int) -> tuple[Hospital, dict[str, Client]]:
    """A hospital with so many drugs, shelves, movements and wards, and its staff."""
    hospital = open_hospital(app.extensions["valmed"])
    hospital.change("DELETE FROM ward_memberships")
    hospital.change("UPDATE drugs SET archived_at = now()")
    org = str(hospital.organization_id)
    values = {"org": f"'{org}'::uuid", "ward": f"'{hospital.ward_id}'::uuid", "rows": f"generate_series(1, {rows}) n"}
    for statement in FILL:
        hospital.change(statement.format(id=f"md5('{org}' || n)::uuid", **values))
    return hospital, {login: sign_in(app, hospital, login) for login in hospital.staff}


@pytest.fixture(scope="module")
def small(counted: Flask, sent: list[str]) -> tuple[Hospital, dict[str, Client]]:
    return filled(counted, 1)


@pytest.fixture(scope="module")
def large(counted: Flask, config: Config) -> tuple[Hospital, dict[str, Client]]:
    made = filled(counted, ROWS)
    with closing(connect(normalised_url(config.database_url))) as owner:
        owner.cursor().execute("ANALYZE")  # so many rows at once have no statistics yet
    return made


@pytest.mark.parametrize(("name", "query"), CASES)
def test_two_hundred_rows_take_as_many_statements_as_one(
    small: tuple[Hospital, dict[str, Client]],
    large: tuple[Hospital, dict[str, Client]],
    name: str,
    query: dict[str, str],
    sent: list[str],
) -> None:
    statements = []
    for (hospital, staff), rows in ((small, 1), (large, ROWS)):
        ask = least(name, hospital, limit="200", **query)
        sent.clear()
        response = send(staff[login_for(name)], name, ask)
        statements.append([one for one in sent if not one.startswith("PREPARE")])  # once a connection
        assert len(response.get_json()["items"]) == rows
    assert len(statements[0]) == len(statements[1]), statements[1]
    assert 2 < len(statements[0]) < 8


def test_every_statement_is_counted(small: tuple[Hospital, dict[str, Client]], sent: list[str]) -> None:
    """The token, by the driver's own path; the transaction; the list, by SQLAlchemy; the end."""
    hospital, staff = small
    sent.clear()
    assert staff["nurse"].get("/drugs").status_code == 200
    for part in ("authenticate", "BEGIN ISOLATION LEVEL", "FROM drugs", "COMMIT"):
        assert any(part in statement for statement in sent), part
    assert hospital.slug


@pytest.fixture(scope="module")
def furnished(counted: Flask) -> tuple[Hospital, dict[str, Client]]:
    """A hospital after a day of everything."""
    hospital = furnish(open_hospital(counted.extensions["valmed"]))
    return hospital, {login: sign_in(counted, hospital, login) for login in hospital.staff}


@pytest.mark.parametrize("name", sorted(LISTS))
def test_a_page_of_many_takes_as_many_statements_as_a_page_of_one(
    furnished: tuple[Hospital, dict[str, Client]], name: str, sent: list[str]
) -> None:
    hospital, staff = furnished
    statements, rows = [], []
    for limit in ("1", "200"):
        ask = least(name, hospital, limit=limit)
        sent.clear()
        response = send(staff[login_for(name)], name, ask)
        statements.append([one for one in sent if not one.startswith("PREPARE")])
        rows.append(len(response.get_json()["items"]))
    assert rows[1] >= rows[0] == 1
    assert len(statements[0]) == len(statements[1]), statements[1]
