"""A seeded hospital agrees with itself and refuses what it cannot make."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.config import Config
from backend.db import Database
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.domain.identity.sign_in.by_password import Origin, check_password
from backend.domain.identity.tokens import Credentials
from backend.domain.models import Base
from backend.domain.organizations.hospitals import OrganizationExists
from backend.errors import ValidationFailed
from backend.operations.seeding import SeedSummary, seed
from backend.operations.verification.verify import verify

PASSWORD = "a long enough password"
SIZE = {"orders": 500, "drugs": 90, "wards": 3}

AGREE = """
SELECT count(*) FROM stock_levels l
WHERE on_hand_units <> (SELECT sum(quantity_units) FROM stock_lots s
    WHERE (s.ward_id, s.drug_id) = (l.ward_id, l.drug_id))
  OR on_hand_units <> (SELECT sum(units) FROM stock_movements m WHERE (m.ward_id, m.drug_id) = (l.ward_id, l.drug_id))
  OR sequence <> (SELECT count(*) FROM stock_movements m WHERE (m.ward_id, m.drug_id) = (l.ward_id, l.drug_id))
  OR on_hand_units < (SELECT coalesce(sum(units_per_dose), 0) FROM medication_orders o
    WHERE (o.ward_id, o.drug_id) = (l.ward_id, l.drug_id))
"""
LEDGER = """
SELECT count(*) FROM (
  SELECT sequence, balance_after_units, row_number() OVER shelf AS place, sum(units) OVER shelf AS balance
  FROM stock_movements WINDOW shelf AS (PARTITION BY ward_id, drug_id ORDER BY sequence)) m
WHERE sequence <> place OR balance_after_units <> balance
"""
BACKWARDS = """
SELECT count(*) FROM (SELECT recorded_at, lag(recorded_at) OVER (PARTITION BY ward_id, drug_id ORDER BY sequence)
    AS before FROM stock_movements) m
WHERE recorded_at < before
"""
EVENLY = """
SELECT min(n), max(n) FROM (SELECT count(o.id) AS n FROM stock_levels l
  LEFT JOIN medication_orders o ON (o.ward_id, o.drug_id) = (l.ward_id, l.drug_id) GROUP BY l.id) counted
