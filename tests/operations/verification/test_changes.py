"""The audit trail is complete: it has every change that the version of a row counts."""

import re

import pytest

from backend.config import Config
from backend.db import Database
from backend.db.engine import normalised_url
from backend.db.provision import application_url
from backend.domain.models import Base
from backend.operations.verification.changes import audited, changes_of
from backend.operations.verification.verify import prove
from tests.hospital import open_hospital
from tests.migrations.catalogue import ask, needs_superuser, owner_of
from tests.operations.verification.breakable import House

RULE = changes_of(Base.metadata)
NAMES = [table.name for table in audited(Base.metadata)]
SKIPPING = "BEGIN IF TG_TABLE_NAME IN ('medication_orders', 'stock_levels') THEN RETURN NULL; END IF;"


def test_every_audited_table_is_looked_at(owner) -> None:
    audits = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgfoid = 'record_change'::regproc"
    assert {name for (name,) in ask(owner, audits)} == set(NAMES)


def broken(config: Config) -> list[str]:
    """The rows that the trail of the database does not explain."""
    return [row for finding in prove(normalised_url(config.database_url), [], [RULE]) for row in finding.rows]


def test_a_function_that_skips_tables_is_found_by_what_it_skipped(fresh_config: Config) -> None:
    """Also where it was put right again before anybody looked."""
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    hospital.receive(10)
    before, after = hospital.place_many(2, doses=3)
    hospital.fulfil(before, dose=1)
    with owner_of(fresh_config) as owner:
        ((whole,),) = ask(owner, "SELECT pg_get_functiondef('record_change'::regproc)")
        gutted = whole.replace("BEGIN", SKIPPING, 1)
        assert gutted != whole
        ask(owner, gutted)
        hospital.fulfil(after, dose=1)
        ask(owner, whole)
    hospital.fulfil(before, dose=2)

    ((level, version),) = hospital.rows("SELECT id, version FROM stock_levels")
    assert sorted(broken(fresh_config)) == [
        f"medication_orders {after}: version 2, changes in the trail 1",
        f"stock_levels {level}: version {version}, changes in the trail {version - 1}",
    ]
    database.engine.dispose()


def test_a_trigger_that_was_off_for_a_while_is_found(fresh_config: Config) -> None:
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    with owner_of(fresh_config) as owner:
        ask(owner, "ALTER TABLE wards DISABLE TRIGGER audit")
        ward = hospital.add_ward("2 South")
        ask(owner, "ALTER TABLE wards ENABLE TRIGGER audit")
    assert broken(fresh_config) == [f"wards {ward}: version 1, changes in the trail 0"]
    database.engine.dispose()


@pytest.mark.parametrize("table", NAMES)
def test_a_row_of_the_trail_that_was_deleted_is_found(house: House, table: str) -> None:
    needs_superuser(house.superuser)
    lost = f"table_name = '{table}' AND organization_id = $org AND row_id IN (SELECT id FROM {table})"
    ((event, row),) = house.ask(f"SELECT id, row_id FROM audit_events WHERE {lost} ORDER BY id DESC LIMIT 1")
    house.ask("SET session_replication_role = replica")
    house.ask("CREATE TEMP TABLE kept AS SELECT * FROM audit_events WHERE id = %s", event)
    house.ask("DELETE FROM audit_events WHERE id = %s", event)
    try:
        told = broken(house.config)
    finally:
        house.ask("INSERT INTO audit_events OVERRIDING SYSTEM VALUE SELECT * FROM kept; DROP TABLE kept")
        house.ask("RESET session_replication_role")
    assert [line.startswith(f"{table} {row}: version ") for line in told] == [True], told


def test_a_change_by_hand_that_leaves_the_version_is_no_loss(fresh_config: Config) -> None:
    """As the runbook once told, and as a release before this did with the levels that a ward wants."""
    database = Database(fresh_config, application_url(fresh_config))
    open_hospital(database).change("UPDATE wards SET name = '2 South'")
    assert broken(fresh_config) == []
    database.engine.dispose()


def test_what_the_trail_says_is_read_for_no_row_whose_count_is_right(house: House) -> None:
    """The trail is the largest table: rows are counted from the index alone."""
    query = RULE.query.replace("$organization", "$org")
    small = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"  # else the planner reads so few rows so
    plan = [row for (row,) in house.ask(f"BEGIN; {small}; EXPLAIN (ANALYZE, COSTS off) {query}")]
    house.ask("ROLLBACK")
    counted = [row for row in plan if "Index Only Scan using ix_audit_events_row" in row]
    read = [row for row in plan if re.search("(Index|Bitmap Heap|Seq) Scan .*audit_events", row)]
    assert len(counted) == len(NAMES)
    assert len(read) == len(NAMES)
    assert [row for row in read if "(never executed)" not in row] == []


def test_verify_asks_it(house: House) -> None:
    titles = [finding.invariant.title for finding in house.findings()]
    assert titles.count(RULE.title) == 2, "of each hospital"
