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
from backend.domain.models import Base
from backend.operations.verification.changes import changes_of
from backend.operations.verification.guards import GUARDS, guard_texts
from backend.operations.verification.invariants import INVARIANTS, references
from backend.operations.verification.verify import ROWS_SHOWN_MAX, Finding, verify
from tests.concurrency.threads import together
from tests.db.every_table import POINTING
from tests.hospital import open_hospital
from tests.operations.verification.breakable import House, breaking


def test_verify_finds_nothing_on_two_hospitals_at_work(house: House) -> None:
    findings = house.findings()
    checks = len(INVARIANTS) + 1 + len(list(references(Base.metadata)))
    assert [finding for finding in findings if finding.broken or finding.rows] == []
    assert len(findings) == 2 + 2 * checks
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
    ward, drug = house.ask("SELECT ward_id, drug_id FROM stock_lots WHERE lot_id = %s AND quantity_units > 0", lot)[0]
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


def _set_a_movement_back(house: House) -> str:
    movement = house.one("SELECT id FROM stock_movements WHERE organization_id = $org ORDER BY sequence DESC LIMIT 1")
    times = "requested_at = occurred_at, recorded_at = recorded_at - interval '1 year'"
    house.ask(f"UPDATE stock_movements SET {times} WHERE id = %s", movement)
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
    transfer, lot = house.ask(
        "SELECT n.transfer_id, p.id FROM stock_transfer_lots p JOIN stock_transfer_lines n ON n.id = p.line_id"
        " WHERE p.organization_id = $org AND p.received_units = 4"
    )[0]
    house.ask("UPDATE stock_transfer_lots SET received_units = 3, lost_units = 1 WHERE id = %s", lot)
    house.ask("UPDATE stock_transfer_lines SET received_units = 3 WHERE transfer_id = %s", transfer)
    return f"transfer {transfer} lot "


def _send_without_a_transfer(house: House) -> str:
    waste = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND reason = 'waste'")
    house.ask("UPDATE stock_movements SET reason = 'transfer_out' WHERE id = %s", waste)
    return f"movement {waste}: transfer_out -1 of no transfer"


def _miscount_a_line(house: House) -> str:
    line, transfer = house.ask(
        "SELECT id, transfer_id FROM stock_transfer_lines WHERE organization_id = $org AND received_units = 4"
    )[0]
    house.ask("UPDATE stock_transfer_lines SET received_units = 3 WHERE id = %s", line)
    return f"transfer {transfer} drug "


def _forget_what_is_missing(house: House) -> str:
    lot, transfer = house.ask(
        "SELECT p.lot_id, n.transfer_id FROM stock_transfer_lots p JOIN stock_transfer_lines n ON n.id = p.line_id"
        " WHERE p.organization_id = $org AND p.received_units = 4"
    )[0]
    house.ask("UPDATE stock_transfer_lots SET dispatched_units = 5 WHERE lot_id = %s AND received_units = 4", lot)
    house.ask(
        "UPDATE stock_transfer_lines SET quantity_units = 5, dispatched_units = 5 WHERE transfer_id = %s", transfer
    )
    return f"transfer {transfer} lot {lot}: missing 1"


def _forget_a_return(house: House) -> str:
    dose = house.one("SELECT id FROM medication_administrations WHERE organization_id = $org AND in_error_by_id IS NULL"
                     " AND quantity_units > 0 AND returned_units = 0 ORDER BY id")  # fmt: skip
    nurse = str(house.hospital.nurse.user_id)
    house.ask(
        "UPDATE medication_administrations SET entered_in_error_at = now(), in_error_by_id = %s, error_reason = 'x'"
        " WHERE id = %s",
        nurse,
        dose,
    )
    return f"administration {dose}: "


