"""Connections that die before, in and after COMMIT: acknowledged once, committed once, whatever the client saw.

After a COMMIT without an answer, "committed" and "not committed" look the same. Only the idempotency row, written in
the same transaction, tells them apart.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg2 import sql
from sqlalchemy import event, text
from sqlalchemy.engine.url import URL

from backend import create_app
from backend.actor import Actor
from backend.config import Config
from backend.db import Database, Session
from backend.db.engine import normalised_url
from backend.db.idempotency import IdempotencyKey
from backend.db.provision import application_url, connect
from backend.db.transaction import OutcomeUnknown
from backend.domain.administrations import fulfilment
from backend.errors import Busy
from backend.operations.proving.proxy import Ambush, Moment, Proxy
from tests.concurrency.threads import together
from tests.hospital import Hospital, open_hospital, sign_in

pytestmark = pytest.mark.concurrency
CUTS_MAX = 60


@pytest.fixture
def proxy(server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Path, int]]:
    folder = tmp_path_factory.mktemp("p")
    host, port = str(server_url.query.get("host") or server_url.host or ""), _port(server_url)
    upstream: str | tuple[str, int] = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
    made = Proxy(folder, port, upstream)
    yield made, folder, port
    made.close()


def _port(url: URL) -> int:
    return int(str(url.query.get("port") or url.port or 5432))


@pytest.fixture
def shaky(proxy: tuple[Proxy, Path, int], config: Config) -> Iterator[tuple[Database, Proxy]]:
    """The session's database, reached through a proxy that breaks connections."""
    made, folder, port = proxy
    url = application_url(config)
    query = {name: value for name, value in url.query.items() if name not in {"host", "port"}}
    through = url.set(host=None, port=None, query={**query, "host": str(folder), "port": str(port)})
    database = Database(replace(config, pool_size=32), through)
    yield database, made
    database.engine.dispose()


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
def test_a_commit_without_an_answer_is_resolved_and_the_dose_given_once(
    hospital: Hospital, shaky: tuple[Database, Proxy], moment: Moment
) -> None:
    database, proxy = shaky
    hospital.receive(10)
    order_id = hospital.place(doses=3)
    hospital.database = database
    ambush = Ambush(moment)
    proxy.lie_in_wait(ambush)

    answer = hospital.fulfil(order_id, dose=1)

    assert ambush.struck.is_set(), "the connection was broken"
    assert answer.status == 200
    assert answer.replayed is (moment is Moment.AFTER), "a replay where the first COMMIT had gone through"
    assert hospital.on_hand() == 9
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(1,)]


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
def test_work_that_cannot_be_repeated_says_that_its_outcome_is_unknown(
    hospital: Hospital, shaky: tuple[Database, Proxy], moment: Moment
) -> None:
    database, proxy = shaky
    name = uuid.uuid4().hex
    proxy.lie_in_wait(Ambush(moment))

    def rename(session: Session) -> None:
        session.execute(text("UPDATE wards SET name = :name"), {"name": name})

    with pytest.raises(OutcomeUnknown):
        database.transact(rename, actor=hospital.operator)
    committed = hospital.rows("SELECT count(*) FROM wards WHERE name = :p1", name) == [(1,)]
    assert committed is (moment is Moment.AFTER)


def test_32_clients_over_a_line_that_breaks_every_few_commits_lose_and_double_nothing(
    hospital: Hospital, shaky: tuple[Database, Proxy]
) -> None:
    database, proxy = shaky
    hospital.receive(500)
    orders = hospital.place_many(128)
    hospital.database = database
    stop = threading.Event()

    def saboteur() -> int:
        """Breaks a bounded number of COMMITs: going on to the end would break every COMMIT of the last client."""
        for cuts in range(CUTS_MAX):
            if stop.wait(0.02):
                return cuts
            proxy.call_off()
            proxy.lie_in_wait(Ambush(list(Moment)[cuts % len(Moment)]))
        return CUTS_MAX

    def nurse(mine: list) -> list[int]:
        try:
            return [hospital.fulfil(order_id).status for order_id in mine]
        finally:
            finished.append(1)
            if len(finished) == 32:
                stop.set()

    finished: list[int] = []
    results = together(saboteur, *[lambda share=orders[n::32]: nurse(share) for n in range(32)])
    proxy.call_off()

    assert results[0] > 3, "connections were broken"
    assert [status for mine in results[1:] for status in mine] == [200] * 128
    assert hospital.on_hand() == 500 - 128
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(128,)]


