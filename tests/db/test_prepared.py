"""Every statement that the application prepares names its columns: its result stays, whatever a table gains."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from uuid import UUID

import psycopg2
import psycopg2.extensions
import pytest

import backend
from backend.config import Config
from backend.db import Prepared
from backend.db.provision import application_url, connect
from backend.models import Base
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