def _waste_off_the_record(house: House) -> str:
    dose = house.one("SELECT id FROM medication_administrations WHERE organization_id = $org AND returned_units = 1")
    house.ask("UPDATE medication_administrations SET wasted_units = 1 WHERE id = %s", dose)
    return f"administration {dose}: wasted 1, on record 0"


def _call_a_return_a_waste(house: House) -> str:
    remainder = house.one("SELECT id FROM dose_remainders WHERE organization_id = $org AND kind = 'return'")
    house.ask("UPDATE dose_remainders SET units = 2 WHERE id = %s", remainder)
    dose = house.one(f"SELECT administration_id FROM dose_remainders WHERE id = '{remainder}'")
    house.ask("UPDATE medication_administrations SET returned_units = 2 WHERE id = %s", dose)
    return f"remainder {remainder}: return 2, ledger 1"


def _override_another_order(house: House) -> str:
    override = house.one("SELECT id FROM order_overrides WHERE organization_id = $org ORDER BY id")
    order = house.one("SELECT id FROM medication_orders WHERE organization_id = $org AND doses = 3")
    house.ask("UPDATE order_overrides SET order_id = %s WHERE id = %s", order, override)
    return f"override {override}"


def _correct_half_a_movement(house: House) -> str:
    correction = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND corrects_id IS NOT NULL")
    receipt = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND reason = 'receipt'")
    house.ask("UPDATE stock_movements SET corrects_id = %s WHERE id = %s", receipt, correction)
    return f"movement {correction} corrects {receipt}"


def _lose_what_nobody_lost(house: House) -> str:
    lot = house.one("SELECT lot_id FROM stock_lots WHERE organization_id = $org AND quantity_units > 2")
    place = f"organization_id = $org AND lot_id = '{lot}'"
    house.ask(f"UPDATE stock_lots SET quantity_units = quantity_units - 1 WHERE {place} AND quantity_units > 2")
    return f"lot {lot}: "


def _move_stock_before_it_is_resolved(house: House) -> str:
    case = house.one("SELECT id FROM discrepancies WHERE organization_id = $org AND status <> 'resolved'")
    waste = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND reason = 'waste'")
    house.ask("UPDATE stock_movements SET reference_id = %s WHERE id = %s", case, waste)
    return f"discrepancy {case} open: ledger -1"


def _waste_with_one_name(house: House) -> str:
    house.ask("ALTER TABLE stock_movements DROP CONSTRAINT ck_stock_movements_witness_when_due")
    waste = house.one("SELECT id FROM stock_movements WHERE organization_id = $org AND reason = 'waste'")
    house.ask("UPDATE stock_movements SET witness_due = true WHERE id = %s", waste)
    return f"movement {waste}: waste"


def _waste_of_a_dose_with_one_name(house: House) -> str:
    house.ask("ALTER TABLE dose_remainders DROP CONSTRAINT ck_dose_remainders_witness_when_due")
    remainder = house.one("SELECT id FROM dose_remainders WHERE organization_id = $org ORDER BY id LIMIT 1")
    house.ask("UPDATE dose_remainders SET witness_due = true WHERE id = %s", remainder)
    return f"remainder {remainder}: "


def _resolve_with_one_name(house: House) -> str:
    house.ask("ALTER TABLE discrepancies DROP CONSTRAINT ck_discrepancies_witness_when_due")
    case = house.one("SELECT id FROM discrepancies WHERE organization_id = $org AND status = 'resolved' LIMIT 1")
    house.ask("UPDATE discrepancies SET witness_due = true WHERE id = %s", case)
    return f"discrepancy {case}: "


def _lose_a_variance(house: House) -> str:
    case, lot = house.ask("SELECT id, lot_id FROM discrepancies WHERE organization_id = $org AND kind = 'count'")[0]
    house.ask("DELETE FROM alerts WHERE discrepancy_id = %s", case)
    house.ask("DELETE FROM discrepancies WHERE id = %s", case)
    return f"lot {lot}: counted "


