"""Every lookup of the wards reads an index, beside the same query without it.

A hundred thousand rows a table. The statements are those of the product's own query functions, planned for the
application role under row-level security, which keeps every operator that is not leakproof away from an index.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg2.extensions
import pytest
from sqlalchemy import select
from sqlalchemy.engine.url import URL, make_url

from backend.config import Config
from backend.db import Database, Prepared, Session
from backend.db.engine import normalised_url
from backend.db.idempotency import IdempotencyKey
from backend.db.paging import PageRequest
from backend.db.provision import application_url, connect
from backend.domain.administrations import fulfilment
from backend.domain.administrations.board import BoardCache, Key, read_board
from backend.domain.administrations.models import MedicationAdministration
from backend.domain.administrations.queries import list_administrations
from backend.domain.care_team.queries import history_of, team_of
from backend.domain.custody.blind import hidden_from
from backend.domain.custody.models import StockTransfer
from backend.domain.orders.models import OrderStatus
from backend.domain.orders.queries import list_orders
from backend.domain.patients.admitting import list_patients
from backend.domain.reports.consumption import list_consumption
from backend.domain.reports.trail import list_events
from backend.domain.stock.drug_queries import list_drugs
from backend.domain.stock.history import levels_as_of, list_expiring_value
from backend.domain.stock.level_queries import ExpiryHorizon, StockState, list_levels
from backend.domain.stock.movement_queries import list_movements
from backend.web import cursors
from tests.conftest import create_database, drop_database
from tests.db.bulk_rows import FILLED, ROWS, SHELF_DRUGS, fill, made_id
from tests.db.query_plans import Emitted, Plan, explain
from tests.hospital import Hospital, now, open_hospital

PAGE = PageRequest(limit=50)
AUTUMN = datetime(2026, 9, 1, tzinfo=UTC)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
SPRING = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Large:
    """A hospital with ROWS rows in every large table but `drugs`, and another with ROWS drugs."""

    hospital: Hospital
    formulary: Hospital
    owner: psycopg2.extensions.connection

    def id(self, kind: str, number: int) -> Any:
        """The id of row `number` of `kind` in the hospital."""
        with self.owner.cursor() as cursor:
            cursor.execute(f"SELECT {made_id(self.hospital.organization_id, kind, number)}::text")
            row = cursor.fetchone()
        assert row is not None
        return row[0]


@pytest.fixture(scope="module")
def large(server_url: URL, owner_url: URL, migrated: Config) -> Iterator[Large]:
    config = create_database(owner_url, migrated)
    database = Database(config, application_url(config))
    hospital, formulary = open_hospital(database), open_hospital(database)
    with closing(connect(server_url.set(database=make_url(config.database_url).database))) as filler:
        fill(filler, formulary.organization_id, rows=0, drugs=ROWS)
        fill(filler, hospital.organization_id, rows=ROWS, drugs=SHELF_DRUGS)
    with closing(connect(normalised_url(config.database_url))) as owner:
        yield Large(hospital, formulary, owner)
    database.engine.dispose()
    drop_database(server_url, config)


def hashed(kind: str, number: int) -> str:
    """The made-up part of a name in a filled hospital."""
    return hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()


Query = Callable[[Any, Large], object]


@dataclass(frozen=True)
class Lookup:
    """A query of the product and the indexes of `table` that it must read."""

    query: Query
    table: str
    indexes: set[str]


def org(large: Large) -> dict[str, Any]:
    return {"organization_id": large.hospital.organization_id}


def looking(large: Large) -> dict[str, Any]:
    """A nurse, from whom figures may be hidden, and when she looks."""
    return {"hides": hidden_from(large.hospital.nurse), "now": now()}


def patients(q: str) -> Query:
    return lambda session, large: list_patients(session, **org(large), ward_id=None, q=q, page=PAGE)


def drugs(q: str) -> Query:
    return lambda session, large: list_drugs(
        session,
        organization_id=large.formulary.organization_id,
        q=q,
        hides=hidden_from(large.formulary.nurse),
        page=PAGE,
    )


def orders(page: PageRequest = PAGE, status: OrderStatus | None = None, **ids: tuple[str, int]) -> Query:
    return lambda session, large: list_orders(
        session, **org(large), page=page, status=status, **{name: large.id(*which) for name, which in ids.items()}
    )


def narrowed(large: Large, *names: str) -> dict[str, Any]:
    """The ward and the drug, of those that `names` say."""
    numbers = {"ward": 3, "drug": 70}
    return {f"{name}_id": large.id(name, number) if name in names else None for name, number in numbers.items()}


def movements(page: PageRequest = PAGE, *names: str, days: tuple[datetime, datetime] | None = None) -> Query:
    return lambda session, large: list_movements(
        session,
        **org(large),
        **narrowed(large, *names),
        since=days[0] if days else None,
        until=days[1] if days else None,
        hides=hidden_from(large.hospital.nurse),
        page=page,
    )


def levels(state: StockState | None = None, page: PageRequest = PAGE, *names: str) -> Query:
    return lambda session, large: list_levels(
        session, **org(large), **narrowed(large, *names), q=None, state=state, **looking(large), page=page
    )


def as_of(page: PageRequest, *names: str) -> Query:
    return lambda session, large: levels_as_of(
        session, **org(large), **narrowed(large, *names), at=AUTUMN, **looking(large), page=page
    )


def consumption(*names: str) -> Query:
    days = {"since": AUTUMN.date(), "until": AUTUMN.date() + timedelta(days=20)}
    return lambda session, large: list_consumption(
        session, **org(large), **narrowed(large, *names), **days, now=now(), page=PAGE
    )


def expiring_value(session: Any, large: Large) -> object:
    return list_expiring_value(
        session, **org(large), ward_id=None, within_days=ExpiryHorizon.DAYS_30, **looking(large), page=PAGE
    )


# No page lists these two yet; when one does, its query function takes their place.
def administrations_by_time(session: Any, large: Large) -> object:
    dose = MedicationAdministration
    return session.execute(
        select(dose.id, dose.outcome)
        .where(
            dose.organization_id == large.hospital.organization_id,
            dose.administered_at >= AUTUMN,
            dose.administered_at < AUTUMN + timedelta(days=2),
        )
        .order_by(dose.administered_at, dose.id)
        .limit(51)
    )


def doses(**ids: tuple[str, int]) -> Query:
    return lambda session, large: list_administrations(
        session, **org(large), page=PAGE, since=JANUARY, **{name: large.id(*which) for name, which in ids.items()}
    )


def transfers(end: str) -> Query:
    def query(session: Any, large: Large) -> object:
        transfer = StockTransfer
        return session.execute(
            select(transfer.id, transfer.status)
            .where(transfer.organization_id == large.hospital.organization_id)
            .where(getattr(transfer, end) == large.id("ward", 3))
            .order_by(transfer.created_at.desc())
            .limit(51)
        )

    return query


def team_history(session: Any, large: Large) -> object:
    return history_of(session, **org(large), patient_id=large.id("patient", 4711), page=PAGE)


def trail_of(**asked: Any) -> Query:
    """The audit trail by what `GET /audit` may be asked for; ids as (kind, number)."""

    def query(session: Any, large: Large) -> object:
        filters = {"table_name": None, "row_id": None, "actor_id": None, "since": None, "until": None}
        found = {name: large.id(*value) if isinstance(value, tuple) else value for name, value in asked.items()}
        return list_events(session, **org(large), page=PAGE, **{**filters, **found})

    return query


ORDERS, MOVEMENTS, TRANSFERS = "medication_orders", "stock_movements", "stock_transfers"
DOSES = "medication_administrations"
LOOKUPS = {
    "patient name": Lookup(patients("p" + hashed("patient", 4711)[:5]), "patients", {"ix_patients_name_key"}),
    "medical record number": Lookup(patients("MRN-4711"), "patients", {"uq_patients_organization_id_mrn"}),
    "drug name": Lookup(
        drugs("d" + hashed("name", 4711)[:5]), "drugs", {"ix_drugs_name_key", "ix_drugs_generic_name_key"}
    ),
    "generic drug name": Lookup(
        drugs("g" + hashed("generic", 4711)[:5]), "drugs", {"ix_drugs_name_key", "ix_drugs_generic_name_key"}
    ),
    "stock level": Lookup(levels(StockState.LOW), "stock_levels", {"ix_stock_levels_low"}),
    "order creation time": Lookup(orders(), ORDERS, {"ix_medication_orders_created_at"}),
    "order status active": Lookup(orders(status=OrderStatus.ACTIVE), ORDERS, {"ix_medication_orders_active"}),
    "order status completed": Lookup(orders(status=OrderStatus.COMPLETED), ORDERS, {"ix_medication_orders_completed"}),
    "order status discontinued": Lookup(
        orders(status=OrderStatus.DISCONTINUED), ORDERS, {"ix_medication_orders_discontinued"}
    ),
    "orders of a ward": Lookup(orders(ward_id=("ward", 3)), ORDERS, {"ix_medication_orders_ward_id"}),
    "orders of a patient": Lookup(orders(patient_id=("patient", 4711)), ORDERS, {"ix_medication_orders_patient_id"}),
    "active orders of a patient": Lookup(
        orders(status=OrderStatus.ACTIVE, patient_id=("patient", 4711)), ORDERS, {"ix_medication_orders_patient_id"}
    ),
    "orders of a drug": Lookup(orders(drug_id=("drug", 70)), ORDERS, {"ix_medication_orders_drug_id"}),
    "orders of a doctor": Lookup(orders(prescriber_id=("user", 5)), ORDERS, {"ix_medication_orders_prescriber_id"}),
    "administration time": Lookup(administrations_by_time, DOSES, {"ix_medication_administrations_administered_at"}),
    # With the other half of the index of an order's doses missing, all doses of the hospital are read.
    "doses of a patient": Lookup(
        doses(patient_id=("patient", 4711)), DOSES, {"ix_medication_administrations_reopened"}
    ),
    "doses of an order": Lookup(doses(order_id=("order", 4711)), DOSES, {"ix_medication_administrations_reopened"}),
    "source ward": Lookup(transfers("source_ward_id"), TRANSFERS, {"ix_stock_transfers_source_ward_id"}),
    "destination ward": Lookup(transfers("destination_ward_id"), TRANSFERS, {"ix_stock_transfers_destination_ward_id"}),
    "empty shelves": Lookup(levels(StockState.OUT), "stock_levels", {"ix_stock_levels_low"}),
    "expired lots": Lookup(levels(StockState.EXPIRED), "lots", {"ix_lots_expires_on"}),
    "expiring lots": Lookup(levels(StockState.EXPIRING), "lots", {"ix_lots_expires_on"}),
    "value of what expires": Lookup(expiring_value, "lots", {"ix_lots_expires_on"}),
    "shelves of a lot": Lookup(expiring_value, "stock_lots", {"ix_stock_lots_lot_id"}),
    "movements of a ward": Lookup(movements(PAGE, "ward"), MOVEMENTS, {"ix_stock_movements_ward_id"}),
    "movements of a drug": Lookup(movements(PAGE, "drug"), MOVEMENTS, {"ix_stock_movements_drug_id"}),
    "movements of a shelf": Lookup(movements(PAGE, "ward", "drug"), MOVEMENTS, {"ix_stock_movements_shelf"}),
    "movements of a ward by time": Lookup(
        movements(PAGE, "ward", days=SPRING), MOVEMENTS, {"ix_stock_movements_ward_id"}
    ),
    "movements of a drug by time": Lookup(
        movements(PAGE, "drug", days=SPRING), MOVEMENTS, {"ix_stock_movements_drug_id"}
    ),
    "stock at a moment": Lookup(as_of(PAGE), MOVEMENTS, {"ix_stock_movements_shelf"}),
    "stock of a ward at a moment": Lookup(as_of(PAGE, "ward"), MOVEMENTS, {"ix_stock_movements_shelf"}),
    "consumption of a ward": Lookup(consumption("ward"), MOVEMENTS, {"ix_stock_movements_ward_id"}),
    "consumption of a drug": Lookup(consumption("drug"), MOVEMENTS, {"ix_stock_movements_drug_id"}),
    "movements by time": Lookup(
        movements(days=(AUTUMN, AUTUMN + timedelta(days=2))), MOVEMENTS, {"ix_stock_movements_recorded_at"}
    ),
    "history of a care team": Lookup(team_history, "care_team_assignments", {"ix_care_team_assignments_patient_id"}),
    "who changed something": Lookup(trail_of(actor_id=("user", 5)), "audit_events", {"ix_audit_events_actor"}),
    "what changed": Lookup(
        trail_of(table_name="medication_orders", row_id=("order", 4711)), "audit_events", {"ix_audit_events_row"}
    ),
    "when something changed": Lookup(
        trail_of(since=AUTUMN, until=AUTUMN + timedelta(hours=2)), "audit_events", {"ix_audit_events_time"}
    ),
    "newest movements": Lookup(movements(), MOVEMENTS, {"ix_stock_movements_recorded_at"}),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lookup_of_the_wards_reads_its_index_and_costs_more_without_it(large: Large, name: str) -> None:
    lookup = LOOKUPS[name]
    asking = large.formulary if lookup.table == "drugs" else large.hospital
    sent = explain(asking.database, asking.nurse, lambda session: lookup.query(session, large))
    statement, plan = sent.emitted[-1], sent.plans[-1]
    assert lookup.indexes <= plan.indexes, plan.text
    assert plan.scanned & set(FILLED) == set(), plan.text

    without = plan_without(large, asking, statement, lookup)

    assert not lookup.indexes & without.indexes
    assert without.cost > plan.cost


def plan_without(large: Large, asking: Hospital, statement: Emitted, lookup: Lookup) -> Plan:
    """The plan of `statement` when the indexes are gone, for the owner, whom row-level security holds as well."""
    with large.owner.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            for index in sorted(lookup.indexes):
                constraint = f"ALTER TABLE {lookup.table} DROP CONSTRAINT {index}"
                cursor.execute(constraint if index.startswith("uq_") else f"DROP INDEX {index}")
            cursor.execute("SET LOCAL app.organization_id = %s", (str(asking.organization_id),))
            return Plan.of(cursor, statement)
        finally:
            cursor.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda page: orders(page), "ix_medication_orders_created_at"),
        (lambda page: orders(page, status=OrderStatus.COMPLETED), "ix_medication_orders_completed"),
        (lambda page: orders(page, ward_id=("ward", 3)), "ix_medication_orders_ward_id"),
        (lambda page: movements(page), "ix_stock_movements_recorded_at"),
        (lambda page: movements(page, "ward"), "ix_stock_movements_ward_id"),
        (lambda page: movements(page, "drug"), "ix_stock_movements_drug_id"),
        (lambda page: movements(page, "ward", "drug"), "ix_stock_movements_shelf"),
        (lambda page: movements(page, "ward", days=(JANUARY, AUTUMN)), "ix_stock_movements_ward_id"),
    ],
    ids=[
        *("orders", "orders of a status", "orders of a ward", "movements", "movements of a ward"),
        *("movements of a drug", "movements of a shelf", "movements of a ward in some months"),
    ],
)
def test_a_page_far_down_a_list_begins_in_the_index_where_it_begins(
    large: Large, query: Callable[[PageRequest], Query], index: str
) -> None:
    """Keyset pages: the key of the last row is a condition of the index, not a filter over all that came before."""
    far = PageRequest(limit=50, after=(datetime(2026, 2, 1, tzinfo=UTC), large.hospital.organization_id))
    sent = explain(large.hospital.database, large.hospital.nurse, lambda session: query(far)(session, large))
    (scan,) = sent.plans[-1].nodes_of(index)
    assert "ROW(" in scan["Index Cond"], sent.plans[-1].text
    assert "ROW(" not in scan.get("Filter", "")


@pytest.mark.parametrize("page", [PAGE, PageRequest(50, (1, AUTUMN, UUID(int=0)))], ids=["first", "far"])
def test_a_care_team_is_read_by_an_index_and_so_is_whether_a_prescriber_is_on_it(
    large: Large, page: PageRequest
) -> None:
    """Which of the two indexes that begin with the patient is the planner's to choose."""
    hospital = large.hospital
    patient = {**org(large), "patient_id": large.id("patient", 4711)}
    sent = explain(hospital.database, hospital.nurse, lambda session: team_of(session, **patient, page=page))
    assert sent.plans[-1].indexes & {"uq_care_team_active", "ix_care_team_assignments_patient_id"}
    assert sent.plans[-1].scanned & set(FILLED) == set(), sent.plans[-1].text
    sent = explain(hospital.database, hospital.nurse, lambda session: orders()(session, large))
    assert "uq_care_team_active" in sent.plans[-1].indexes, sent.plans[-1].text


