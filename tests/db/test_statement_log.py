"""PostgreSQL's own log holds no patient and no hash of a password, whatever fails; and who is asked says so."""

import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from sqlalchemy.engine.url import URL, make_url

from backend.actor import Role
from backend.cli.serve import ensure_serviceable
from backend.config import Config
from backend.db import Database, Session, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.db.statement_log import QUIET, find_loud_settings, warning_of
from backend.domain.identity.users import add_user
from backend.domain.patients.admitting import add_patient
from backend.errors import DomainError
from backend.operations.embedded import Server
from tests.cli.running import COMMAND, ROOT, clean_environment, settings_of
from tests.conftest import FAST, create_database
from tests.hospital import Hospital, open_hospital
from tests.waiting import wait_until, wait_until_blocked

Connection = psycopg2.extensions.connection
NAME, MRN, EMAIL = "Geheimrat, Gudrun", "MRN-4711", "grit.geheim@hospital.example"
LOUD = {"log_min_error_statement": "error", "log_error_verbosity": "default"}
WRITTEN = (NAME, NAME.encode().hex(), MRN, EMAIL, "argon2")


class Logging:
    """A server with a migrated database, and what it has logged since its settings were changed last."""

    def __init__(self, folder: Path) -> None:
        self._server = Server(folder, settings=FAST)
        self._server.start()
        self.config = create_database(make_url(self._server.url()))
        migrate.upgrade(self.config)
        self._file, self._seen = folder / "log" / "postgresql.log", 0

    def set_up(self, settings: dict[str, str]) -> None:
        """Gives it `settings` beside those that it was made with, for whoever connects from here on."""
        url = make_url(self._server.url())
        with closing(connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("LOAD 'auto_explain'")  # whose settings are unknown before
            cursor.execute("ALTER SYSTEM RESET ALL")
            for name, value in {**settings, "application_name": uuid.uuid4().hex}.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = '{value}'")
                last = value
            cursor.execute("SELECT pg_reload_conf()")
        wait_until(lambda: _shows(url, "application_name", last))
        self._seen = self._file.stat().st_size

    def said(self) -> str:
        """What it has logged since."""
        with self._file.open("rb") as log:
            log.seek(self._seen)
            return log.read().decode()

    def end(self) -> None:
        """Removes it."""
        self._server.destroy()


@pytest.fixture(scope="module")
def logging() -> Iterator[Logging]:
    """A private server: the log of the one that all tests share is not ours to judge."""
    folder = Path(tempfile.mkdtemp(prefix="valmed-log-"))
    folder.chmod(0o755)
    made = Logging(folder)
    yield made
    made.end()
    shutil.rmtree(folder, ignore_errors=True)


def _shows(url: URL, name: str, value: str) -> bool:
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return cursor.fetchone() == (value,)


def _fail_in_every_way(config: Config) -> None:
    """Whatever an error of the database may be: lock timeouts, cancels, ended backends, unique keys, checks."""
    hasty = replace(config, pool_size=4, lock_timeout_ms=1_000, retry_seconds_max=0)
    database = Database(hasty, application_url(config))
    hospital = open_hospital(database)
    hospital.change("UPDATE patients SET name = :p1", NAME)
    hospital.receive(5)
    owner = connect(normalised_url(config.database_url))
    with closing(owner), owner.cursor() as cursor:
        cursor.execute("SELECT set_config('app.organization_id', %s, false)", (str(hospital.organization_id),))
        order_id = hospital.place()
        _while_held(owner, _KEY, (hospital.organization_id,), lambda: hospital.fulfil(order_id, key="k"))
        for meanwhile in ("SELECT pg_cancel_backend(%s)", "SELECT pg_terminate_backend(%s)", "", "COMMIT"):
            _while_held(owner, _USER, (hospital.organization_id, EMAIL), lambda: _add_user(hospital), meanwhile)
            _while_held(owner, _PATIENT, (hospital.organization_id, MRN), lambda: _add_patient(hospital), meanwhile)
        for rule in ("email = upper(email)", "name = NULL"):
            with suppress(psycopg2.Error):
                cursor.execute(f"UPDATE users SET {rule} WHERE organization_id = %s", (str(hospital.organization_id),))
    database.engine.dispose()


_KEY = """INSERT INTO idempotency_keys (organization_id, key, fingerprint, status, answer)
  VALUES (%s, 'k', '', 200, '')"""
_USER = """INSERT INTO users (organization_id, id, email, name, role, password_hash)
  VALUES (%s, gen_random_uuid(), %s, 'x', 'nurse', 'x')"""
_PATIENT = """INSERT INTO patients (organization_id, id, ward_id, name, mrn, date_of_birth)
  SELECT organization_id, gen_random_uuid(), id, 'x', %s, '1970-01-01' FROM wards WHERE organization_id = %s LIMIT 1"""


def _while_held(
    owner: Connection, statement: str, values: tuple[Any, ...], work: Callable[[], Any], meanwhile: str = ""
) -> None:
    """Does `work` while somebody else holds the row that it wants to write, or has just written it."""
    with owner.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(statement, values if statement is not _PATIENT else values[::-1])
        waiting = threading.Thread(target=_try, args=(work,))
        waiting.start()
        if meanwhile:
            blocked = wait_until_blocked(owner, owner)
            cursor.execute(meanwhile, (blocked,))
        waiting.join()
        cursor.execute("ROLLBACK")


def _try(work: Callable[[], Any]) -> None:
    with suppress(DomainError):
        work()


def _add_user(hospital: Hospital) -> None:
    values = {"email": EMAIL, "name": "Grit", "role": Role.NURSE, "password": "four small brown mice"}
    hospital.run(lambda session: add_user(session, organization_id=hospital.organization_id, **values))


def _add_patient(hospital: Hospital) -> None:
    hospital.run(lambda session: _patient(session, hospital))


def _patient(session: Session, hospital: Hospital) -> None:
    values = {"ward_id": hospital.ward_id, "name": NAME, "mrn": MRN, "date_of_birth": date(1970, 1, 1)}
    add_patient(session, organization_id=hospital.organization_id, **values)


@pytest.mark.parametrize("settings", [{}, LOUD], ids=["as made", "as PostgreSQL comes"])
def test_failing_statements_leave_their_values_out_of_the_log(logging: Logging, settings: dict[str, str]) -> None:
    logging.set_up(settings)
    _fail_in_every_way(logging.config)
    said = logging.said()
    for failure in ("lock timeout", "due to user request", "terminating connection", "duplicate key", "check constr"):
        assert failure in said
    assert [secret for secret in WRITTEN if secret in said] == (list(WRITTEN) if settings else [])


@pytest.mark.parametrize("name", [*LOUD, "log_statement", "log_min_duration_statement", "log_destination", "explain"])
def test_settings_that_log_statements_are_found_with_what_ends_it(logging: Logging, name: str) -> None:
    others = {
        "log_statement": {"log_statement": "ddl"},
        "log_min_duration_statement": {"log_min_duration_statement": "500"},
        "log_destination": {"log_destination": "stderr,jsonlog"},
        "explain": {"session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "1s"},
    }
    logging.set_up(others.get(name) or {name: LOUD[name]})
    with closing(connect(application_url(logging.config))) as connection:
        loud = find_loud_settings(connection)
    name = "auto_explain.log_min_duration" if name == "explain" else name
    assert loud == {name: QUIET.get(name, "stderr")}
    assert f"ALTER SYSTEM SET {name} = '{loud[name]}'; SELECT pg_reload_conf();" in warning_of(loud)


def test_check_and_serve_warn_and_are_silent_where_nothing_is_logged(
    logging: Logging, capsys: pytest.CaptureFixture[str]
) -> None:
    config, advice = logging.config, warning_of({name: QUIET[name] for name in LOUD})
    for settings in (LOUD, {}):
        logging.set_up(settings)
        ensure_serviceable(replace(config, demo=True))
        assert capsys.readouterr().err == (f"valmed: {advice}\n" if settings else "")
        command = [*COMMAND, "db", "check"]
        env = clean_environment(**settings_of(config))
        checked = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        assert (f"WARNING: {advice}\n" in checked.stdout) is (settings != {})
        assert checked.stdout.endswith("The database is the one this code expects.\n")
