"""Prepared statements that a schema change, or somebody's DEALLOCATE, takes from under a running application.

PostgreSQL then refuses EXECUTE: 0A000 where a result has other types than when it was planned, 26000 where the
statement is gone, 42P05 where PREPARE meets one that is there. No client may see any of it.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
import sqlalchemy.exc
from flask import Flask
from sqlalchemy import text

from backend import create_app
from backend.config import Config
from backend.db import Database, Session
from backend.errors import Busy
from backend.observability import RETRIES
from tests.concurrency.threads import together
from tests.hospital import Client, Hospital, open_hospital, sign_in
from tests.migrations.catalogue import ask, owner_of

pytestmark = pytest.mark.concurrency
CONNECTIONS = 3
RIGHT = {"lookup": 200, "read": 200, "list": 200, "write": 200, "tally": 401}
# As a migration may never do, and a person in a hurry may.
AUTHENTICATE_ANEW = """DO $do$
DECLARE
  made text := replace(pg_get_functiondef('authenticate'::regproc), '{before}', '{after}');
BEGIN
  DROP FUNCTION authenticate;
  EXECUTE made;
  REVOKE ALL ON FUNCTION authenticate FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION authenticate TO {role};
END $do$"""
NARROW, WIDE = "drug_id uuid)", "drug_id uuid, added integer)"


class Ward:
    """An application with CONNECTIONS connections on a database of its own, and people who ask it by every path."""

    def __init__(self, config: Config, *, prepare: bool) -> None:
        self.config = replace(
            config,
            pool_size=CONNECTIONS,
            pool_max_overflow=0,
            retry_seconds_max=10.0,
            prepare_statements=prepare,
        )
        self.app: Flask = create_app(self.config)
        self.database: Database = self.app.extensions["valmed"]
        self.hospital: Hospital = open_hospital(self.database)
        self.hospital.receive(1_000)
        self.nurse: Client = sign_in(self.app, self.hospital, "nurse")
        self.orders = self.hospital.place_many(60)

    def change(self, statement: str) -> None:
        """Runs `statement` as the owner."""
        with owner_of(self.config) as owner:
            ask(owner, statement)

    def make_authenticate_anew(self, before: str, after: str) -> None:
        """Replaces the function that every request with a token asks."""
        role = self.config.application_role
        self.change(AUTHENTICATE_ANEW.format(before=before, after=after, role=role))

    def ask_everything(self) -> dict[str, int]:
        """The status of a request by each path: a lookup, a read, a write, and a tally (of a failed sign-in)."""
        sign_in = {"organization": self.hospital.slug, "email": f"{uuid.uuid4().hex}@a.example", "password": "no"}
        return {
            "lookup": self.nurse.get("/me").status_code,
            "read": self.nurse.get(f"/mar?ward_id={self.hospital.ward_id}").status_code,
            "list": self.nurse.get("/orders").status_code,
            "write": self.nurse.post(f"/orders/{self.orders.pop()}/fulfill").status_code,
            "tally": self.app.test_client().post("/api/v1/tokens", json=sign_in).status_code,
        }

    def links(self, act: Callable[[], Any]) -> list[Any]:
        """Every connection of the pool, after `act` was done over it. The caller closes them."""
        taken = []
        for _ in range(CONNECTIONS):
            act()
            taken.append(self.database.engine.raw_connection())
        return taken

    def warm(self) -> None:
        """Prepares what `ask_everything` needs on every connection of the pool."""
        for link in self.links(self.ask_everything):
            link.close()


@pytest.fixture
def ward(fresh_config: Config) -> Iterator[Ward]:
    """A ward at work, every statement prepared on every connection."""
    made = Ward(fresh_config, prepare=True)
    made.warm()
    yield made
    made.database.engine.dispose()


def retried(reason: str) -> float:
    """How many transactions of this process were run again for `reason`."""
    return float(RETRIES.labels(reason)._value.get())


WIDER = ("medication_orders", "doses", "bigint")
NARROWER = ("medication_orders", "doses", "integer")


def test_a_column_that_changes_its_type_and_back_is_answered_200(ward: Ward) -> None:
    for table, column, kind in (WIDER, NARROWER, WIDER):
        before = retried("0A000")
        ward.change(f"ALTER TABLE {table} ALTER {column} TYPE {kind}")
        answers = together(*[ward.ask_everything] * CONNECTIONS)
        assert answers == [RIGHT] * CONNECTIONS
        assert retried("0A000") > before, "a plan was lost"
        ward.warm()


def test_statements_deallocated_behind_its_back_are_prepared_again(ward: Ward) -> None:
    before = retried("26000")
    for link in ward.links(ward.ask_everything):
        with link.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        link.close()
    assert together(*[ward.ask_everything] * CONNECTIONS) == [RIGHT] * CONNECTIONS
    assert retried("26000") > before


def test_statements_that_it_forgot_are_prepared_again(ward: Ward) -> None:
    """As where an interrupt came between PREPARE and the note of it."""
    before = retried("42P05")
    for link in ward.links(ward.ask_everything):
        link.dbapi_connection.prepared.clear()
        link.close()
    assert together(*[ward.ask_everything] * CONNECTIONS) == [RIGHT] * CONNECTIONS
    assert retried("42P05") > before


def test_a_function_with_one_more_column_answers_as_before(ward: Ward) -> None:
    before = retried("0A000")
    ward.make_authenticate_anew(NARROW, WIDE)
    assert together(*[ward.ask_everything] * CONNECTIONS) == [RIGHT] * CONNECTIONS
    assert retried("0A000") == before, "named columns keep their plans"


def test_nobody_notices_a_schema_that_changes_to_and_fro_under_load(ward: Ward) -> None:
    """The types of the name need no rewrite of the table, which a transaction under way would find empty."""
    done = threading.Event()
    before = retried("0A000")

    def change() -> list[int]:
        for _ in range(5):
            for kind, was, becomes in (("varchar", NARROW, WIDE), ("text", WIDE, NARROW)):
                ward.make_authenticate_anew(was, becomes)
                ward.change(f"ALTER TABLE wards ALTER name TYPE {kind}")
                time.sleep(0.05)
        done.set()
        return []

    def nurse() -> list[int]:
        seen = []
        while not done.is_set():
            seen.append(ward.nurse.get(f"/mar?ward_id={ward.hospital.ward_id}").status_code)
        return seen

    _, *answers = together(change, *[nurse] * CONNECTIONS)
    assert {status for seen in answers for status in seen} == {200}
    assert retried("0A000") > before, "plans were lost"


def test_without_prepared_statements_no_plan_is_lost(fresh_config: Config) -> None:
    plain = Ward(fresh_config, prepare=False)
    plain.warm()
    before = {state: retried(state) for state in ("0A000", "26000", "42P05")}
    plain.change("ALTER TABLE medication_orders ALTER doses TYPE bigint")
    plain.make_authenticate_anew(NARROW, WIDE)
    assert together(*[plain.ask_everything] * CONNECTIONS) == [RIGHT] * CONNECTIONS
    assert {state: retried(state) for state in before} == before
    plain.database.engine.dispose()


def test_a_feature_that_is_not_supported_stays_a_bug(hospital: Hospital) -> None:
    runs = []

    def ask_for_the_impossible(session: Session) -> None:
        runs.append(1)
        session.execute(text("DECLARE kept CURSOR WITH HOLD FOR SELECT id FROM wards FOR UPDATE"))

    with pytest.raises(sqlalchemy.exc.NotSupportedError) as refused:
        hospital.run(ask_for_the_impossible)
    assert isinstance(refused.value.orig, psycopg2.errors.FeatureNotSupported)
    assert len(runs) == 1


@pytest.mark.parametrize("told", ["cache lookup failed for function 19114", "could not open relation with OID 4711"])
def test_work_that_met_what_was_just_dropped_is_run_again(hospital: Hospital, told: str) -> None:
    runs: list[int] = []

    def meet_it_once(session: Session) -> None:
        runs.append(1)
        if len(runs) == 1:
            session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION '{told}' USING ERRCODE = 'XX000'; END $$"))

    hospital.run(meet_it_once)
    assert len(runs) == 2


def test_another_internal_error_stays_a_bug(hospital: Hospital) -> None:
    with pytest.raises(sqlalchemy.exc.InternalError):
        hospital.run(lambda session: session.execute(text("DO $$ BEGIN RAISE SQLSTATE 'XX000'; END $$")))


def test_plans_that_are_lost_every_time_are_told_as_busy(database: Database, hospital: Hospital) -> None:
    """As behind a transaction pooler where VALMED_PREPARE_STATEMENTS is not 0."""
    hasty = Database(replace(database.config, retry_seconds_max=0.5), database.engine.url)
    with pytest.raises(Busy):
        hasty.transact(lambda session: session.execute(text("EXECUTE of_another_server")), actor=hospital.operator)
    hasty.engine.dispose()