def test_shelves_that_hold_nothing_usable_are_found_by_their_lots_and_levels(large: Large) -> None:
    """By estimate the index of lots on hold gains nothing: under row-level security `status` has no statistics."""
    sent = explain(
        large.hospital.database, large.hospital.nurse, lambda session: levels(StockState.OUT)(session, large)
    )
    plan = sent.plans[-1]
    assert {"ix_lots_unavailable", "ix_lots_expires_on", "ix_stock_lots_lot_id", "ix_stock_levels_low"} <= plan.indexes
    assert plan.scanned & set(FILLED) == set(), plan.text


@pytest.mark.parametrize("state", list(StockState))
@pytest.mark.parametrize("page", [PAGE, PageRequest(50, ("all", "dd", UUID(int=0)))], ids=["first", "far"])
def test_no_state_of_a_shelf_walks_all_shelves(large: Large, state: StockState, page: PageRequest) -> None:
    """Few of a hundred thousand are in any state: the plan begins with those, and no other index of shelves is read."""
    sent = explain(large.hospital.database, large.hospital.nurse, lambda session: levels(state, page)(session, large))
    plan = sent.plans[-1]
    assert plan.scanned & set(FILLED) == set(), plan.text
    assert "ix_stock_levels_drug_id" not in plan.indexes, plan.text


