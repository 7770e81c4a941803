"""Tamper evidence: whoever owns the tables can change a sealed row, but not unnoticed."""

from pathlib import Path

import psycopg2.extensions
import pytest
from psycopg2.extras import Json

from backend.config import Config
from backend.domain.audit.rendering import NEWEST
from backend.domain.audit.sealing import Sealed
from backend.domain.models import Base
from tests.db.every_table import furnish
from tests.domain.audit.tampering import Evidence
from tests.hospital import Hospital

Connection = psycopg2.extensions.connection
SEALED = sorted(NEWEST)


@pytest.fixture
def evidence(hospital: Hospital, config: Config, owner: Connection) -> Evidence:
    """A hospital with rows in every table, all of them sealed."""
    made = Evidence(furnish(hospital), config, owner)
    made.seal()
    assert made.findings() == []
    return made


def test_every_append_only_table_is_sealed_with_every_column_but_stored_answers(owner: Connection) -> None:
    with owner.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgfoid = 'refuse_change'::regproc"
        )
        append_only = {row[0] for row in cursor.fetchall()}
    assert append_only - set(NEWEST) == {"audit_seals", "idempotency_keys"}
    assert set(NEWEST) <= append_only
    for table, form in NEWEST.items():
        named = {column.split(":")[0] for column in form.columns.split()}
        assert named == {column.name for column in Base.metadata.tables[table].columns}, table


def test_a_day_on_the_ward_is_sealed_once_and_checks_out(evidence: Evidence) -> None:
    checked = evidence.check()
    rows = {table: len(evidence.ids(table)) for table in SEALED}
    assert all(rows.values()), "every kind of row was made"
    assert (checked.rows, checked.unsealed, checked.since) == (sum(rows.values()), 0, None)
    for table in SEALED:
        assert [row for _, rows in evidence.seals_of(table) for row in rows] == evidence.ids(table)
    assert evidence.seal() == Sealed(0, 0)
    evidence.hospital.receive(1)
    ((since,),) = evidence.hospital.rows("SELECT max(occurred_at) FROM audit_events")
    checked = evidence.check()
    assert (checked.findings, checked.since) == ([], since)
    assert checked.unsealed > 0
    assert evidence.seal().rows == checked.unsealed
    assert evidence.check().unsealed == 0


ALTERATIONS = {
    "audit_events": (
        *(
            "actor_id = gen_random_uuid()",
            "request_id = 'forged'",
            "occurred_at = occurred_at + interval '1 microsecond'",
        ),
        *("after = after || '{\"x\": 1}'", "before = '{}'", "operation = 'UPSERT'", "transaction_id = 1"),
    ),
    "stock_movements": ("note = ''", "balance_after_units = balance_after_units + 1", "recorded_at = now()"),
    "dose_remainders": ("reason = 'forged'", "units = units + 1"),
    "claim_records": ("payer = 'forged'", "submitted_date = submitted_date - 1"),
    "drift_events": ("p_value = p_value + 1e-12", "survives = true", "current_end = current_end + 1"),
}


@pytest.mark.parametrize("table", SEALED)
def test_a_row_that_was_altered_is_named(evidence: Evidence, table: str) -> None:
    rows = evidence.ids(table)
    ((seal, sealed), *_) = evidence.seals_of(table)
    for number, change in enumerate(ALTERATIONS[table]):
        row = rows[number % len(rows)]
        ((was,),) = evidence.tamper(table, f"SELECT to_jsonb(t) FROM {table} t WHERE id::text = %s", row)
        evidence.tamper(table, f"UPDATE {table} SET {change} WHERE id::text = %s", row)
        assert evidence.findings() == [f"{table} {row} was altered (seal {seal})"], change
        names = change.split(" = ")[0]
        undo = (
            f"UPDATE {table} t SET {names} = r.{names}"
            f" FROM jsonb_populate_record(NULL::{table}, %s) r WHERE t.id = r.id"
        )
        evidence.tamper(table, undo, Json(was))
        assert evidence.findings() == [], "and undone it is as it was sealed"
    assert rows[0] in sealed


@pytest.mark.parametrize("table", SEALED)
def test_a_row_that_is_missing_is_named(evidence: Evidence, table: str) -> None:
    row = evidence.ids(table)[-1]
    evidence.tamper(table, f"DELETE FROM {table} WHERE id::text = %s", row)
    assert evidence.findings() == [f"{table} {row} is missing (seal {evidence.seals_of(table)[-1][0]})"]


def test_rows_that_changed_places_are_named(evidence: Evidence) -> None:
    first, second = evidence.ids("audit_events")[:2]
    evidence.renumber((first, "-1"), (second, first), ("-1", second))
    assert evidence.findings() == [f"audit_events {row} was altered (seal 1)" for row in (first, second)]


