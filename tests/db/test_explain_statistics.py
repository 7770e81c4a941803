"""Order statistics of a hospital with a million orders: the past is counted from an index alone."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg2.extensions
import pytest
from sqlalchemy.engine.url import URL, make_url

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url, connect
from backend.domain.orders.queries import order_statistics
from tests.conftest import create_database, drop_database
from tests.db.bulk_rows import WARDS, fill_orders, made_id
from tests.db.query_plans import explain
from tests.hospital import Hospital, now, open_hospital
from tests.migrations.catalogue import ask, needs_superuser

ORDERS = 1_000_000  # of a hundred three are active and five discontinued
CLOSED, BOARD = "ix_medication_orders_closed", "ix_medication_orders_board"


@dataclass(frozen=True)
class Past:
    """A hospital with ORDERS orders, and a superuser."""

    hospital: Hospital
    superuser: psycopg2.extensions.connection


@pytest.fixture(scope="module")
def past(server_url: URL, owner_url: URL, migrated: Config) -> Iterator[Past]:
    config = create_database(owner_url, migrated)
    database = Database(config, application_url(config))
    with closing(connect(server_url.set(database=make_url(config.database_url).database))) as superuser:
        needs_superuser(superuser)
        hospital = open_hospital(database)
        fill_orders(superuser, hospital.organization_id, ORDERS)
        yield Past(hospital, superuser)
    database.engine.dispose()
    drop_database(server_url, config)


@pytest.mark.parametrize("of_a_ward", [False, True], ids=["of the hospital", "of a ward"])
def test_a_million_orders_are_counted_without_reading_the_closed_ones(past: Past, of_a_ward: bool) -> None:
    about = {"organization_id": past.hospital.organization_id, "ward_id": None}
    share = WARDS if of_a_ward else 1
    if of_a_ward:
        ((about["ward_id"],),) = ask(
            past.superuser, f"SELECT {made_id(past.hospital.organization_id, 'ward', 3)}::uuid"
        )
    counted: list[dict[str, int]] = []
    sent = explain(
        past.hospital.database,
        past.hospital.nurse,
        lambda session: counted.append(order_statistics(session, **about, now=now())),
    )
    active, closed = sent.plans
    assert active.indexes & {BOARD, "ix_medication_orders_active"}
    assert [node["Node Type"] for node in closed.nodes_of(CLOSED)] == ["Index Only Scan"], closed.text
    assert active.scanned | closed.scanned == frozenset()
    assert counted[0]["total"] == ORDERS // share
    assert {state: counted[0][state] for state in ("active", "discontinued", "completed")} == {
        "active": ORDERS * 3 // 100 // share,
        "discontinued": ORDERS * 5 // 100 // share,
        "completed": ORDERS * 92 // 100 // share,
    }