def test_a_page_far_down_the_shelves_begins_at_its_drug(large: Large) -> None:
    """The key is of two tables, so that no index holds it; its first half still begins the index of the drugs."""
    far = PageRequest(50, ("all", "dd", UUID(int=0)))
    for query in (levels(None, far), as_of(far)):
        sent = explain(large.hospital.database, large.hospital.nurse, lambda session, q=query: q(session, large))
        (scan,) = sent.plans[-1].nodes_of("ix_drugs_name_key")
        assert "name_key >= 'dd'" in scan["Index Cond"], sent.plans[-1].text


def test_any_part_of_a_drugs_name_is_found_by_its_trigrams_and_costs_more_without_them(large: Large) -> None:
    """The very statement of `search_drugs`, for the owner as whom it runs, in a formulary of a hundred thousand."""
    with large.owner.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = 'search_drugs'")
        (source,) = cursor.fetchone() or ("",)
        inner = re.search(r"RETURN QUERY(.*?);", source, re.DOTALL)
        assert inner is not None
        searching = Emitted(re.sub(r"\bpart\b", "%(part)s", inner[1]), {"part": f"%{hashed('name', 4711)[3:9]}%"})
        cursor.execute("SET app.organization_id = %s", (str(large.formulary.organization_id),))
        plan = Plan.of(cursor, searching)
        assert plan.indexes == {"ix_drugs_trigrams"}, plan.text
        cursor.execute("BEGIN; DROP INDEX ix_drugs_trigrams")
        without = Plan.of(cursor, searching)
        cursor.execute("ROLLBACK; RESET app.organization_id")
    assert without.cost > 10 * plan.cost


