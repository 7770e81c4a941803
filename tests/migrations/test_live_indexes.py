"""A hospital works while its indexes are built.

What blocks a writer is never the reading of the table, which may be short, but the lock that the build waits for: an
index built plainly queues behind every open writer, and every further writer queues behind it. So the tests hold a
writer open and look whether the next one passes.
"""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2.errors
import psycopg2.extensions
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine

from backend.config import Config
from backend.db import Database, ddl, migrate, new_id
from backend.db.engine import normalised_url
from backend.db.provision import application_url
from backend.errors import Busy
from tests.hospital import Hospital, open_hospital
from tests.migrations.catalogue import ask, owner_of
from tests.waiting import PATIENCE_SECONDS, wait_until_blocked

VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"
BUILDS = [  # revision and table
    (file.name[:4], table)
    for file in sorted(VERSIONS.glob("*.py"))
    if "create_indexes(" in (text := file.read_text())
    for table in re.findall(r'(?:create_indexes\(|^    )"(\w+)"(?:,|: \{$)', text, re.MULTILINE)
]
FIRST, SEARCH, SIGNAL = BUILDS[0][0], "0025", "0045"
BEFORE = f"{int(FIRST) - 1:04d}"
REVISIONS = dict.fromkeys(revision for revision, _ in BUILDS)
RUN = [revision for place, revision in enumerate(REVISIONS) if int(revision) == int(FIRST) + place]
WAIT_MS_MAX = Config().lock_timeout_ms // 2  # half of what a nurse waits for a lock before she is told "busy"


@pytest.fixture
def old_config(empty_config: Config) -> Config:
    """A database as it was before its first index was built on a live table."""
    migrate.upgrade(empty_config, BEFORE)
    return empty_config


@pytest.fixture
def old_hospital(fresh_config: Config) -> Iterator[Hospital]:
    """A hospital at work in a database that lacks nothing but the indexes of the first run of index migrations."""
    with owner_of(fresh_config) as owner:
        for revision in RUN:
            (file,) = VERSIONS.glob(f"{revision}_*.py")
            for name in re.findall(r'^    "(\w+)":', file.read_text(), re.MULTILINE):
                ask(owner, f"DROP INDEX {name}")
    stamp(fresh_config, BEFORE)
    database = Database(replace(fresh_config, pool_size=8), application_url(fresh_config))
    yield open_hospital(database)
    database.engine.dispose()


def stamp(config: Config, revision: str) -> None:
    """Says that the database is at `revision`."""
    with owner_of(config) as owner:
        ask(owner, "UPDATE alembic_version SET version_num = %s", revision)


