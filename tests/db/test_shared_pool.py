"""Two hospitals share a pool, their threads and its prepared statements: each answer belongs to who asked for it."""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from flask import Flask
from sqlalchemy import event, text

from backend import create_app
from backend.config import Config
from backend.db import Database, Prepared, Session
from backend.db.transaction import ValueOutOfRange
from backend.domain.models import Base
from backend.errors import Busy
from tests.db.every_table import Pair, tenant_column
from tests.db.session_leaks import state_of
from tests.hospital import Client, Hospital, sign_in
from tests.migrations.catalogue import ask, needs_superuser
from tests.waiting import PATIENCE_SECONDS

Connection = psycopg2.extensions.connection
THREADS, SECONDS, SECONDS_MAX = 6, 6.0, 60.0  # longer only where the machine is too busy for enough to happen
ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
TABLES = sorted(Base.metadata.tables)


def generic(database: Database) -> None:
    """From now on every prepared statement of a new connection is planned once for all values and all tenants."""

    @event.listens_for(database.engine, "connect")
    def plan_once(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET plan_cache_mode = force_generic_plan")


@pytest.fixture
def crowded(config: Config) -> Iterator[Flask]:
    """The application with two connections for all of its threads, little patience, and generic plans."""
    hasty = replace(
        config,
        pool_size=2,
        pool_max_overflow=0,
        pool_timeout_seconds=2.0,
        lock_timeout_ms=300,
        statement_timeout_ms=300,
    )
    made = create_app(hasty)
    generic(made.extensions["valmed"])
    yield made
    made.extensions["valmed"].engine.dispose()


def ids_of(hospital: Hospital) -> set[str]:
    """Every id that the hospital has."""
    found = {str(hospital.organization_id), hospital.slug}
    for name in TABLES:
        if "id" in Base.metadata.tables[name].columns:
            found |= {str(row[0]) for row in hospital.rows(f"SELECT id FROM {name}")}
    return found


EVERYBODYS = " UNION ALL ".join(f"SELECT {tenant_column(table)} AS tenant FROM {table}" for table in TABLES)
WHOSE = Prepared(
    "whose_rows",
    "SELECT array_agg(DISTINCT tenant::text), current_setting('app.organization_id')"
    f" FROM ({EVERYBODYS}) AS rows WHERE :anything::text <> ''",
)


def whose(session: Session) -> tuple[Any, ...]:
    """Whose rows the transaction sees without asking for anybody's, and whose it thinks it is."""
    ((seen, set_to),) = session.run(WHOSE, anything="x")
    return seen, set_to


def _fails(session: Session) -> None:
    whose(session)
    raise KeyError("a bug")


def _sleeps(session: Session) -> None:
    whose(session)
    session.execute(text("SELECT pg_sleep(1)"))


def _errs(session: Session) -> None:
    whose(session)
    session.execute(text("SELECT 1 / (SELECT count(*) FROM patients WHERE false)"))


def _waits(session: Session) -> None:
    session.take_lanes([7])
    whose(session)
    time.sleep(0.05)


FAULTS: tuple[Callable[[Session], Any], ...] = (_fails, _sleeps, _errs, _waits)
PATHS = ("/me", "/patients", "/stock", "/orders", "/wards", "/users", "/lots", "/stock/movements", "/transfers",
         "/administrations", "/audit?table=wards", "/drugs?q=o", "/alerts")  # fmt: skip


class Asker:
    """A thread's work: it asks as one hospital, over HTTP and below it, well and badly, until it is told to stop."""

    def __init__(self, app: Flask, hospital: Hospital, foreign: set[str], stop: threading.Event, seed: int) -> None:
        self._client: Client = sign_in(app, hospital, "admin")
        self._nurse: Client = sign_in(app, hospital, "nurse")
        self._database: Database = app.extensions["valmed"]
        self._hospital, self._foreign, self._stop = hospital, foreign, stop
        self._chance = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.leaks: list[Any] = []

    def work(self) -> None:
        """Fills `outcomes` and `leaks`."""
        while not self._stop.is_set():
            act = self._chance.choice((self._read, self._read, self._write, self._look, self._look, self._fault))
            with suppress(Busy):
                act()

    def _judge(self, answer: Any) -> None:
        self.outcomes[f"HTTP {answer.status_code}"] += 1
        body = answer.get_data(as_text=True)
        shown = {found for found in ID.findall(body) if found in self._foreign}
        if shown or answer.status_code not in {200, 201, 503}:
            self.leaks.append((answer.status_code, body[:300], shown))

    def _read(self) -> None:
        if self._chance.random() < 0.3:
            self._judge(self._nurse.get(f"/mar?ward_id={self._hospital.ward_id}"))
        else:
            self._judge(self._client.get(self._chance.choice(PATHS)))

    def _write(self) -> None:
        self._judge(self._client.post("/wards", {"name": f"W {self._chance.random()}", "kind": "ward"}))

    def _look(self) -> None:
        mine = str(self._hospital.organization_id)
        seen = self._database.transact(whose, actor=self._hospital.nurse, read_only=self._chance.random() < 0.5)
        self.outcomes["looked"] += 1
        if seen != ([mine], mine):
            self.leaks.append(seen)

    def _fault(self) -> None:
        fault = self._chance.choice(FAULTS)
        self.outcomes[fault.__name__] += 1
        with suppress(Exception):
            self._database.transact(fault, actor=self._hospital.nurse)


def harass(superuser: Connection, stop: threading.Event, done: Counter[str]) -> None:
    """Ends or cancels what the application's connections do, again and again, and counts it in `done`."""
    while not stop.is_set():
        verb = random.choice(("pg_terminate_backend", "pg_cancel_backend", "pg_cancel_backend"))
        hit = ask(
            superuser,
            f"SELECT {verb}(pid) FROM pg_stat_activity WHERE application_name = 'valmed' AND state <> 'idle'"
            " AND datname = current_database() ORDER BY random() LIMIT 1",
        )
        done[verb] += len(hit)
        time.sleep(0.04)


def enough(outcomes: Counter[str], hits: Counter[str]) -> bool:
    """Whether everything has happened, several times."""
    answered = min(outcomes["HTTP 200"], outcomes["HTTP 201"], outcomes["looked"])
    ended = min(hits["pg_terminate_backend"], hits["pg_cancel_backend"])
    return answered > 5 and ended > 2 and all(outcomes[fault.__name__] for fault in FAULTS)


def test_each_answer_belongs_to_who_asked_whatever_happens_to_the_connections(
    crowded: Flask, pair: Pair, superuser: Connection
) -> None:
    needs_superuser(superuser)  # to end processes of another role
    ids = {hospital.slug: ids_of(hospital) for hospital in (pair.mine, pair.other)}
    stop, hits, began = threading.Event(), Counter[str](), time.monotonic()
    askers = [
        Asker(crowded, hospital, ids[other.slug], stop, seed)
        for seed in range(THREADS // 2)
        for hospital, other in ((pair.mine, pair.other), (pair.other, pair.mine))
    ]

    def happened() -> Counter[str]:
        return sum((asker.outcomes for asker in askers), Counter[str]())

    with ThreadPoolExecutor(THREADS + 1) as pool:
        busy = [pool.submit(harass, superuser, stop, hits), *(pool.submit(asker.work) for asker in askers)]
        time.sleep(SECONDS)
        while not enough(happened(), hits) and time.monotonic() - began < SECONDS_MAX:
            time.sleep(0.1)
        stop.set()
        for future in busy:
            future.result(timeout=PATIENCE_SECONDS)
    assert [leak for asker in askers for leak in asker.leaks] == []
    assert enough(happened(), hits), (happened(), hits)
    database: Database = crowded.extensions["valmed"]
    held = database.engine.raw_connection()
    second = state_of(database)
    held.close()
    assert {second[2][2:5], state_of(database)[2][2:5]} == {("", "", "")}, "of both connections"
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.fixture
def lone(config: Config) -> Iterator[Flask]:
    """The application with one connection, whose prepared statements are planned once for everybody."""
    made = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    generic(made.extensions["valmed"])
    yield made
    made.extensions["valmed"].engine.dispose()


def test_a_plan_that_one_hospital_had_made_reads_the_others_rows_for_the_other(lone: Flask, pair: Pair) -> None:
    """Row-level security asks for the tenant in each execution: no plan carries one."""
    single: Database = lone.extensions["valmed"]
    statements = [
        Prepared(
            f"generic_{table}",
            f"SELECT DISTINCT {tenant_column(table)}::text FROM {table} WHERE :anything::text <> ''",
        )
        for table in TABLES
    ]
    mine, other = str(pair.mine.organization_id), str(pair.other.organization_id)
    for statement in statements:
        for hospital, expected in ((pair.mine, mine), (pair.other, other), (pair.mine, mine)):
            for _ in range(2):
                rows = single.transact(
                    lambda s, p=statement: s.run(p, anything="x"), actor=hospital.nurse, read_only=True
                )
                assert rows == [(expected,)], statement.name
    plans = Prepared("plans", "SELECT name, generic_plans, custom_plans FROM pg_prepared_statements")
    counted = {name: (made, custom) for name, made, custom in single.lookup(plans)}
    assert {counted[statement.name] for statement in statements} == {(6, 0)}
    for statement in statements:
        with pytest.raises(ValueOutOfRange):  # no tenant: the empty string is no uuid
            single.lookup(statement, anything="x")


def test_a_ward_that_one_hospital_has_looked_up_is_nowhere_for_the_other(lone: Flask, pair: Pair) -> None:
    """The statements of the board, prepared and planned by them, and its cache, filled by them."""
    there, here = sign_in(lone, pair.other, "nurse"), sign_in(lone, pair.mine, "pharmacist")
    path = f"/mar?ward_id={pair.other.ward_id}"
    for _ in range(3):
        assert there.get(path).status_code == 200
        assert here.get(path).status_code == 404