def _appoint_a_second_primary(house: House) -> str:
    house.ask("DROP INDEX uq_care_team_primary")
    house.ask("UPDATE care_team_assignments SET role = 'PRIMARY' WHERE organization_id = $org")
    return f"patient {house.hospital.patient_id}: 2 active PRIMARY"


def _assign_a_provider_twice(house: House) -> str:
    house.ask("DROP INDEX uq_care_team_active")
    doctor = house.hospital.staff["doctor"].user_id
    house.ask("UPDATE care_team_assignments SET provider_id = %s WHERE organization_id = $org", str(doctor))
    return f"patient {house.hospital.patient_id}: provider {doctor} assigned 2 times, as "


def _lose_an_event(house: House) -> str:
    event, run = house.ask("SELECT id, report_run_id FROM drift_events WHERE organization_id = $org")[0]
    house.ask("DELETE FROM drift_events WHERE id = %s", event)
    return f"run {run} success: 1 events, 0 on record"


def _call_a_run_failed(house: House) -> str:
    run = house.one("SELECT id FROM report_runs WHERE organization_id = $org AND events_created = 1")
    house.ask(
        "UPDATE report_runs SET status = 'failed', failure = 'busy', events_created = NULL, groups_considered = NULL"
        " WHERE id = %s",
        run,
    )
    return f"run {run} failed: no events, 1 on record"


def _skip_a_revision(house: House) -> str:
    claim = house.one("SELECT claim_id FROM claim_records WHERE organization_id = $org")
    house.ask("UPDATE claim_records SET revision = 3 WHERE organization_id = $org AND claim_id = %s", claim)
    return f"claim {claim}: 1 revisions, the last is 3"


def _lose_a_seal(house: House) -> str:
    house.ask("DELETE FROM audit_seals WHERE organization_id = $org AND id = 2")
    return "seal 3 ("


def _seal_other_rows(house: House) -> str:
    house.ask(
        "UPDATE audit_seals SET row_hashes = sha256('other') || substr(row_hashes, 33)"
        " WHERE organization_id = $org AND id = 1"
    )
    return "seal 1 (audit_events)"


def _seal_something_else(house: House) -> str:
    house.ask("UPDATE audit_seals SET hash = sha256('other') WHERE id = 1 AND organization_id = $org")
    return "seal 2 ("