@contextmanager
def open_writer(config: Config, table: str) -> Iterator[psycopg2.extensions.connection]:
    """A transaction that has written to `table` and not ended, by the lock that every write takes."""
    with owner_of(config) as connection:
        ask(connection, f"BEGIN; LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        yield connection
        if not connection.closed:
            ask(connection, "ROLLBACK")


def wait_for_blocked(config: Config, holder: psycopg2.extensions.connection) -> int:
    """The process that waits for the transaction of `holder`, as soon as there is one."""
    with owner_of(config) as watcher:
        return wait_until_blocked(watcher, holder)


def next_writer_passes(config: Config, table: str) -> bool:
    """Whether another transaction gets the lock of a write within half a second."""
    with owner_of(config) as connection:
        try:
            ask(connection, f"BEGIN; SET LOCAL lock_timeout = 500; LOCK TABLE {table} IN ROW EXCLUSIVE MODE; ROLLBACK")
        except psycopg2.errors.LockNotAvailable:
            return False
        return True


def invalid_indexes(config: Config) -> list[str]:
    with owner_of(config) as owner:
        return [row[0] for row in ask(owner, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")]


def test_every_index_migration_lets_the_next_writer_pass_while_it_waits_for_an_open_one(old_config: Config) -> None:
    blocked = []
    with ThreadPoolExecutor(1) as deploy:
        for revision, table in BUILDS:
            if migrate.current(old_config) == revision:  # the second table of one migration
                migrate.downgrade(old_config, f"{int(revision) - 1:04d}")
            migrate.upgrade(old_config, f"{int(revision) - 1:04d}")
            with open_writer(old_config, table) as writer:
                upgrade = deploy.submit(migrate.upgrade, old_config, revision)
                wait_for_blocked(old_config, writer)
                if not next_writer_passes(old_config, table):
                    blocked.append(revision)
            upgrade.result(timeout=PATIENCE_SECONDS)
        assert migrate.current(old_config) == BUILDS[-1][0]
        for revision, table in reversed(BUILDS):
            if migrate.current(old_config) < revision:
                migrate.upgrade(old_config, revision)
            migrate.downgrade(old_config, revision)
            with open_writer(old_config, table) as writer:
                downgrade = deploy.submit(migrate.downgrade, old_config, f"{int(revision) - 1:04d}")
                wait_for_blocked(old_config, writer)
                if not next_writer_passes(old_config, table):
                    blocked.append(f"{revision} down")
            downgrade.result(timeout=PATIENCE_SECONDS)
    assert blocked == []
    assert len(BUILDS) == 26
    assert invalid_indexes(old_config) == []


@contextmanager
def migrating(config: Config, lock_timeout: str) -> Iterator[Connection]:
    """The connection of a migration that calls `ddl`, with a `lock_timeout` of its own for statements that block."""
    url = normalised_url(config.database_url)
    engine = create_engine(url, poolclass=NullPool, connect_args={"options": f"-c lock_timeout={lock_timeout}"})
    with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)):
        yield connection


@pytest.mark.parametrize("step", ["build", "drop"])
def test_a_step_waits_for_a_writer_older_than_lock_timeout_which_then_holds_again(
    fresh_config: Config, step: str
) -> None:
    indexes = {"ix_late": "(unit)"}
    if step == "drop":
        with migrating(fresh_config, "4s"):
            ddl.create_indexes("drugs", indexes)

    def run() -> object:
        with migrating(fresh_config, "100ms") as connection:
            if step == "drop":
                ddl.drop_indexes(*indexes)
            else:
                ddl.create_indexes("drugs", indexes)
            return connection.exec_driver_sql("SHOW lock_timeout").scalar_one()

    with ThreadPoolExecutor(1) as deploy:
        with open_writer(fresh_config, "drugs") as writer:
            waiting = deploy.submit(run)
            wait_for_blocked(fresh_config, writer)
            time.sleep(0.5)  # five times as long as it would wait for a lock that blocks
            assert not waiting.done()
        assert waiting.result(timeout=PATIENCE_SECONDS) == "100ms"
    assert invalid_indexes(fresh_config) == []


@pytest.mark.parametrize("statement", ["CREATE INDEX ix_plain ON drugs (name)", "DROP INDEX ix_drugs_name_key"])
def test_a_plain_index_migration_would_make_the_next_writer_wait(fresh_config: Config, statement: str) -> None:
    """The same set-up as above, so that it is known to see a lock that blocks."""

    def build() -> None:
        with owner_of(fresh_config) as connection:
            ask(connection, f"BEGIN; {statement}; COMMIT")

    with ThreadPoolExecutor(1) as deploy, open_writer(fresh_config, "drugs") as writer:
        built = deploy.submit(build)
        wait_for_blocked(fresh_config, writer)
        assert not next_writer_passes(fresh_config, "drugs")
        ask(writer, "ROLLBACK")
        built.result(timeout=PATIENCE_SECONDS)


def test_a_nurse_is_told_busy_behind_a_plain_build_and_served_behind_a_concurrent_one(old_hospital: Hospital) -> None:
    hospital, config = old_hospital, old_hospital.database.config
    hospital.receive(10)
    hasty = replace(config, lock_timeout_ms=400, retry_tries_max=1)

    def outcome(build: str) -> str:
        order_id = hospital.place()
        nurse = replace_database(hospital, Database(hasty, application_url(config)))

        def run() -> None:
            with owner_of(config) as connection:
                ask(connection, build)

        with ThreadPoolExecutor(1) as deploy, open_writer(config, "medication_orders") as writer:
            built = deploy.submit(run)
            wait_for_blocked(config, writer)
            try:
                return f"answer {nurse.fulfil(order_id).status}"
            except Busy:
                return "busy"
            finally:
                ask(writer, "ROLLBACK")
                built.result(timeout=PATIENCE_SECONDS)
                nurse.database.engine.dispose()

    columns = "medication_orders (organization_id, due_at)"
    assert outcome(f"CREATE INDEX ix_plain ON {columns}") == "busy"
    assert outcome(f"CREATE INDEX CONCURRENTLY ix_concurrent ON {columns}") == "answer 200"


def replace_database(hospital: Hospital, database: Database) -> Hospital:
    return replace(hospital, database=database)


def test_nurses_keep_fulfilling_while_every_index_is_built(old_hospital: Hospital) -> None:
    config = old_hospital.database.config
    fill_ledgers(config, old_hospital, rows=20_000)
    hasty = Database(replace(config, lock_timeout_ms=WAIT_MS_MAX), application_url(config))
    hospital = replace_database(old_hospital, hasty)
    hospital.receive(100_000)
    stop, built = threading.Event(), threading.Event()

    def nurse() -> list[bool]:
        """Whether the indexes were being built, for each order that was placed and given without Busy."""
        given = []
        while not stop.is_set():
            during = not built.is_set()
            assert hospital.fulfil(hospital.place()).status == 200
            given.append(during)
        return given

    with ThreadPoolExecutor(4) as crowd:
        nurses = [crowd.submit(nurse) for _ in range(4)]
        try:
            migrate.upgrade(config, RUN[-1])
            built.set()
        finally:
            stop.set()
        given = [during for future in nurses for during in future.result(timeout=PATIENCE_SECONDS)]

    assert sum(given) > len(RUN) > 8
    assert hospital.on_hand() == 100_000 - len(given)
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(len(given),)]
    hasty.engine.dispose()
    assert migrate.current(config) == RUN[-1]
    assert invalid_indexes(config) == []
    stamp(config, migrate.newest())
    migrate.check(config)


