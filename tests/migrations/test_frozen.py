"""What a released migration does is frozen: frozen.txt has a SHA-256 of the SQL of each, up and down.

A version file calls backend/db/ddl.py, so that a change there would otherwise change what was released: a hospital that
begins today would get another database than one that migrated last year. Change ddl.py by a new function.

The hash is that of the script of `alembic upgrade --sql` and `alembic downgrade --sql`, whatever its white space. What
a migration does only on a connection (to look for an invalid index, to try again) is not in it.
"""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command, op

from backend.db import ddl, migrate
from tests.migrations.test_migrations import NOWHERE, REVISIONS

FROZEN = Path(__file__).with_name("frozen.txt")


def hash_of(revision: str) -> str:
    """Hash what the migration to `revision` does, and what takes it back."""
    before = REVISIONS[REVISIONS.index(revision) - 1] if revision != REVISIONS[0] else "base"
    script = _printed(command.upgrade, f"{before}:{revision}") + _printed(command.downgrade, f"{revision}:{before}")
    return hashlib.sha256(" ".join(script.split()).encode()).hexdigest()


def _printed(run: Callable[..., None], revisions: str) -> str:
    settings = migrate.script_config(NOWHERE)
    settings.output_buffer = io.StringIO()
    run(settings, revisions, sql=True)
    return settings.output_buffer.getvalue()


def frozen() -> dict[str, str]:
    """Read the hash of each revision that is in the list."""
    return dict(line.split() for line in FROZEN.read_text().splitlines())


def test_every_migration_does_what_it_did_when_it_was_released() -> None:
    """Add the hash of a new migration: `python -m tests.migrations.test_frozen >> tests/migrations/frozen.txt`."""
    assert {revision: hash_of(revision) for revision in REVISIONS} == frozen()


@pytest.mark.parametrize("function", ["protect", "audit", "append_only", "create_function", "create_indexes"])
def test_another_meaning_of_what_migrations_call_is_seen(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    meant = getattr(ddl, function)

    def mean_more(*given: object, **named: object) -> None:
        meant(*given, **named)
        op.execute("SELECT 1")

    monkeypatch.setattr(ddl, function, mean_more)
    assert {revision for revision in REVISIONS if hash_of(revision) != frozen()[revision]} != set()


if __name__ == "__main__":
    for new in REVISIONS:
        if new not in frozen():
            print(new, hash_of(new))  # noqa: T201 - the list's next line