def test_a_search_by_a_part_of_a_name_reads_only_the_drugs_that_were_found(large: Large) -> None:
    part = hashed("name", 4711)[3:9]
    sent = explain(large.formulary.database, large.formulary.nurse, lambda session: drugs(part)(session, large))
    assert "search_drugs" in sent.emitted[-2].sql
    assert sent.plans[-1].nodes_of("pk_drugs"), sent.plans[-1].text
    assert "drugs" not in sent.plans[-1].scanned


def test_a_part_of_very_many_names_is_looked_for_in_their_order(large: Large) -> None:
    """A page of them is found soon, where sorting all of them would take long."""
    sent = explain(large.formulary.database, large.formulary.nurse, lambda session: drugs("5")(session, large))
    assert "strpos" in sent.emitted[-1].sql
    assert "ix_drugs_name_key" in sent.plans[-1].indexes
    assert not {node["Node Type"] for node in sent.plans[-1].nodes} & {"Sort", "Bitmap Heap Scan"}


def give(session: Any, hospital: Hospital, order_id: UUID) -> None:
    """The nurse gives the order's dose."""
    fulfilment.fulfil(
        session,
        actor=hospital.nurse,
        order_id=order_id,
        shelf=hospital.shelf,
        dose=None,
        witness=None,
        key=IdempotencyKey(str(order_id), b"f"),
    )