def fill_ledgers(config: Config, hospital: Hospital, rows: int) -> None:
    """Orders, and with them audit events, so that an index takes a while."""
    order_id = hospital.place()
    columns = "organization_id, patient_id, drug_id, ward_id, prescriber_id, units_per_dose, first_due_at, due_at"
    with owner_of(config) as owner:
        ask(owner, "SELECT set_config('app.organization_id', %s, false)", str(hospital.organization_id))
        ask(
            owner,
            f"INSERT INTO medication_orders ({columns}, id) SELECT {columns}, gen_random_uuid()"
            " FROM medication_orders, generate_series(1, %s) WHERE id = %s",
            rows,
            str(order_id),
        )


@pytest.mark.parametrize(
    ("revision", "index"),
    [(FIRST, "ix_drugs_name_key"), (SEARCH, "ix_drugs_trigrams"), (SIGNAL, "uq_drift_events_signal")],
)
def test_an_index_left_invalid_by_a_killed_build_is_rebuilt_by_running_again(
    old_config: Config, revision: str, index: str
) -> None:
    before = f"{int(revision) - 1:04d}"
    migrate.upgrade(old_config, before)
    with ThreadPoolExecutor(1) as deploy, open_writer(old_config, dict(BUILDS)[revision]) as writer:
        upgrade = deploy.submit(migrate.upgrade, old_config, revision)
        builder = wait_for_blocked(old_config, writer)
        with owner_of(old_config) as owner:
            assert ask(owner, "SELECT pg_terminate_backend(%s, 5000)", builder) == [(True,)]
        assert isinstance(upgrade.exception(timeout=PATIENCE_SECONDS), Exception)
    assert migrate.current(old_config) == before
    assert invalid_indexes(old_config) == [index]

    migrate.upgrade(old_config)

    assert invalid_indexes(old_config) == []
    assert migrate.current(old_config) == migrate.newest()
    migrate.check(old_config)


