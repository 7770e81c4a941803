"""Nothing of one transaction reaches the next one on the same pooled connection."""

import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2.errors
import psycopg2.extensions
import pytest
import sqlalchemy.exc
from sqlalchemy import text

import backend
from backend.actor import Actor
from backend.config import Config
from backend.db import Database, Prepared, Session
from backend.db.lanes import lock_lanes
from backend.db.provision import application_url
from backend.db.session import SwallowedError
from backend.db.transaction import ValueOutOfRange
from backend.domain.models import Base
from backend.domain.stock.picking import InsufficientStock
from backend.errors import Busy
from tests.db.every_table import Pair, tenant_column
from tests.db.session_leaks import state_of
from tests.migrations.catalogue import needs_superuser
from tests.waiting import PATIENCE_SECONDS

Connection = psycopg2.extensions.connection


@pytest.fixture
def single(config: Config) -> Iterator[Database]:
    """The application with one connection and little patience."""
    hasty = replace(
        config,
        pool_size=1,
        pool_max_overflow=0,
        pool_timeout_seconds=1.0,
        lock_timeout_ms=400,
        statement_timeout_ms=400,
        idle_in_transaction_timeout_ms=400,
        retry_seconds_max=0.3,
    )
    database = Database(hasty, application_url(config))
    yield database
    database.engine.dispose()


def reads(session: Session) -> None:
    session.execute(text("SELECT count(*) FROM patients"))


def writes(session: Session) -> None:
    session.take_lanes([7, 200])
    session.execute(text("UPDATE wards SET version = version + 1"))


def refuses(session: Session) -> None:
    writes(session)
    raise InsufficientStock(requested_units=2, available_units=1)


def breaks(session: Session) -> None:
    writes(session)
    raise KeyError("a bug")


def interrupts(session: Session) -> None:
    writes(session)
    raise KeyboardInterrupt


def fails_in_sql(session: Session) -> None:
    session.execute(text("SELECT 1 / 0"))


def violates(session: Session) -> None:
    session.execute(text("UPDATE wards SET organization_id = gen_random_uuid()"))


def swallows(session: Session) -> None:
    with suppress(Exception):
        session.execute(text("SELECT 1 / 0"))


def sleeps_in_sql(session: Session) -> None:
    session.execute(text("SELECT pg_sleep(2)"))


def sleeps_in_python(session: Session) -> None:
    writes(session)
    time.sleep(0.9)
    reads(session)


def is_cancelled(session: Session) -> None:
    writes(session)
    threading.Timer(0.05, session._driver.cancel).start()
    session.execute(text("SELECT pg_sleep(2)"))


def stages(session: Session) -> None:
    session.execute(text("CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT * FROM patients"))


def stages_and_breaks(session: Session) -> None:
    stages(session)
    raise KeyError("a bug")


def reads_with_a_portal(session: Session) -> None:
    session.execute(text("DECLARE names CURSOR FOR SELECT name FROM patients"))
    session.execute(text("FETCH 1 FROM names"))


WRITING = {
    *(writes, refuses, breaks, interrupts, violates, sleeps_in_python, is_cancelled, stages, stages_and_breaks),
}


@pytest.mark.parametrize("read_only", [False, True], ids=["", "read only"])
@pytest.mark.parametrize(
    ("work", "raises"),
    [
        (reads, None),
        (writes, None),
        (reads_with_a_portal, None),
        (stages, None),
        (stages_and_breaks, KeyError),
        (refuses, InsufficientStock),
        (breaks, KeyError),
        (interrupts, KeyboardInterrupt),
        (fails_in_sql, ValueOutOfRange),
        (violates, sqlalchemy.exc.ProgrammingError),
        (swallows, SwallowedError),
        (sleeps_in_sql, Busy),
        (is_cancelled, Busy),
        (sleeps_in_python, Busy),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nothing_of_a_transaction_stays_on_its_pooled_connection(
    single: Database, pair: Pair, work: Callable[[Session], None], raises: type[BaseException] | None, read_only: bool
) -> None:
    pid, idle, clean = state_of(single)
    assert clean[2:5] == ("", "", "")
    read_only_refuses = read_only and work in WRITING
    if read_only_refuses:
        raises = sqlalchemy.exc.InternalError  # 25006, cannot execute UPDATE in a read-only transaction
    with pytest.raises(raises) if raises else nullcontext():
        single.transact(work, actor=replace(pair.mine.nurse, request_id="before"), read_only=read_only)
    new_pid, status, after = state_of(single)
    assert (status, after) == (idle, clean)
    assert single.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    killed_by_the_server = work is sleeps_in_python and not read_only_refuses
    assert (new_pid != pid) is killed_by_the_server


def test_a_lane_that_cannot_be_had_leaves_nothing_either(single: Database, pair: Pair, owner: Connection) -> None:
    before = state_of(single)
    with owner.cursor() as cursor:
        cursor.execute(f"BEGIN; {lock_lanes([7])}")
        with pytest.raises(Busy):
            single.transact(writes, actor=pair.mine.operator)
        cursor.execute("ROLLBACK")
    assert state_of(single) == before
    single.transact(writes, actor=pair.mine.operator)


def test_a_killed_connection_is_replaced_by_a_clean_one(single: Database, pair: Pair, superuser: Connection) -> None:
    needs_superuser(superuser)  # to end a process of another role
    pid, idle, clean = state_of(single)
    killed = []

    def die_once(session: Session) -> int:
        writes(session)
        if not killed:
            killed.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
            with superuser.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (killed[0],))
        return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())

    survivor = single.transact(die_once, actor=pair.mine.operator)
    assert killed == [pid]
    assert survivor != pid
    assert state_of(single) == (survivor, idle, clean)