def test_a_row_that_was_given_another_number_is_missing_in_one_place_and_inserted_in_the_other(
    evidence: Evidence,
) -> None:
    evidence.settle()
    row = evidence.ids("audit_events")[1]
    evidence.renumber((row, "-7"))
    assert evidence.findings() == [
        f"audit_events {row} is missing (seal 1)",
        "audit_events -7 was inserted after the rows around it were sealed",
    ]


@pytest.mark.parametrize("table", SEALED)
def test_a_row_that_was_put_between_sealed_ones_is_named(evidence: Evidence, table: str) -> None:
    evidence.settle()
    others = {
        "audit_events": {"id": -5},
        "stock_movements": {"id": FORGED, "sequence": 999, "reference_id": FORGED, "corrects_id": None},
        "claim_records": {"id": FORGED, "claim_id": "forged"},
        "drift_events": {"id": FORGED, "payer": "forged"},
    }.get(table, {"id": FORGED})
    with evidence.unguarded(table) as cursor:
        cursor.execute(
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT r.* FROM {table} t,"
            f" jsonb_populate_record(t, %s) r WHERE t.id::text = %s",
            (Json(others), evidence.ids(table)[0]),
        )
    assert evidence.findings() == [f"{table} {others['id']} was inserted after the rows around it were sealed"]
    evidence.seal()
    assert evidence.findings() != [], "a later seal does not make it genuine"


FORGED = "0b7e0000-0000-7000-8000-000000000001"


def test_a_seal_that_was_altered_is_named(evidence: Evidence) -> None:
    reverse = "SELECT array_agg(row_id ORDER BY place DESC) FROM unnest(row_ids) WITH ORDINALITY r (row_id, place)"
    evidence.tamper("audit_seals", f"UPDATE audit_seals SET row_ids = ({reverse}) WHERE id = 1")
    assert evidence.findings()[0] == "seal 1 was altered"


def test_a_seal_that_was_made_anew_does_not_fit_its_successor(evidence: Evidence) -> None:
    evidence.tamper("audit_seals", "UPDATE audit_seals SET hash = sha256('other') WHERE id = 1")
    assert evidence.findings() == ["seal 1 was altered", "seal 2 does not follow seal 1"]


def test_a_seal_that_is_missing_is_named(evidence: Evidence) -> None:
    evidence.tamper("audit_seals", "DELETE FROM audit_seals WHERE id = 2")
    assert evidence.findings() == ["seal 2 is missing"]


def test_a_cut_tail_is_found_by_exported_seals(evidence: Evidence, tmp_path: Path) -> None:
    kept = evidence.export(tmp_path / "seals.jsonl")
    last = len(kept.read_text().splitlines())
    evidence.tamper("audit_seals", "DELETE FROM audit_seals WHERE id >= %s", last - 1)
    alone = evidence.check()
    assert alone.findings == []
    assert alone.unsealed > 0, "without the export it shows as rows without a seal"
    ends = [f"seal {number} is missing, the last ones are cut off" for number in (last - 1, last)]
    assert evidence.findings(kept) == ends


def test_a_chain_that_was_made_anew_is_found_by_exported_seals(evidence: Evidence, tmp_path: Path) -> None:
    kept = evidence.export(tmp_path / "seals.jsonl")
    row = evidence.ids("audit_events")[2]
    evidence.tamper("audit_events", "UPDATE audit_events SET request_id = 'forged' WHERE id = %s", row)
    evidence.tamper("audit_seals", "DELETE FROM audit_seals")
    evidence.seal()
    assert evidence.findings() == [], "the new chain agrees with itself"
    assert evidence.findings(kept)[0] == f"seal 1 is not the exported one, first at audit_events {row}"


def test_an_export_agrees_with_the_chain_and_with_what_came_since(evidence: Evidence, tmp_path: Path) -> None:
    kept = evidence.export(tmp_path / "seals.jsonl")
    evidence.hospital.receive(1)
    evidence.seal()
    assert evidence.findings(kept) == []


ODD = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "lc_numeric": "C",
}


@pytest.mark.parametrize("table", SEALED)
def test_the_hashes_are_the_same_whatever_the_session_says(evidence: Evidence, table: str) -> None:
    hashes = f"SELECT encode({NEWEST[table].hash}, 'hex') FROM {table} ORDER BY id"
    with evidence.owner.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(evidence.hospital.organization_id),))
        cursor.execute(hashes)
        plain = cursor.fetchall()
        for name, value in ODD.items():  # not on connecting: the driver sets its own DateStyle then
            cursor.execute(f"SET {name} = '{value}'")
        cursor.execute(hashes)
        assert cursor.fetchall() == plain != []


def test_a_check_in_an_odd_session_finds_nothing(evidence: Evidence) -> None:
    checked = evidence.check(**{name: value.replace(" ", "") for name, value in ODD.items()})
    assert (checked.findings, checked.unsealed) == ([], 0)