def test_a_board_and_a_fulfilment_read_no_large_table_from_end_to_end(large: Large) -> None:
    """Prepared statements: planned for the values at first, and later perhaps once for any values; a pooler or a
    database administrator can demand the latter."""
    hospital = large.hospital
    hospital.receive(10)
    order_id = hospital.place()
    asked = {"actor": hospital.nurse, "ward_id": hospital.ward_id, "cache": BoardCache(1), "cursor_of": cursors.encode}
    board, further = (
        explain(hospital.database, hospital.nurse, lambda session, key=key: read_board(session, **asked, after=key))
        for key in (None, Key(1, "4", hospital.patient_id, 1, AUTUMN, order_id))
    )
    given = explain(
        hospital.database,
        hospital.nurse,
        lambda session: give(session, hospital, order_id),
        read_only=False,
    )
    assert [len(sent.plans) for sent in (board, further, given)] == [2, 2, 2]
    for sent in (board, further, given):
        for plan in (*sent.plans, *sent.settled.values(), *sent.generic.values()):
            assert plan.scanned & set(FILLED) == set(), plan.text
    assert "ix_medication_orders_board" in board.plans[-1].indexes
    assert "ix_medication_orders_board" in board.settled["valmed_board_orders"].indexes
    assert "ix_medication_orders_board" in further.settled["valmed_board_more_orders"].indexes


