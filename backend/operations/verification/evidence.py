"""The check of every hospital's seals, as the owner of the tables, in one REPEATABLE READ, READ ONLY transaction."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import create_engine, pool, text
from sqlalchemy.engine.url import URL

from backend.domain.audit.chain import Seal, imported
from backend.domain.audit.checking import FINDINGS_MAX, Checked, check
from backend.errors import Invalid


class OtherOrganization(Invalid):
    """The exported seals belong to none of the organizations that are checked."""


def check_seals(
    url: URL, *, organization: str = "", seals: Path | None = None, findings_max: int | None = FINDINGS_MAX
) -> Iterator[tuple[str, Checked]]:
    """The slug of each organization, or of the one that is named, and what its check found.

    `seals` is a file that `valmed audit export` wrote. Each check stops at `findings_max` faults, or never where
    that is None. Raises SealsUnreadable, OtherOrganization, OSError.
    """
    first = next(_kept(seals), None) if seals else None
    kept_for = first[0].organization if first else None
    engine = create_engine(url, poolclass=pool.NullPool, isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        hospitals = connection.execute(
            text("SELECT id, slug FROM organizations WHERE :only IN ('', slug) ORDER BY slug"), {"only": organization}
        ).all()
        if hospitals and first and kept_for not in {found.id for found in hospitals}:
            raise OtherOrganization()
        for found in hospitals:
            connection.execute(text(f"SET LOCAL app.organization_id = '{found.id}'"))
            kept = _kept(seals) if seals and found.id == kept_for else iter(())
            yield found.slug, check(connection, organization_id=found.id, kept=kept, findings_max=findings_max)


def _kept(seals: Path) -> Iterator[tuple[Seal, bytes]]:
    with seals.open(encoding="utf-8", errors="replace") as lines:  # what is no text is no seal either
        yield from imported(lines)
