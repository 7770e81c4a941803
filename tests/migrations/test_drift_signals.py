"""The unique signal comes to a table that is written to, and goes, and no writer waits for long."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2.errors
import psycopg2.extensions
import pytest

from backend.config import Config
from backend.db import Database, ddl, migrate, new_id
from backend.db.provision import application_url, connect
from tests.hospital import Hospital, open_hospital
from tests.migrations.catalogue import ask, owner_of
from tests.migrations.test_live_indexes import invalid_indexes, migrating, open_writer, stamp, wait_for_blocked
from tests.waiting import PATIENCE_SECONDS

VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"
INDEXED, PROMOTED = (next(VERSIONS.glob(f"*_{name}_drift_signals.py")).name[:4] for name in ("index", "promote"))
CREATED = f"{int(INDEXED) - 1:04d}"
LOCK_TIMEOUT_MS = Config().lock_timeout_ms // 2  # half of what the application has: no write waits nearly so long
INSERT = """INSERT INTO drift_events (organization_id, id, report_run_id, payer, cpt_group, drift_type, baseline_value,
    current_value, delta_value, severity, confidence, baseline_low, baseline_high, current_low, current_high, p_value,
    baseline_start, baseline_end, current_start, current_end, baseline_volume, current_volume, current_undecided)
  VALUES (%s, %s, %s, %s, 'G', 'DENIAL_RATE', 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, now(), now(), now(), now(), 30, 30, 0)"""


@dataclass
class Writer:
    """A connection of the application that writes one event after another."""

    config: Config
    hospital: Hospital
    run_id: str
    waits: list[float] = field(default_factory=list)

    def write(self, stop: threading.Event) -> None:
        """Until it is told to stop; each write is a transaction with LOCK_TIMEOUT_MS."""
        connection = self.connection()
        while not stop.is_set():
            started = time.monotonic()
            self.insert(connection, str(new_id()))
            self.waits.append(time.monotonic() - started)
        connection.close()

    def connection(self) -> psycopg2.extensions.connection:
        connection = connect(application_url(self.config))
        ask(connection, f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        ask(connection, "SELECT set_config('app.organization_id', %s, false)", str(self.hospital.organization_id))
        return connection

    def insert(self, connection: psycopg2.extensions.connection, payer: str) -> None:
        ask(connection, INSERT, str(self.hospital.organization_id), str(new_id()), self.run_id, payer)


@pytest.fixture
def writer(fresh_config: Config) -> Iterator[Writer]:
    """In a database before the index, with a run to write events of."""
    migrate.downgrade(fresh_config, CREATED)
    database = Database(fresh_config, application_url(fresh_config))
    hospital, run_id = open_hospital(database), str(new_id())
    hospital.change(
        "INSERT INTO report_runs (organization_id, id, as_of, baseline_days, current_days, min_volume, adjust,"
        " started_at) VALUES (:p1, :p2, now(), 90, 14, 30, false, now())",
        hospital.organization_id,
        run_id,
    )
    yield Writer(fresh_config, hospital, run_id)
    database.engine.dispose()


@contextmanager
def writing(writer: Writer) -> Iterator["Future[None]"]:
    """While it writes; at the end it must not have been refused."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(writer.write, stop)
        try:
            yield busy
        finally:
            stop.set()
            busy.result(timeout=PATIENCE_SECONDS)


def guards(config: Config) -> list[tuple[Any, ...]]:
    """What keeps a signal unique: constraints and unique indexes of the table but for its key."""
    with owner_of(config) as owner:
        return ask(
            owner,
            """SELECT x.relname, k.conname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
               LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
               WHERE i.indrelid = 'drift_events'::regclass AND i.indisunique AND NOT i.indisprimary""",
        )


COLUMNS = "(organization_id, report_run_id, payer, cpt_group, drift_type)"
INDEX_ONLY = [("uq_drift_events_signal", None)]
CONSTRAINT = [("driftevent_unique_signal", "driftevent_unique_signal")]