def test_a_fulfilment_moves_no_index_entry_of_its_shelf(large: Large) -> None:
    """The hottest row of the house is updated in place (HOT): no column that a posting changes is in an index."""
    hospital = large.hospital
    hospital.receive(10)
    order_id = hospital.place()

    def give_and_count(session: Session) -> list[tuple[Any, ...]]:
        give(session, hospital, order_id)
        counted = "pg_stat_get_xact_tuples_updated({0}), pg_stat_get_xact_tuples_hot_updated({0})"
        levels, lots = (counted.format(f"'{table}'::regclass") for table in ("stock_levels", "stock_lots"))
        return session.run(Prepared("hot_updates", f"SELECT {levels}, {lots}"))

    with large.owner.cursor() as cursor:
        cursor.execute("VACUUM stock_levels, stock_lots")  # room on the pages
    hospital.database.engine.dispose()  # a new connection has counted nothing yet
    assert hospital.run(give_and_count, hospital.nurse) == [(1, 1, 1, 1)]


def test_the_tables_are_large_and_the_planner_knows(large: Large) -> None:
    with large.owner.cursor() as cursor:
        cursor.execute("SELECT relname, reltuples FROM pg_class WHERE relname = ANY (%s)", (list(FILLED),))
        assert {table for table, rows in cursor.fetchall() if rows >= ROWS} == set(FILLED)
