"""Prepared statements: their parameters have names, and those of the application name their columns, so that the result
stays, whatever a table gains."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import psycopg2
import psycopg2.extensions
import pytest

import backend
from backend.config import Config
from backend.db import Database, Prepared, Session
from backend.db.provision import application_url, connect
from backend.domain.models import Base
from tests.hospital import Hospital
from tests.migrations.catalogue import ask, owner_of

ADDED = "ADD COLUMN of_the_later_release text"
OUTPUT = re.compile(r"RETURNS TABLE\((.*)\)")


def statements() -> dict[str, Prepared]:
    """Every prepared statement of the code, by name."""
    found = {}
    for module in pkgutil.walk_packages(backend.__path__, "backend."):
        if "__main__" not in module.name and "gunicorn" not in module.name:
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, Prepared):
                    assert found.setdefault(value.name, value) is value, f"two statements are called {value.name}"
    return found


@pytest.fixture
def extended(fresh_config: Config) -> Iterator[tuple[psycopg2.extensions.connection, dict[str, Prepared]]]:
    """A connection on which every statement was prepared and run, before every table and function got a column more."""
    prepared = statements()
    serving = connect(application_url(fresh_config))
    for statement in prepared.values():
        ask(serving, statement.prepare)
        run(serving, statement)
    with owner_of(fresh_config) as owner:
        for table in Base.metadata.tables:
            ask(owner, f"ALTER TABLE {table} {ADDED}")
        for name, definition in ask(owner, "SELECT oid::regproc, pg_get_functiondef(oid) FROM pg_proc WHERE proretset"
                                    " AND prosecdef AND proallargtypes IS NOT NULL"):  # fmt: skip
            wider = OUTPUT.sub(r"RETURNS TABLE(\1, of_the_later_release text)", definition)
            assert wider != definition
            grant = f"GRANT EXECUTE ON FUNCTION {name} TO {fresh_config.application_role}"
            ask(owner, f"DROP FUNCTION {name}; {wider}; {grant}")
    yield serving, prepared
    serving.close()


def run(serving: psycopg2.extensions.connection, statement: Prepared) -> str | None:
    """The SQLSTATE of `statement` with NULL for every value, rolled back; None where it succeeds."""
    try:
        ask(
            serving,
            f"BEGIN; SET LOCAL app.organization_id = '{UUID(int=1)}'; {statement.call}",
            *[None] * len(statement.types),
        )
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        ask(serving, "ROLLBACK")
    return None


def test_one_more_column_in_all_tables_and_functions_leaves_every_plan(
    extended: tuple[psycopg2.extensions.connection, dict[str, Prepared]],
) -> None:
    serving, prepared = extended
    assert len(prepared) > 20
    assert {name: state for name, statement in prepared.items() if (state := run(serving, statement)) == "0A000"} == {}


# Everything in which a colon or a dollar is no parameter, beside two that are.
AWKWARD = Prepared(
    "awkward",
    """
    SELECT ':no', E'it\\'s :no', 'it''s :no', $$:no $1$$, $tag$:no $$ :no$tag$, 1 AS ":no", -- :no it's
      /* :no " */ :number::int + :number, (ARRAY[1, 2, 3])[1:2], :list::text[], '100 %'::text, (:number)::text
    """,
)


class Awkward(NamedTuple):
    """A row of two columns."""

    total: int
    text: str


def test_names_are_numbered_in_the_order_in_which_they_stand() -> None:
    assert AWKWARD.types == {"number": "int", "list": "text[]"}
    assert AWKWARD.prepare.startswith("PREPARE valmed_awkward (int, text[]) AS SELECT ':no', E'it\\'s :no'")
    assert AWKWARD.sql.endswith("$1 + $1, (ARRAY[1, 2, 3])[1:2], $2, '100 %'::text, ($1)::text")
    assert AWKWARD.call == "EXECUTE valmed_awkward (%s, %s)"
    assert AWKWARD.ordered({"list": [], "number": 7}) == (7, [])


@pytest.fixture(params=[True, False], ids=["prepared", "inline"])
def either(config: Config, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A pool that prepares statements, and one that sends them with their values."""
    database = Database(replace(config, prepare_statements=request.param), application_url(config))
    yield database
    database.engine.dispose()


def test_literals_comments_and_casts_reach_the_server_as_written(either: Database, hospital: Hospital) -> None:
    kept = (":no", "it's :no", "it's :no", ":no $1", ":no $$ :no", 1)
    values = {"number": 21, "list": ["%", ":x"]}
    for _ in range(2):
        (row,) = either.transact(lambda session: session.run(AWKWARD, **values), actor=hospital.nurse)
        assert row == (*kept, 42, [1, 2], ["%", ":x"], "100 %", "21")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT :amount", ":amount needs one type, not []"),
        ("SELECT :amount::int, :amount::bigint", ":amount needs one type, not ['bigint', 'int']"),
        ("SELECT :amount::int + $1", "parameters have names, not $1"),
    ],
)
def test_a_statement_without_one_type_for_each_name_cannot_be_defined(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"valmed_wrong: {complaint}")):
        Prepared("wrong", text)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"number": 1}, "missing ['list'], unknown []"),
        ({"number": 1, "list": [], "lists": []}, "missing [], unknown ['lists']"),
        ({"number": 1, "lists": []}, "missing ['list'], unknown ['lists']"),
        ({}, "missing ['list', 'number'], unknown []"),
    ],
)
def test_a_missing_or_unknown_name_is_refused_before_a_message_is_sent(
    either: Database, hospital: Hospital, values: dict[str, object], complaint: str
) -> None:
    def work(session: Session) -> None:
        with pytest.raises(TypeError, match=re.escape(f"valmed_awkward: {complaint}")):
            session.run(AWKWARD, **values)
        assert not session._begun

    either.transact(work, actor=hospital.nurse)
    with pytest.raises(TypeError, match=re.escape(f"valmed_awkward: {complaint}")):
        either.lookup(AWKWARD, **values)


def test_columns_become_the_fields_of_their_names_in_any_order(hospital: Hospital) -> None:
    turned = Prepared("turned", "SELECT 'x' AS text, :total::int AS total")
    assert hospital.run(lambda session: session.read(turned, Awkward, total=3)) == [Awkward(3, "x")]


@pytest.mark.parametrize("columns", ["1 AS total", "1 AS total, 'x' AS text, 2 AS more"])
def test_columns_that_are_not_the_fields_are_refused(hospital: Hospital, columns: str) -> None:
    other = Prepared(f"other_{len(columns)}", f"SELECT {columns}")
    with pytest.raises(TypeError):
        hospital.run(lambda session: session.read(other, Awkward))
