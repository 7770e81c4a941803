"""The proof that anyone can run: every invariant, on every hospital of a database, as its owner, reading only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, MetaData, create_engine, pool, text
from sqlalchemy.engine.url import URL

from backend.db import migrate
from backend.operations.verification import Invariant
from backend.operations.verification.changes import changes_of
from backend.operations.verification.guards import guard_texts, guards
from backend.operations.verification.invariants import INVARIANTS, references

ROWS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one invariant found: the hospital, empty for the schema, and the rows that break it."""

    organization: str
    invariant: Invariant
    broken: int
    rows: list[str]


def verify(
    url: URL,
    metadata: MetaData,
    *,
    organization: str = "",
    snapshot: str = "",
    report: Callable[[Finding], None] = lambda finding: None,
    rows_max: int | None = ROWS_SHOWN_MAX,
) -> list[Finding]:
    """Every invariant on the database at `url`, which signs in as the owner; `metadata` names its foreign keys.

    `organization` is the slug of the only hospital to look at; of an unknown one the guards of the schema alone are
    found. `snapshot` is one that another transaction has exported and still holds. Of what breaks an invariant,
    `rows_max` rows are named, or all where it is None.
    """
    every = (*INVARIANTS, changes_of(metadata), *references(metadata))
    schema = _of_schema(url, metadata)
    asked: dict[str, str] = {"organization": organization, "snapshot": snapshot}
    return prove(url, schema, every, report=report, rows_max=rows_max, **asked)


def verify_schema(url: URL, metadata: MetaData) -> list[Finding]:
    """Every invariant of the schema alone, on the database at `url`, which signs in as the owner."""
    return prove(url, _of_schema(url, metadata), [])


def _of_schema(url: URL, metadata: MetaData) -> list[Invariant]:
    """The invariants of the schema. Where a later release has migrated the database, the texts of its guards are that
    release's to compare."""
    revision = migrate.revision_at(url)
    is_later = revision is not None and migrate.is_newer(revision)
    return [guards(metadata)] if is_later else [guards(metadata), guard_texts()]


def prove(
    url: URL,
    schema: Sequence[Invariant],
    of_hospital: Sequence[Invariant],
    *,
    organization: str = "",
    snapshot: str = "",
    report: Callable[[Finding], None] = lambda finding: None,
    rows_max: int | None = ROWS_SHOWN_MAX,
) -> list[Finding]:
    """What these invariants find, `rows_max` rows each at most; the rest as for `verify`.

    One REPEATABLE READ, READ ONLY transaction, so that a database under load is seen at one moment.
    """
    engine = create_engine(url, poolclass=pool.NullPool, isolation_level="REPEATABLE READ")
    findings = []
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        if snapshot:
            connection.execute(text(f"SET TRANSACTION SNAPSHOT '{snapshot}'"))
        connection.execute(text("SET LOCAL search_path = public"))  # PostgreSQL spells the names in guards by it
        connection.execute(text("SET LOCAL jit = off"))  # to compile so many queries takes longer than to run them
        for slug, organization_id, invariant in _asked(connection, schema, of_hospital, organization):
            finding = _check(connection, slug, organization_id, invariant, rows_max)
            report(finding)
            findings.append(finding)
    return findings


def _asked(
    connection: Connection, schema: Sequence[Invariant], of_hospital: Sequence[Invariant], organization: str
) -> Iterator[tuple[str, UUID | None, Invariant]]:
    for invariant in schema:
        yield "", None, invariant
    hospitals = connection.execute(
        text("SELECT id, slug FROM organizations WHERE :only IN ('', slug) ORDER BY slug"), {"only": organization}
    ).all()
    for organization_id, slug in hospitals:
        connection.execute(text(f"SET LOCAL app.organization_id = '{organization_id}'"))
        for invariant in of_hospital:
            yield slug, organization_id, invariant


def _check(
    connection: Connection, slug: str, organization_id: UUID | None, invariant: Invariant, rows_max: int | None
) -> Finding:
    query = invariant.query.replace("$organization", ":organization")
    found = connection.execute(
        text(f"SELECT what, count(*) OVER () FROM ({query}) AS broken (what) LIMIT :rows_max"),
        {"rows_max": rows_max, **({"organization": organization_id} if organization_id else {})},
    ).all()
    return Finding(slug, invariant, found[0][1] if found else 0, [row[0] for row in found])