class OldTeam:
    """Care-team assignments as a system without the rule of one PRIMARY left them."""

    def __init__(self, config: Config, hospital: Hospital) -> None:
        self.config, self.hospital = config, hospital
        self.names: dict[str, str] = {}

    def assign(self, name: str, provider: str, role: str, day: int, *, removed: bool = False) -> None:
        """`name` is what the test calls the assignment; `day` of January is when it was made."""
        identifier = self.names[name] = str(new_id())
        self._run(
            "INSERT INTO care_team_assignments (organization_id, id, patient_id, provider_id, role, assigned_at,"
            " removed_at) VALUES (%s, %s, %s, %s, %s, make_timestamptz(2026, 1, %s, 8, 0, 0, 'UTC'),"
            " CASE WHEN %s THEN make_timestamptz(2026, 1, 31, 8, 0, 0, 'UTC') END)",
            str(self.hospital.organization_id),
            identifier,
            str(self.hospital.patient_id),
            str(self.hospital.staff[provider].user_id),
            role,
            day,
            removed,
        )

    def standing(self) -> dict[str, str]:
        """The role of every assignment by its name, or that it was removed."""
        rows = self._run(
            "SELECT id::text, CASE WHEN removed_at IS NULL THEN role::text ELSE 'removed' END, version"
            " FROM care_team_assignments"
        )
        by_id = {row[0]: row[1] for row in rows}
        return {name: by_id[identifier] for name, identifier in self.names.items()}

    def audited(self, name: str) -> list[tuple[Any, ...]]:
        """The changes of an assignment in the audit trail."""
        return self._run(
            "SELECT operation, before->>'role', after->>'role', before->>'removed_at' IS NULL,"
            " after->>'removed_at' IS NULL FROM audit_events WHERE row_id = %s AND operation <> 'INSERT' ORDER BY id",
            self.names[name],
        )

    def _run(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with owner_of(self.config) as owner:
            ask(owner, "SELECT set_config('app.organization_id', %s, false)", str(self.hospital.organization_id))
            return ask(owner, query, *values)


RESOLVING, UNIQUE = "0021", "0022"


@pytest.fixture
def old_team(fresh_config: Config) -> Iterator[OldTeam]:
    """The team of a patient in a database before 0021, with three doctors to choose from."""
    migrate.downgrade(fresh_config, f"{int(RESOLVING) - 1:04d}")
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    for login in ("ada", "ben", "eva"):
        hospital.add_staff(login, hospital.staff["doctor"].role)
    yield OldTeam(fresh_config, hospital)
    database.engine.dispose()


def test_the_earliest_primary_is_kept_and_the_others_are_demoted(old_team: OldTeam) -> None:
    old_team.assign("second", "ben", "PRIMARY", day=2)
    old_team.assign("first", "ada", "PRIMARY", day=1)
    old_team.assign("third", "eva", "PRIMARY", day=3)
    old_team.assign("gone", "doctor", "PRIMARY", day=1, removed=True)

    migrate.upgrade(old_team.config, RESOLVING)

    assert old_team.standing() == {"first": "PRIMARY", "second": "SPECIALIST", "third": "SPECIALIST", "gone": "removed"}
    assert old_team.audited("first") == []
    assert old_team.audited("second") == [("UPDATE", "PRIMARY", "SPECIALIST", True, True)]
    migrate.upgrade(old_team.config)
    assert invalid_indexes(old_team.config) == []


def test_a_provider_assigned_twice_is_kept_once(old_team: OldTeam) -> None:
    old_team.assign("first", "ada", "CONSULTANT", day=1)
    old_team.assign("again", "ada", "SPECIALIST", day=2)
    old_team.assign("earlier stay", "ada", "SPECIALIST", day=1, removed=True)

    migrate.upgrade(old_team.config)

    assert old_team.standing() == {"first": "CONSULTANT", "again": "removed", "earlier stay": "removed"}
    assert old_team.audited("again") == [("UPDATE", "SPECIALIST", "SPECIALIST", True, False)]


def test_a_patient_does_not_lose_the_primary_to_an_older_assignment_of_the_same_provider(old_team: OldTeam) -> None:
    old_team.assign("as consultant", "ada", "CONSULTANT", day=1)
    old_team.assign("as primary", "ada", "PRIMARY", day=2)
    old_team.assign("other", "ben", "SPECIALIST", day=1)

    migrate.upgrade(old_team.config)

    assert old_team.standing() == {"as consultant": "removed", "as primary": "PRIMARY", "other": "SPECIALIST"}


def test_what_was_sound_before_is_left_alone(old_team: OldTeam) -> None:
    old_team.assign("primary", "ada", "PRIMARY", day=1)
    old_team.assign("specialist", "ben", "SPECIALIST", day=1)
    old_team.assign("consultant", "eva", "CONSULTANT", day=1)

    migrate.upgrade(old_team.config)

    assert old_team.standing() == {"primary": "PRIMARY", "specialist": "SPECIALIST", "consultant": "CONSULTANT"}
    assert [old_team.audited(name) for name in old_team.names] == [[], [], []]


def test_the_rule_of_one_primary_goes_with_its_migration_and_the_demoted_stay_demoted(old_team: OldTeam) -> None:
    old_team.assign("first", "ada", "PRIMARY", day=1)
    old_team.assign("second", "ben", "PRIMARY", day=2)
    migrate.upgrade(old_team.config)
    with pytest.raises(psycopg2.errors.UniqueViolation) as refused:
        old_team.assign("refused", "eva", "PRIMARY", day=3)
    assert refused.value.diag.constraint_name == "uq_care_team_primary"
    with pytest.raises(psycopg2.errors.UniqueViolation) as refused:
        old_team.assign("refused", "ben", "CONSULTANT", day=3)
    assert refused.value.diag.constraint_name == "uq_care_team_active"
    del old_team.names["refused"]

    migrate.downgrade(old_team.config, f"{int(RESOLVING) - 1:04d}")

    assert old_team.standing() == {"first": "PRIMARY", "second": "SPECIALIST"}
    old_team.assign("third", "eva", "PRIMARY", day=3)
    migrate.upgrade(old_team.config)
    assert old_team.standing() == {"first": "PRIMARY", "second": "SPECIALIST", "third": "SPECIALIST"}


def test_a_duplicate_that_slips_in_between_stops_the_index_and_running_again_finishes(old_team: OldTeam) -> None:
    """0021 has resolved, 0022 not yet built: the old code still runs and writes one more."""
    old_team.assign("first", "ada", "PRIMARY", day=1)
    migrate.upgrade(old_team.config, RESOLVING)
    old_team.assign("late", "ben", "PRIMARY", day=2)
    with pytest.raises(Exception, match="uq_care_team_primary"):
        migrate.upgrade(old_team.config)
    assert migrate.current(old_team.config) == RESOLVING
    assert invalid_indexes(old_team.config) == ["uq_care_team_primary"]

    migrate.downgrade(old_team.config, f"{int(RESOLVING) - 1:04d}")
    migrate.upgrade(old_team.config)

    assert invalid_indexes(old_team.config) == []
    assert old_team.standing() == {"first": "PRIMARY", "late": "SPECIALIST"}