def test_a_backend_killed_before_commit_is_replaced_and_the_dose_given_once(hospital: Hospital, superuser) -> None:
    hospital.receive(10)
    order_id = hospital.place()
    killed: list[int] = []

    def give_and_kill_once(session: Session):
        answer = fulfilment.fulfil(
            session,
            actor=hospital.nurse,
            order_id=order_id,
            shelf=hospital.shelf,
            dose=None,
            witness=None,
            key=IdempotencyKey("k", b"f"),
        )
        if not killed:
            killed.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
            _terminate(superuser, killed[0])
        return answer

    answer = hospital.database.transact(give_and_kill_once, actor=hospital.nurse, repeatable=True)

    assert killed
    assert (answer.status, answer.replayed) == (200, False)
    assert hospital.on_hand() == 9


def test_a_backend_killed_in_commit_is_replaced_and_the_dose_given_once(fresh_config: Config, server_url: URL) -> None:
    """A deferred trigger holds the COMMIT of one order open for long enough to kill it there."""
    url = normalised_url(fresh_config.database_url)
    with connect(url) as setup, setup.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON medication_administrations DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION dawdle()"
        )
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    hospital.receive(10)
    order_id = hospital.place()
    killer = connect(server_url.set(database=url.database))

    def kill_in_commit() -> int:
        with killer.cursor() as cursor:
            for _ in range(3_000):
                cursor.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
                    " AND query = 'COMMIT' AND wait_event = 'PgSleep'"
                )
                found = cursor.fetchone()
                if found:
                    _terminate(killer, found[0])
                    return int(found[0])
                time.sleep(0.01)
        return 0

    pid, answer = together(kill_in_commit, lambda: hospital.fulfil(order_id))

    assert pid, "the COMMIT was caught"
    assert answer.status == 200
    assert hospital.on_hand() == 9
    assert hospital.rows("SELECT count(*) FROM medication_administrations") == [(1,)]
    database.engine.dispose()
    killer.close()


def test_a_commit_that_goes_on_behind_a_lost_line_is_waited_for_and_replayed(
    fresh_config: Config, server_url: URL
) -> None:
    """The second run meets what the first is still committing, where no lane has it wait (23505), and runs again."""
    url = normalised_url(fresh_config.database_url)
    with connect(url) as setup, setup.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN IF NEW.name = '9 South' THEN PERFORM pg_sleep(1); END IF; RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON wards DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION dawdle()"
        )
    app = create_app(fresh_config)
    database: Database = app.extensions["valmed"]
    hospital = open_hospital(database)
    admin = sign_in(app, hospital, "admin")
    used: list[int] = []
    event.listen(database.engine, "checkout", lambda driver, *_: used.append(driver.fileno()))

    def cut_in_commit() -> bool:
        """Of the line, not of the backend, which goes on."""
        with closing(connect(server_url.set(database=url.database))) as watcher, watcher.cursor() as cursor:
            for _ in range(500):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND query = 'COMMIT' AND wait_event = 'PgSleep'"
                )
                if cursor.fetchone() == (1,):
                    with socket.socket(fileno=os.dup(used[-1])) as line:
                        line.shutdown(socket.SHUT_RDWR)
                    return True
                time.sleep(0.01)
        return False

    cut, answer = together(cut_in_commit, lambda: admin.post("/wards", {"name": "9 South"}))

    assert cut
    assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (201, "true"), answer.json
    assert hospital.rows("SELECT count(*) FROM wards WHERE name = '9 South'") == [(1,)]
    database.engine.dispose()


def _terminate(connection, pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        assert cursor.fetchone() == (True,)


def test_a_database_that_is_gone_is_busy_not_a_bug(config: Config) -> None:
    nowhere = normalised_url("postgresql://nobody@/nothing?host=/nonexistent&port=5432")
    database = Database(config, nowhere)
    with pytest.raises(Busy):
        database.transact(lambda session: session.execute(text("SELECT 1")), actor=Actor.operator(uuid.uuid4()))


def test_a_server_that_takes_no_writes_is_busy_and_its_connections_are_not_kept(
    fresh_config: Config, superuser
) -> None:
    """As after a failover, or on a full disk: what was connected meanwhile would stay read-only for good."""
    app = create_app(replace(fresh_config, retry_seconds_max=0.5))
    engine = app.extensions["valmed"].engine
    hospital = open_hospital(app.extensions["valmed"])
    hospital.receive(1)
    path, nurse = f"/orders/{hospital.place()}/fulfill", sign_in(app, hospital, "nurse")
    name = sql.Identifier(str(normalised_url(fresh_config.database_url).database))
    with superuser.cursor() as cursor:
        cursor.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        engine.dispose()
        busy = nurse.post(path)
        assert nurse.get("/me").status_code == 200, "reads go on"
        cursor.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))

    assert (busy.status_code, busy.json["code"], busy.headers["Retry-After"]) == (503, "busy", "1")
    assert nurse.post(path).status_code == 200
    engine.dispose()