LEVEL_LOTS = "A level is the sum of its lots"
LOT_LEDGER = "A lot on a shelf is the sum of its movements"
LEDGER = "The ledger of a shelf has no gap, its balances add up and its times rise"
DOSES = "An order has as many administrations as doses given, exactly all when completed"
DOSE_MOVEMENTS = "A dose that was given has its movements, one that was not has none"
FULFILMENT = "A fulfilment's movement takes units of the order's drug and ward for one administration"
TRANSFER = "Units sent and received by transfers are in the ledger, lot by lot"
LINES = "The lines of a transfer are the sums of their lots, and nothing is sent before dispatch"
MISSING = "What a received transfer lacks is an unresolved discrepancy, unit by unit"
CONSERVED = "Units of a lot on wards and on their way are those that came and did not leave"
IN_ERROR = "An entry in error has given its units back, and no other entry has"
REMAINDER = "What was wasted and returned of a dose is on record, and returned units are in the ledger"
OVERRIDE = "An override is of a dose that was given of its order on its ward"
CORRECTION = "A correction that points at a movement undoes all of it, on its shelf and lot"
RESOLVED = "Only a resolved discrepancy has moved stock, and by its own units"
VARIANCE = "Every difference of a completed count is a discrepancy, and no other line is"
SECOND_NAME = "Whatever was due a second name has one"
SEALS = "The chain of seals has no gap, and every seal has the hash of what it says"
RUN = "A drift run that succeeded counts its events, any other has none"
SCHEMA = (GUARDS.title, guard_texts().title)
TRAIL = changes_of(Base.metadata).title
BREAKERS = [
    Breaker(LEVEL_LOTS, ("stock_lots",), _lose_a_lot, also=frozenset({CONSERVED})),
    Breaker(
        "A level is the sum of its movements",
        ("stock_levels", "stock_lots"),
        _raise_level_and_lot,
        also=frozenset({LOT_LEDGER, CONSERVED}),
    ),
    Breaker(LOT_LEDGER, ("stock_lots",), _mix_two_lots_up, also=frozenset({CONSERVED})),
    Breaker(
        "No quantity is negative",
        ("stock_lots",),
        _go_below_zero,
        also=frozenset({LOT_LEDGER, CONSERVED, *SCHEMA}),
        undo="ALTER TABLE stock_lots ADD CONSTRAINT ck_stock_lots_quantity_units_not_negative"
        " CHECK (quantity_units >= 0)",
    ),
    Breaker(LEDGER, ("stock_movements",), _falsify_a_balance),
    Breaker(LEDGER, ("stock_movements",), _leave_a_gap),
    Breaker(LEDGER, ("stock_movements",), _set_a_movement_back),
    Breaker(LEDGER, ("stock_levels",), _miscount_the_movements),
    Breaker(DOSES, ("medication_administrations",), _lose_an_administration),
    Breaker(DOSES, ("medication_orders",), _count_a_dose_too_few),
    Breaker(DOSE_MOVEMENTS, ("medication_administrations",), _give_a_unit_more_than_was_taken),
    Breaker(DOSE_MOVEMENTS, ("stock_movements",), _take_stock_for_a_dose_that_was_refused),
    Breaker(FULFILMENT, ("medication_orders",), _move_the_order_to_another_ward),
    Breaker(FULFILMENT, ("stock_movements",), _call_a_waste_a_fulfilment),
    Breaker("A movement's lot is a lot of its drug", ("lots",), _relabel_a_lot),
    Breaker(
        TRANSFER,
        ("stock_transfer_lines", "stock_transfer_lots"),
        _lose_a_unit_on_the_way,
        also=frozenset({CONSERVED}),
    ),
    Breaker(TRANSFER, ("stock_movements",), _send_without_a_transfer, also=frozenset({CONSERVED})),
    Breaker(LINES, ("stock_transfer_lines",), _miscount_a_line),
    Breaker(
        MISSING,
        ("stock_transfer_lines", "stock_transfer_lots"),
        _forget_what_is_missing,
        also=frozenset({TRANSFER, CONSERVED}),
    ),
    Breaker(IN_ERROR, ("medication_administrations",), _forget_a_return),
    Breaker(REMAINDER, ("medication_administrations",), _waste_off_the_record),
    Breaker(REMAINDER, ("dose_remainders", "medication_administrations"), _call_a_return_a_waste),
    Breaker(OVERRIDE, ("order_overrides",), _override_another_order),
    Breaker(RUN, ("drift_events",), _lose_an_event),
    Breaker(RUN, ("report_runs",), _call_a_run_failed),
    Breaker("The revisions of a claim have no gap", ("claim_records",), _skip_a_revision),
    Breaker(SEALS, ("audit_seals",), _lose_a_seal),
    Breaker(SEALS, ("audit_seals",), _seal_other_rows),
    Breaker(SEALS, ("audit_seals",), _seal_something_else),
    Breaker(CORRECTION, ("stock_movements",), _correct_half_a_movement),
    Breaker(CONSERVED, ("stock_lots",), _lose_what_nobody_lost, also=frozenset({LEVEL_LOTS, LOT_LEDGER})),
    Breaker(RESOLVED, ("stock_movements",), _move_stock_before_it_is_resolved),
    Breaker(VARIANCE, ("alerts", "discrepancies"), _lose_a_variance),
    *(
        Breaker(
            SECOND_NAME,
            (table,),
            act,
            also=frozenset(SCHEMA),
            undo=f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_witness_when_due"
            " CHECK (NOT witness_due OR witness_id IS NOT NULL)",
        )
        for table, act in (
            ("stock_movements", _waste_with_one_name),
            ("dose_remainders", _waste_of_a_dose_with_one_name),
            ("discrepancies", _resolve_with_one_name),
        )
    ),
    Breaker(
        "A patient has at most one active PRIMARY",
        ("care_team_assignments",),
        _appoint_a_second_primary,
        also=frozenset(SCHEMA),
        undo="CREATE UNIQUE INDEX uq_care_team_primary ON care_team_assignments (organization_id, patient_id)"
        " WHERE role = 'PRIMARY' AND removed_at IS NULL",
    ),
    Breaker(
        "A provider is on a patient's care team at most once",
        ("care_team_assignments",),
        _assign_a_provider_twice,
        also=frozenset(SCHEMA),
        undo="CREATE UNIQUE INDEX uq_care_team_active ON care_team_assignments"
        " (organization_id, patient_id, provider_id) WHERE removed_at IS NULL",
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
    return POINTING.get((key.table.name, key.column_keys[-1]), "true")


def _with(key: ForeignKeyConstraint) -> str:
    """What a check wants changed together with the column."""
    return ", verified_at = now()" if key.column_keys[-1] == "verified_by_id" else ""


def _keys(table: str, *columns: str) -> set[str]:
    return {f"Every {table}.{column} exists" for column in columns}


# A shelf, a lot or an order that points elsewhere takes sums and references of others along.
_SUMS = {LEVEL_LOTS, "A level is the sum of its movements", LOT_LEDGER, LEDGER, CONSERVED}
_OF_A_SHELF = (
    _keys("stock_lots", "drug_id")
    | _keys("stock_movements", "drug_id")
    | _keys("medication_orders", "drug_id")
    | _keys("discrepancies", "drug_id")
)
_RELATED = {
    ("lots", "drug_id"): {"A movement's lot is a lot of its drug"},
    ("stock_levels", "drug_id"): _SUMS | _OF_A_SHELF,
    ("stock_levels", "ward_id"): _SUMS | _OF_A_SHELF,
    ("stock_lots", "drug_id"): _SUMS,
    ("stock_lots", "lot_id"): _SUMS,
    ("stock_movements", "drug_id"): _SUMS | {CORRECTION, FULFILMENT, "A movement's lot is a lot of its drug"},
    ("stock_movements", "lot_id"): _SUMS | {TRANSFER, CORRECTION},
    ("stock_movements", "corrects_id"): {CORRECTION},
    ("stock_transfer_lines", "transfer_id"): {TRANSFER},
    ("stock_transfer_lots", "line_id"): {TRANSFER, LINES, CONSERVED},
    ("stock_transfer_lots", "lot_id"): {TRANSFER, CONSERVED},
    ("discrepancies", "count_line_id"): {VARIANCE},
    ("discrepancies", "transfer_lot_id"): {TRANSFER, MISSING},
    ("discrepancies", "lot_id"): {TRANSFER},
    ("dose_remainders", "administration_id"): {REMAINDER},
    ("dose_remainders", "lot_id"): {REMAINDER},
    ("order_overrides", "administration_id"): {OVERRIDE},
    ("order_overrides", "order_id"): {OVERRIDE},
    ("order_overrides", "ward_id"): {OVERRIDE},
    ("medication_administrations", "order_id"): {DOSES, FULFILMENT, OVERRIDE},
    ("medication_orders", "drug_id"): {FULFILMENT},
    ("drift_events", "report_run_id"): {RUN},
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
        untold, finding = [finding for finding in house.findings() if finding.broken]
    assert untold.invariant.title == TRAIL
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
    alone = verify(normalised_url(fresh_config.database_url), Base.metadata, organization=early.slug)
    assert {finding.organization for finding in alone} == {"", early.slug}
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
