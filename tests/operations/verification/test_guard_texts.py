"""The texts of the guards: guards.txt is what the migrations make, and whatever differs from it is found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.config import Config
from backend.db import migrate
from backend.db.engine import normalised_url
from backend.domain.models import Base
from backend.operations.verification.guards import FROZEN, GUARDS, TEXTS, guard_texts
from backend.operations.verification.verify import verify, verify_schema
from tests.migrations.catalogue import ask, needs_superuser, owner_of
from tests.operations.verification.breakable import House

TITLE = guard_texts().title
GUTTED = """CREATE OR REPLACE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$ BEGIN RETURN NULL; END $$"""
EMPTY = "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
SWALLOW = "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
TRIGGER = "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON lots FOR EACH ROW"
RECORD = "EXECUTE FUNCTION record_change('organization_id', 'id')"
WITHOUT_STATUS = "EXECUTE FUNCTION record_change('organization_id', 'id', 'status')"
CHECK = "ALTER TABLE stock_lots DROP CONSTRAINT {0}, ADD CONSTRAINT {0} CHECK ({1})"
POSITIVE = "ck_stock_lots_quantity_units_not_negative"
ALLOWED = "USING (organization_id = current_setting('app.organization_id')::uuid)"
DOSE = "CREATE UNIQUE INDEX uq_administration_dose ON medication_administrations (organization_id, {0}) WHERE stands"
# What was done, what undoes it (a function: what it was), what is said.
CHANGES = {
    "a function that audits nothing": (GUTTED, "record_change", "function record_change() is not what the migrations"),
    "a guard that refuses nothing": (EMPTY, "refuse_change", "function refuse_change() is not what the migrations"),
    "a function of another search_path": (
        "ALTER FUNCTION authenticate RESET search_path",
        "authenticate",
        "function authenticate(wanted_sha256 bytea, wanted_order uuid) is not what the migrations",
    ),
    "a function that runs as who calls it": (
        "ALTER FUNCTION record_change() SECURITY INVOKER",
        "record_change",
        "function record_change() is not what the migrations",
    ),
    "a function more that runs as the owner": (
        "CREATE FUNCTION back_door() RETURNS SETOF users LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM users';"
        " ALTER FUNCTION back_door OWNER TO {owner}",
        "DROP FUNCTION back_door",
        "function back_door() was made by no migration",
    ),
    "a function that anybody may run": (
        "GRANT EXECUTE ON FUNCTION record_change TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION record_change FROM PUBLIC",
        "rights to run record_change() is not what the migrations made: everybody",
    ),
    "a trigger that fires for nothing": (
        f"DROP TRIGGER audit ON lots; {TRIGGER} WHEN (false) {RECORD}",
        f"DROP TRIGGER audit ON lots; {TRIGGER} {RECORD}",
        "trigger lots.audit is not what the migrations made: CREATE TRIGGER audit",
    ),
    "a trigger that keeps a column back": (
        f"DROP TRIGGER audit ON lots; {TRIGGER} {WITHOUT_STATUS}",
        f"DROP TRIGGER audit ON lots; {TRIGGER} {RECORD}",
        "trigger lots.audit is not what the migrations made: CREATE TRIGGER audit",
    ),
    "a trigger more that swallows rows": (
        f"{SWALLOW}; CREATE TRIGGER a BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION swallow()",
        "DROP FUNCTION swallow CASCADE",
        "trigger audit_events.a was made by no migration: CREATE TRIGGER a",
    ),
    "a rule that swallows rows": (
        "CREATE RULE nothing AS ON INSERT TO audit_events DO INSTEAD NOTHING",
        "DROP RULE nothing ON audit_events",
        "rule audit_events.nothing was made by no migration: CREATE RULE nothing",
    ),
    "a policy that lets everything be seen": (
        "ALTER POLICY tenant ON lots USING (true)",
        f"ALTER POLICY tenant ON lots {ALLOWED}",
        "policy lots.tenant is not what the migrations made: t * everybody true",
    ),
    "a policy for another role": (
        "ALTER POLICY sign_in ON users TO PUBLIC",
        "ALTER POLICY sign_in ON users TO {owner}",
        "policy users.sign_in is not what the migrations made: t r everybody true",
    ),
    "a check that lets everything pass": (
        CHECK.format(POSITIVE, "true"),
        CHECK.format(POSITIVE, "quantity_units >= 0"),
        f"constraint stock_lots.{POSITIVE} is not what the migrations made: CHECK (true)",
    ),
    "a unique index on more columns": (
        f"DROP INDEX uq_administration_dose; {DOSE.format('order_id, dose_number, id')}",
        f"DROP INDEX uq_administration_dose; {DOSE.format('order_id, dose_number')}",
        "unique index medication_administrations.uq_administration_dose is not what the migrations made",
    ),
    "a column that may be empty": (
        "ALTER TABLE stock_movements ALTER units DROP NOT NULL",
        "ALTER TABLE stock_movements ALTER units SET NOT NULL",
        "table stock_movements is not what the migrations made",
    ),
    "a right to delete from the ledger": (
        "GRANT DELETE ON stock_movements TO {role}",
        "REVOKE DELETE ON stock_movements FROM {role}",
        "rights to write stock_movements is not what the migrations made: DELETE, INSERT",
    ),
    "a right to change a column of the trail": (
        "GRANT UPDATE (after) ON audit_events TO {role}",
        "REVOKE UPDATE (after) ON audit_events FROM {role}",
        "rights to write audit_events is not what the migrations made: UPDATE",
    ),
    "a table of another owner": (
        "ALTER TABLE lots OWNER TO {superuser}",
        "ALTER TABLE lots OWNER TO {owner}",
        "lots belongs to {superuser}",
    ),
}


def test_guards_txt_says_what_the_migrations_make(config: Config, tmp_path: Path) -> None:
    """A migration that makes or changes a guard changes guards.txt. Read the difference before you copy the file."""
    with owner_of(config) as owner:
        ask(owner, "SET search_path = public")
        made = "".join("\t".join(row) + "\n" for row in sorted(ask(owner, TEXTS)))
    written = tmp_path / "guards.txt"
    written.write_text(made)
    assert FROZEN.read_text() == made, f"diff {written} {FROZEN}; then cp {written} {FROZEN}"


@contextmanager
def changed(house: House, act: str, undo: str) -> Iterator[None]:
    """The schema as `act` leaves it. `undo` may be the name of a function, which then becomes what it was."""
    if " " not in undo:
        ((undo,),) = house.ask("SELECT pg_get_functiondef(%s::regproc)", undo)
    house.ask(act)
    try:
        yield
    finally:
        house.ask(undo)


@pytest.mark.parametrize("name", CHANGES)
def test_a_guard_that_was_changed_is_found(house: House, name: str) -> None:
    needs_superuser(house.superuser)
    url = normalised_url(house.config.database_url)
    here = {"role": house.config.application_role, "owner": url.username, "superuser": house.one("SELECT current_user")}
    act, undo, named = (text.format(**here) if "$$" not in text else text for text in CHANGES[name])
    with changed(house, act, undo):
        found = {finding.invariant.title: finding.rows for finding in verify_schema(url, Base.metadata)}
    assert [row for row in found[TITLE] if named in row] != [], found[TITLE]
    assert len(found[TITLE]) == 1
    assert [finding.rows for finding in verify_schema(url, Base.metadata)] == [[], []]


def test_verify_compares_the_guards_too(house: House) -> None:
    needs_superuser(house.superuser)
    with changed(house, GUTTED, "record_change"):
        assert house.broken() == {TITLE: ["function record_change() is not what the migrations made"]}


def test_guards_of_a_later_release_are_that_release_s_to_compare(fresh_config: Config) -> None:
    """Its tables and functions are other ones; what every release has is looked for all the same."""
    url = normalised_url(fresh_config.database_url)
    with owner_of(fresh_config) as owner:
        ask(owner, EMPTY)
        assert [finding.broken for finding in verify_schema(url, Base.metadata)] == [0, 1]
        ask(owner, "UPDATE alembic_version SET version_num = %s", f"{int(migrate.newest()) + 1:04d}")
    assert [finding.invariant.title for finding in verify(url, Base.metadata)] == [GUARDS.title]
