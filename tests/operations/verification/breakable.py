"""A database that a test may break by hand, and that is whole again afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2.extensions

from backend.config import Config
from backend.db.engine import normalised_url
from backend.domain.models import Base
from backend.operations.verification.verify import Finding, verify
from tests.hospital import Hospital
from tests.migrations.catalogue import ask, needs_superuser


@dataclass(frozen=True)
class House:
    """A database of its own with two hospitals at work, and a superuser who may break what belongs to the first."""

    config: Config
    hospital: Hospital
    other: Hospital
    superuser: psycopg2.extensions.connection

    def findings(self) -> list[Finding]:
        """Everything that `verify` says."""
        return verify(normalised_url(self.config.database_url), Base.metadata)

    def broken(self) -> dict[str, list[str]]:
        """The rows by the rule that they break; only the first hospital and the schema may break one."""
        found = [finding for finding in self.findings() if finding.broken]
        assert {finding.organization for finding in found} <= {"", self.hospital.slug}
        assert [finding.broken for finding in found] == [len(finding.rows) for finding in found]
        return {finding.invariant.title: finding.rows for finding in found}

    def ask(self, query: str, *values: object) -> list[tuple]:
        """Rows of the first hospital, as the superuser sees them."""
        return ask(self.superuser, query.replace("$org", f"'{self.hospital.organization_id}'"), *values)

    def one(self, query: str) -> str:
        """The one value of the first row."""
        return str(self.ask(query)[0][0])


@contextmanager
def breaking(house: House, *tables: str) -> Iterator[None]:
    """Triggers and foreign keys rest; afterwards `tables` are what they were."""
    needs_superuser(house.superuser)
    columns = {
        table: ", ".join(column.name for column in Base.metadata.tables[table].columns if column.computed is None)
        for table in tables
    }
    house.ask("SET session_replication_role = replica")
    for table in tables:
        house.ask(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}")
    try:
        yield
    finally:
        for table in tables:
            house.ask(f"DELETE FROM {table}")
            house.ask(
                f"INSERT INTO {table} ({columns[table]}) OVERRIDING SYSTEM VALUE"
                f" SELECT {columns[table]} FROM kept_{table}"
            )
            house.ask(f"DROP TABLE kept_{table}")
        house.ask("RESET session_replication_role")
