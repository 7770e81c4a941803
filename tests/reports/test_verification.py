"""`verify` against broken databases: each rule is broken by hand, as a superuser, and found, and nothing else is.

A rule without a way to break it fails here, so a new one brings its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import ForeignKeyConstraint

from backend.config import Config
from backend.db import Database, new_id
from backend.db.engine import normalised_url
from backend.db.provision import application_url
from backend.models import Base
from backend.reports.invariants import GUARDS, INVARIANTS, references
from backend.reports.verification import ROWS_SHOWN_MAX, Finding, verify
from tests.concurrency.crowd import together
from tests.hospital import open_hospital
from tests.reports.house import House, breaking


def test_verify_finds_nothing_on_two_hospitals_at_work(house: House) -> None:
    findings = house.findings()
    checks = len(INVARIANTS) + len(list(references(Base.metadata)))
    assert [finding for finding in findings if finding.broken or finding.rows] == []
    assert len(findings) == 1 + 2 * checks
    assert {finding.organization for finding in findings} == {"", house.hospital.slug, house.other.slug}


@dataclass(frozen=True)
class Breaker:
    """A way to break the rule `title`: `tables` it changes, `act` does it and returns what the finding must name."""

    title: str
    tables: tuple[str, ...]
    act: Callable[[House], str]
    also: frozenset[str] = frozenset()  # other rules that cannot hold then either
    undo: str = ""


def _lose_a_lot(house: House) -> str:
    lot = house.one("SELECT lot_id FROM stock_lots WHERE organization_id = $org AND quantity_units > 0")
    ward, drug = house.ask("SELECT ward_id, drug_id FROM stock_lots WHERE lot_id = %s", lot)[0]
    house.ask("DELETE FROM stock_lots WHERE lot_id = %s AND ward_id = %s", lot, ward)
    return f"ward {ward} drug {drug}"


def _raise_level_and_lot(house: House) -> str:
    shelf = f"organization_id = $org AND ward_id = '{house.hospital.ward_id}'"
    house.ask(f"UPDATE stock_levels SET on_hand_units = on_hand_units + 1 WHERE {shelf}")
    lot = house.one(f"SELECT lot_id FROM stock_lots WHERE {shelf}")
    house.ask(f"UPDATE stock_lots SET quantity_units = quantity_units + 1 WHERE {shelf} AND lot_id = '{lot}'")
    return f"ward {house.hospital.ward_id} drug {house.hospital.drug_id}"


def _mix_two_lots_up(house: House) -> str:
    shelf = f"organization_id = $org AND ward_id = '{house.hospital.ward_id}'"
    fuller, emptier = house.ask(f"SELECT lot_id FROM stock_lots WHERE {shelf} ORDER BY quantity_units DESC LIMIT 2")
    for (lot,), units in ((fuller, -1), (emptier, 1)):
        house.ask(f"UPDATE stock_lots SET quantity_units = quantity_units + {units} WHERE {shelf} AND lot_id = '{lot}'")
    return f"lot {fuller[0]}"


def _go_below_zero(house: House) -> str:
    house.ask("ALTER TABLE stock_lots DROP CONSTRAINT ck_stock_lots_quantity_units_not_negative")
    shelf = f"organization_id = $org AND ward_id = '{house.hospital.ward_id}'"
    fuller, emptier = house.ask(f"SELECT lot_id FROM stock_lots WHERE {shelf} ORDER BY quantity_units DESC LIMIT 2")
    house.ask(f"UPDATE stock_lots SET quantity_units = quantity_units + 50 WHERE {shelf} AND lot_id = '{fuller[0]}'")
    house.ask(f"UPDATE stock_lots SET quantity_units = quantity_units - 50 WHERE {shelf} AND lot_id = '{emptier[0]}'")
    return f"lot {emptier[0]}: -"


def _falsify_a_balance(house: House) -> str:
    movement = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND sequence = 3")
    house.ask("UPDATE stock_movements SET balance_after_units = balance_after_units + 1 WHERE id = %s", movement)
    return f"movement 3 ({movement})"


def _leave_a_gap(house: House) -> str:
    movement = house.one("SELECT id FROM stock_movements WHERE organization_id = $org ORDER BY sequence DESC LIMIT 1")
    house.ask("UPDATE stock_movements SET sequence = sequence + 1 WHERE id = %s", movement)
    return f"({movement})"


def _miscount_the_movements(house: House) -> str:
    house.ask("UPDATE stock_levels SET sequence = sequence + 1 WHERE ward_id = %s", str(house.hospital.ward_id))
    return f"ward {house.hospital.ward_id} drug {house.hospital.drug_id}: level counts "


def _lose_an_administration(house: House) -> str:
    dose, order = house.ask(
        "SELECT id, order_id FROM medication_administrations WHERE organization_id = $org AND outcome = 'refused'"
    )[0]
    house.ask("DELETE FROM medication_administrations WHERE id = %s", dose)
    return f"order {order} active: 1 of 2 doses, 0 administrations"


def _count_a_dose_too_few(house: House) -> str:
    order = house.one("SELECT id FROM medication_orders WHERE organization_id = $org AND doses = 3")
    house.ask("UPDATE medication_orders SET doses_given = 0 WHERE id = %s", order)
    return f"order {order} active: 0 of 3 doses, 1 administrations"


def _give_a_unit_more_than_was_taken(house: House) -> str:
    dose = house.one(
        "SELECT id FROM medication_administrations WHERE organization_id = $org AND outcome = 'given' ORDER BY id"
    )
    house.ask("UPDATE medication_administrations SET quantity_units = quantity_units + 1 WHERE id = %s", dose)
    return f"administration {dose}: 7 units, ledger 6"


def _take_stock_for_a_dose_that_was_refused(house: House) -> str:
    dose = house.one("SELECT id FROM medication_administrations WHERE organization_id = $org AND outcome = 'refused'")
    waste = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND reason = 'waste'")
    house.ask("UPDATE stock_movements SET reason = 'fulfilment', reference_id = %s WHERE id = %s", dose, waste)
    return f"administration {dose}: 0 units, ledger 1"


def _move_the_order_to_another_ward(house: House) -> str:
    elsewhere = house.one(
        f"SELECT ward_id FROM stock_levels WHERE organization_id = $org AND ward_id <> '{house.hospital.ward_id}'"
    )
    dose, order = house.ask(
        "SELECT id, order_id FROM medication_administrations WHERE organization_id = $org AND outcome = 'given' LIMIT 1"
    )[0]
    house.ask("UPDATE medication_orders SET ward_id = %s WHERE id = %s", elsewhere, order)
    return "movement " + house.one(f"SELECT id FROM stock_movements WHERE reference_id = '{dose}'")


def _call_a_waste_a_fulfilment(house: House) -> str:
    waste = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND reason = 'waste'")
    house.ask("UPDATE stock_movements SET reason = 'fulfilment' WHERE id = %s", waste)
    return f"movement {waste}"


def _relabel_a_lot(house: House) -> str:
    drug = house.hospital.add_drug()
    lot = house.one("SELECT lot_id FROM stock_movements WHERE organization_id = $org AND reason = 'waste'")
    house.ask("UPDATE lots SET drug_id = %s WHERE id = %s", str(drug), lot)
    return f"lot {lot}"


def _lose_a_unit_on_the_way(house: House) -> str:
    transfer = house.one("SELECT transfer_id FROM stock_transfer_lines WHERE organization_id = $org")
    house.ask("UPDATE stock_transfer_lines SET received_units = 3 WHERE transfer_id = %s", transfer)
    return f"transfer {transfer} drug {house.hospital.drug_id}: sent 4, ledger 4, received 3, ledger 4"


def _send_without_a_transfer(house: House) -> str:
    waste = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND reason = 'waste'")
    house.ask("UPDATE stock_movements SET reason = 'transfer_out' WHERE id = %s", waste)
    return ": sent 0, ledger 1, received 0, ledger 0"


def _appoint_a_second_primary(house: House) -> str:
    house.ask("DROP INDEX uq_care_team_primary")
    house.ask("UPDATE care_team_assignments SET role = 'PRIMARY' WHERE organization_id = $org")
    return f"patient {house.hospital.patient_id}: 2 active PRIMARY"


LEVEL_LOTS = "A level is the sum of its lots"
LOT_LEDGER = "A lot on a shelf is the sum of its movements"
LEDGER = "The ledger of a shelf has no gap and its balances add up"
DOSES = "An order has as many administrations as doses given, exactly all when completed"
DOSE_MOVEMENTS = "A dose that was given has its movements, one that was not has none"
FULFILMENT = "A fulfilment's movement takes units of the order's drug and ward for one administration"
TRANSFER = "Units sent and received by transfers are in the ledger"
BREAKERS = [
    Breaker(LEVEL_LOTS, ("stock_lots",), _lose_a_lot),
    Breaker(
        "A level is the sum of its movements",
        ("stock_levels", "stock_lots"),
        _raise_level_and_lot,
        also=frozenset({LOT_LEDGER}),
    ),
    Breaker(LOT_LEDGER, ("stock_lots",), _mix_two_lots_up),
    Breaker(
        "No quantity is negative",
        ("stock_lots",),
        _go_below_zero,
        also=frozenset({LOT_LEDGER, GUARDS.title}),
        undo="ALTER TABLE stock_lots ADD CONSTRAINT ck_stock_lots_quantity_units_not_negative"
        " CHECK (quantity_units >= 0)",
    ),
    Breaker(LEDGER, ("stock_movements",), _falsify_a_balance),
    Breaker(LEDGER, ("stock_movements",), _leave_a_gap),
    Breaker(LEDGER, ("stock_levels",), _miscount_the_movements),
    Breaker(DOSES, ("medication_administrations",), _lose_an_administration),
    Breaker(DOSES, ("medication_orders",), _count_a_dose_too_few),
    Breaker(DOSE_MOVEMENTS, ("medication_administrations",), _give_a_unit_more_than_was_taken),
    Breaker(DOSE_MOVEMENTS, ("stock_movements",), _take_stock_for_a_dose_that_was_refused),
    Breaker(FULFILMENT, ("medication_orders",), _move_the_order_to_another_ward),
    Breaker(FULFILMENT, ("stock_movements",), _call_a_waste_a_fulfilment),
    Breaker("A movement's lot is a lot of its drug", ("lots",), _relabel_a_lot),
    Breaker(TRANSFER, ("stock_transfer_lines",), _lose_a_unit_on_the_way),
    Breaker(TRANSFER, ("stock_movements",), _send_without_a_transfer),
    Breaker(
        "A patient has at most one active PRIMARY",
        ("care_team_assignments",),
        _appoint_a_second_primary,
        also=frozenset({GUARDS.title}),
        undo="CREATE UNIQUE INDEX uq_care_team_primary ON care_team_assignments (organization_id, patient_id)"
        " WHERE role = 'PRIMARY' AND removed_at IS NULL",
    ),
]


def test_every_rule_has_a_breaker() -> None:
    titles = [invariant.title for invariant in INVARIANTS]
    assert sorted({breaker.title for breaker in BREAKERS}) == sorted(titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("breaker", BREAKERS, ids=lambda breaker: breaker.act.__name__.strip("_"))
def test_a_broken_rule_is_found_with_its_row_named(house: House, breaker: Breaker) -> None:
    with breaking(house, *breaker.tables):
        named = breaker.act(house)
        broken = house.broken()
    if breaker.undo:
        house.ask(breaker.undo)
    assert set(broken) == {breaker.title, *breaker.also}
    assert [row for row in broken[breaker.title] if named in row] != [], broken[breaker.title]
    assert house.broken() == {}


KEYS = [
    (constraint, invariant.title)
    for constraint, invariant in zip(
        [
            key
            for table in Base.metadata.sorted_tables
            for key in sorted(table.foreign_key_constraints, key=lambda found: str(found.name))
            if key.column_keys != ["organization_id"]
        ],
        references(Base.metadata),
        strict=True,
    )
]


@pytest.mark.parametrize(("key", "title"), KEYS, ids=[title for _, title in KEYS])
def test_a_reference_to_nothing_is_found(house: House, key: ForeignKeyConstraint, title: str) -> None:
    """A row whose parent is gone, for every foreign key; what else breaks depends on the table."""
    table, column, nothing = key.table.name, key.column_keys[-1], str(new_id())
    with breaking(house, table):
        place = house.one(f"SELECT ctid FROM {table} WHERE organization_id = $org AND {_may_point(key)} LIMIT 1")
        house.ask(f"UPDATE {table} SET {column} = %s{_with(key)} WHERE ctid = %s", nothing, place)
        broken = house.broken()
    assert title in broken
    assert [row for row in broken[title] if row.startswith(f"{table} ") and nothing in row] != []
    assert set(broken) - {title} <= _RELATED.get((table, column), set())


def _may_point(key: ForeignKeyConstraint) -> str:
    """Rows in which the column may be set without breaking a check."""
    return "status = 'discontinued'" if key.column_keys[-1] == "discontinued_by_id" else "true"


def _with(key: ForeignKeyConstraint) -> str:
    """What a check wants changed together with the column."""
    return ", verified_at = now()" if key.column_keys[-1] == "verified_by_id" else ""


def _keys(table: str, *columns: str) -> set[str]:
    return {f"Every {table}.{column} exists" for column in columns}


# A shelf, a lot or an order that points elsewhere takes sums and references of others along.
_SUMS = {LEVEL_LOTS, "A level is the sum of its movements", LOT_LEDGER, LEDGER}
_OF_A_SHELF = (
    _keys("stock_lots", "drug_id") | _keys("stock_movements", "drug_id") | _keys("medication_orders", "drug_id")
)
_RELATED = {
    ("lots", "drug_id"): {"A movement's lot is a lot of its drug"},
    ("stock_levels", "drug_id"): _SUMS | _OF_A_SHELF,
    ("stock_levels", "ward_id"): _SUMS | _OF_A_SHELF,
    ("stock_lots", "drug_id"): _SUMS,
    ("stock_lots", "lot_id"): _SUMS,
    ("stock_movements", "drug_id"): _SUMS | {FULFILMENT, "A movement's lot is a lot of its drug"},
    ("stock_movements", "lot_id"): _SUMS,
    ("stock_transfer_lines", "transfer_id"): {TRANSFER},
    ("stock_transfer_lines", "drug_id"): {TRANSFER},
    ("medication_administrations", "order_id"): {DOSES, FULFILMENT},
    ("medication_orders", "drug_id"): {FULFILMENT},
}


def test_a_reference_into_another_hospital_is_found(house: House) -> None:
    """The row exists, but not in this hospital."""
    with breaking(house, "patients"):
        house.ask("UPDATE patients SET ward_id = %s WHERE organization_id = $org", str(house.other.ward_id))
        broken = house.broken()
    assert set(broken) == {"Every patients.ward_id exists"}
    assert broken["Every patients.ward_id exists"] == [
        f"patients organization_id {house.hospital.organization_id} ward_id {house.other.ward_id}"
    ]


def test_every_broken_row_is_counted_and_the_first_are_shown(house: House) -> None:
    with breaking(house, "lots"):
        house.ask(
            "INSERT INTO lots (organization_id, id, drug_id, lot_number, expires_on)"
            " SELECT $org, gen_random_uuid(), gen_random_uuid(), 'L' || n, '2099-01-01' FROM generate_series(1, 50) n"
        )
        (finding,) = [finding for finding in house.findings() if finding.broken]
    assert finding.invariant.title == "Every lots.drug_id exists"
    assert (finding.broken, len(finding.rows)) == (50, ROWS_SHOWN_MAX)


def test_each_finding_is_reported_as_soon_as_it_is_known(house: House) -> None:
    told: list[Finding] = []
    assert verify(normalised_url(house.config.database_url), Base.metadata, report=told.append) == told
    assert told[0].invariant.title == GUARDS.title


def test_the_database_is_seen_at_one_moment(fresh_config: Config) -> None:
    """One snapshot: what happens after the first check is not there for the others."""
    database = Database(fresh_config, application_url(fresh_config))
    early = open_hospital(database)
    late: list[str] = []

    def open_another(finding: Finding) -> None:
        if not late:
            late.append(open_hospital(database).slug)

    findings = verify(normalised_url(fresh_config.database_url), Base.metadata, report=open_another)
    assert {finding.organization for finding in findings} == {"", early.slug}
    again = verify(normalised_url(fresh_config.database_url), Base.metadata)
    assert {finding.organization for finding in again} == {"", early.slug, *late}
    database.engine.dispose()


def test_a_hospital_at_work_is_no_false_alarm(fresh_config: Config) -> None:
    """Orders are given between any two checks."""
    database = Database(fresh_config, application_url(fresh_config))
    busy = open_hospital(database)
    busy.receive(100)
    orders = busy.place_many(40)

    def nurse(mine: list[UUID]) -> list[Finding]:
        for order_id in mine:
            assert busy.fulfil(order_id).status == 200
        return []

    def auditor() -> list[Finding]:
        url = normalised_url(fresh_config.database_url)
        return [finding for _ in range(3) for finding in verify(url, Base.metadata) if finding.broken]

    assert together(auditor, lambda: nurse(orders[::2]), lambda: nurse(orders[1::2])) == [[], [], []]
    database.engine.dispose()