def test_a_thread_that_dies_leaves_a_clean_connection(single: Database, pair: Pair) -> None:
    before = state_of(single)
    actor = replace(pair.mine.nurse, request_id="before")
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyError):
        pool.submit(single.transact, breaks, actor=actor).result(timeout=PATIENCE_SECONDS)
    assert state_of(single) == before
    assert single.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("closed", [False, True], ids=["unnoticed", "noticed"])
def test_connection_lost_before_a_refusal_leaves_the_pool_without_a_word(
    single: Database, pair: Pair, superuser: Connection, caplog: pytest.LogCaptureFixture, closed: bool
) -> None:
    needs_superuser(superuser)
    killed = []

    def refused(session: Session) -> None:
        writes(session)
        killed.append(session._driver.info.backend_pid)
        with superuser.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", (killed[-1],))
        if closed:
            with suppress(psycopg2.Error):
                session._cursor.execute("SELECT 1")
        raise InsufficientStock(requested_units=2, available_units=1)

    with pytest.raises(InsufficientStock):
        single.transact(refused, actor=pair.mine.operator)
    pid = single.transact(lambda session: session._driver.info.backend_pid, actor=pair.mine.operator)
    assert (len(killed), pid in killed) == (1, False)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_server_that_vanishes_is_noticed_before_gunicorn_ends_the_worker(single: Database, tmp_path: Path) -> None:
    """By a probe of TCP: the first at which the server has been silent for tcp_user_timeout. Measured behind a link
    that was cut in the middle of a statement: 15 s, and without the figures minutes."""
    with closing(single.engine.raw_connection()) as link:
        told = link.dbapi_connection.info.dsn_parameters  # type: ignore[union-attr]
    idle, interval = int(told["keepalives_idle"]), int(told["keepalives_interval"])
    probes = itertools.count(idle, interval)
    noticed = next(second for second in probes if second >= int(told["tcp_user_timeout"]) / 1000)
    settings = Path(backend.__file__).parent / "operations" / "gunicorn.conf.py"
    code = f"import runpy; print(runpy.run_path({str(settings)!r})['timeout'])"
    env = {**os.environ, "VALMED_REPORT_TIMEOUT_MS": "1", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    patience = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout
    assert noticed + Config().connect_timeout_seconds < int(patience)


def test_a_statement_outside_a_transaction_has_no_tenant_even_after_one_that_had(single: Database, pair: Pair) -> None:
    count = Prepared("count_patients_outside", "SELECT count(*) FROM patients")
    with pytest.raises(psycopg2.errors.UndefinedObject):
        single.lookup(count)
    assert single.transact(lambda session: session.run(count), actor=pair.mine.operator) == [(1,)]
    with pytest.raises(ValueOutOfRange):  # the empty string is no uuid
        single.lookup(count)


def test_two_hospitals_that_take_turns_on_one_connection_never_see_each_other(single: Database, pair: Pair) -> None:
    everything = "SELECT array_agg(DISTINCT organization_id) FROM ({}) AS rows".format(
        " UNION ALL ".join(
            f"SELECT {tenant_column(table)} AS organization_id FROM {table}" for table in sorted(Base.metadata.tables)
        )
    )
    whole = Prepared("whole_hospital", everything)
    pids = set()

    def look(session: Session) -> tuple[Any, ...]:
        pids.add(session._driver.info.backend_pid)
        seen = session.run(whole)[0][0]
        (set_to,) = session.run(Prepared("whose", "SELECT current_setting('app.organization_id')"))[0]
        return seen, set_to

    turns = itertools.islice(itertools.cycle((pair.mine, pair.other)), 500)
    for number, hospital in enumerate(turns):
        actor: Actor = hospital.nurse if number % 3 else hospital.operator
        seen, set_to = single.transact(look, actor=actor, read_only=number % 2 == 0)
        assert seen == [hospital.organization_id]
        assert set_to == str(hospital.organization_id)
    assert len(pids) == 1