"""


Query = Callable[[str], list[tuple[Any, ...]]]


def unused_slug() -> str:
    return f"seeded-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def seeded(config: Config) -> SeedSummary:
    return seed(config, organization=unused_slug(), password=PASSWORD, report=lambda done: None, **SIZE)


@pytest.fixture
def rows(config: Config, seeded: SeedSummary) -> Iterator[Query]:
    """Runs a query as the owner, in the seeded hospital."""
    with closing(connect(normalised_url(config.database_url))) as connection, connection.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(seeded.organization_id),))

        def run(statement: str) -> list[tuple[Any, ...]]:
            cursor.execute(statement)
            return cursor.fetchall()

        yield run


def test_stock_and_ledger_agree_and_cover_every_order(rows: Query) -> None:
    assert rows(AGREE) == [(0,)]
    assert rows(LEDGER) == [(0,)]


def test_orders_lie_evenly_on_the_shelves(rows: Query, seeded: SeedSummary) -> None:
    assert rows("SELECT count(*) FROM medication_orders WHERE status = 'active' AND doses = 1") == [(SIZE["orders"],)]
    assert rows(EVENLY) == [(1, 2)]  # 500 orders on 270 shelves
    assert seeded.shelves == 270


def test_a_patient_and_the_order_are_on_the_same_ward(rows: Query, seeded: SeedSummary) -> None:
    elsewhere = "SELECT count(*) FROM medication_orders o JOIN patients p ON p.id = o.patient_id"
    assert rows(f"{elsewhere} WHERE p.ward_id <> o.ward_id") == [(0,)]
    assert rows("SELECT count(*), bool_and(name ~ '^[^,]+, [^,]+$') FROM patients") == [(seeded.patients, True)]


def test_drugs_are_unique_where_generic_names_run_out(rows: Query, config: Config) -> None:
    size = {"orders": 0, "drugs": 2_000, "wards": 1}
    more = seed(config, organization=unused_slug(), password=PASSWORD, report=lambda done: None, **size)
    rows(f"SELECT set_config('app.organization_id', '{more.organization_id}', false)")
    theirs = f"FROM drugs WHERE organization_id = '{more.organization_id}'"  # the owner may read every drug (0025)
    assert rows(f"SELECT count(*), count(DISTINCT (name, strength, form)) {theirs}") == [(2_000, 2_000)]


def test_every_row_is_in_the_audit_trail(rows: Query, seeded: SeedSummary) -> None:
    audited = "SELECT count(*) FROM audit_events WHERE operation = 'INSERT' AND table_name"
    assert rows(f"{audited} = 'medication_orders'") == [(seeded.orders,)]
    assert rows(f"{audited} = 'stock_levels'") == [(seeded.shelves,)]


def test_staff_can_sign_in(config: Config, seeded: SeedSummary) -> None:
    database = Database(config, application_url(config))
    try:
        for role in ("nurse", "pharmacist", "doctor", "admin"):
            credentials = Credentials(seeded.slug, f"{role}@{seeded.slug}.example", PASSWORD)
            assert check_password(database, credentials, Origin("", "test", datetime.now(UTC))).role == role
    finally:
        database.engine.dispose()


def test_a_second_time_is_refused(config: Config, seeded: SeedSummary) -> None:
    with pytest.raises(OrganizationExists):
        seed(config, organization=seeded.slug, password=PASSWORD, report=lambda done: None, **SIZE)


@pytest.mark.parametrize("figure", ["orders", "drugs", "wards", "movements"])
def test_a_figure_out_of_range_is_refused(config: Config, figure: str) -> None:
    with pytest.raises(ValidationFailed):
        seed(config, organization=unused_slug(), password=PASSWORD, report=lambda done: None, **{**SIZE, figure: -1})


def test_a_password_made_of_names_is_refused_and_nothing_is_made(config: Config) -> None:
    slug = unused_slug()
    for password in ("short", "Nadia Brandt 2026", f"nurse@{slug}.example"):
        with pytest.raises(ValidationFailed, match="password"):
            seed(config, organization=slug, password=password, report=lambda done: None, **SIZE)
    seed(config, organization=slug, password=PASSWORD, report=lambda done: None, orders=0, drugs=1, wards=1)


def test_progress_counts_the_orders(config: Config) -> None:
    told: list[int] = []
    seed(config, organization=unused_slug(), password=PASSWORD, report=told.append, **SIZE)
    assert told[-1] == SIZE["orders"]
    assert told == sorted(told)


def test_the_past_leaves_stock_as_it_was_and_every_invariant_true(config: Config, rows: Query) -> None:
    """1,001 movements on 90 shelves: the odd one is left out, and some shelves get two orders."""
    slug = unused_slug()
    size = {"orders": 300, "drugs": 90, "wards": 1, "movements": 1_001}
    made = seed(config, organization=slug, password=PASSWORD, report=lambda done: None, **size)
    rows(f"SELECT set_config('app.organization_id', '{made.organization_id}', false)")
    findings = verify(normalised_url(config.database_url), Base.metadata, organization=slug)
    broken = {found.invariant.title: found.rows for found in findings if found.broken}
    assert broken == {}
    assert any(found.organization == slug for found in findings)
    assert (made.orders, made.movements) == (300 + 125, 90 * 2 + 1_000)
    assert rows("SELECT count(*), count(*) FILTER (WHERE reason = 'fulfilment') FROM stock_movements") == [(1_180, 500)]
    completed = "SELECT count(*), sum(doses), min(doses) FROM medication_orders WHERE status = 'completed'"
    assert rows(completed) == [(125, 500, 4)]
    assert rows(AGREE) == [(0,)]


def test_a_ledger_is_in_the_order_of_the_clock(config: Config, rows: Query) -> None:
    made = seed(
        config,
        organization=unused_slug(),
        password=PASSWORD,
        report=lambda done: None,
        orders=0,
        drugs=7,
        wards=2,
        movements=500,
    )
    rows(f"SELECT set_config('app.organization_id', '{made.organization_id}', false)")
    assert rows(BACKWARDS) == [(0,)]
    assert rows("SELECT max(recorded_at) < now(), min(sequence) FROM stock_movements") == [(True, 1)]