def test_it_comes_and_goes_while_a_writer_keeps_writing_and_no_write_waits_long(writer: Writer) -> None:
    steps = [
        (migrate.upgrade, INDEXED, INDEX_ONLY),
        (migrate.upgrade, PROMOTED, CONSTRAINT),
        (migrate.downgrade, INDEXED, INDEX_ONLY),
        (migrate.upgrade, PROMOTED, CONSTRAINT),
        (migrate.downgrade, CREATED, []),
        (migrate.upgrade, "head", CONSTRAINT),
    ]
    with writing(writer):
        for step, revision, standing in steps:
            step(writer.config, revision)
            assert guards(writer.config) == standing
    assert len(writer.waits) > 100
    assert writer.hospital.rows("SELECT count(*) FROM drift_events") == [(len(writer.waits),)]
    assert invalid_indexes(writer.config) == []


@pytest.mark.parametrize("direction", ["up", "down"])
def test_behind_a_long_transaction_the_promotion_lets_writers_pass_again_and_again(
    writer: Writer, direction: str
) -> None:
    """The lock of ALTER TABLE is not had while an old transaction has written: it is asked for briefly, many times.

    On the way down the index is there already, as after a crash: CONCURRENTLY would wait first, and block nobody.
    """
    migrate.upgrade(writer.config, INDEXED if direction == "up" else PROMOTED)
    step, revision = (migrate.upgrade, PROMOTED) if direction == "up" else (migrate.downgrade, INDEXED)
    if direction == "down":
        with migrating(writer.config, "4s"):
            ddl.create_indexes("drift_events", {"uq_drift_events_signal": COLUMNS}, unique=True)
    with ThreadPoolExecutor(1) as deploy, writing(writer):
        with open_writer(writer.config, "drift_events") as old:
            moving = deploy.submit(step, writer.config, revision)
            wait_for_blocked(writer.config, old)
            time.sleep(4 * ddl.BRIEF_MS / 1000)
            assert not moving.done()
        moving.result(timeout=PATIENCE_SECONDS)
    assert guards(writer.config) == (CONSTRAINT if direction == "up" else INDEX_ONLY)
    assert max(writer.waits) > ddl.BRIEF_MS / 2000
    assert len(writer.waits) > 20


def test_each_step_may_run_again(writer: Writer) -> None:
    """As after a crash between the step and the note that it was done."""
    config = writer.config
    for before, revision, standing in ((CREATED, INDEXED, INDEX_ONLY), (INDEXED, PROMOTED, CONSTRAINT)):
        migrate.upgrade(config, revision)
        stamp(config, before)
        migrate.upgrade(config, revision)
        assert guards(config) == standing
    for revision, before, standing in ((PROMOTED, INDEXED, INDEX_ONLY), (INDEXED, CREATED, [])):
        migrate.downgrade(config, before)
        stamp(config, revision)
        migrate.downgrade(config, before)
        assert guards(config) == standing


def test_a_signal_is_unique_at_every_step_from_the_index_on(writer: Writer) -> None:
    connection = writer.connection()
    writer.insert(connection, "Aetna")
    for step, revision in (
        (migrate.upgrade, INDEXED),
        (migrate.upgrade, PROMOTED),
        (migrate.downgrade, INDEXED),
        (migrate.upgrade, "head"),
    ):
        step(writer.config, revision)
        with pytest.raises(psycopg2.errors.UniqueViolation) as refused:
            writer.insert(connection, "Aetna")
        assert refused.value.diag.constraint_name == guards(writer.config)[0][0]
    connection.close()


def test_the_promotion_refuses_an_index_that_is_not_there_or_not_valid(writer: Writer) -> None:
    connection = writer.connection()
    for _ in range(2):
        writer.insert(connection, "Aetna")
    with pytest.raises(Exception, match="uq_drift_events_signal"):
        migrate.upgrade(writer.config, INDEXED)
    assert invalid_indexes(writer.config) == ["uq_drift_events_signal"]
    for name in ("uq_drift_events_signal", "uq_of_nothing"):
        with migrating(writer.config, "4s"), pytest.raises(RuntimeError, match=f"{name} is absent or invalid"):
            ddl.promote_index("drift_events", "driftevent_unique_signal", name)
    connection.close()
