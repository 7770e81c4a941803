"""A hospital whose rows are sealed, and somebody who owns the tables and changes them all the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2.extensions

from backend.audit.checking import Checked
from backend.audit.export import export_seals
from backend.audit.rendering import NEWEST
from backend.audit.sealing import Sealed, floors_of, seal_hospital
from backend.config import Config
from backend.db.engine import normalised_url
from backend.reports.evidence import check_seals
from tests.hospital import Hospital
from tests.waiting import wait_until


@dataclass(frozen=True)
class Evidence:
    """The hospital's seals, and its tables in the hands of their owner."""

    hospital: Hospital
    config: Config
    owner: psycopg2.extensions.connection

    def seal(self) -> Sealed:
        """Seals what is new."""
        return seal_hospital(self.hospital.database, organization_id=self.hospital.organization_id)

    def settle(self) -> None:
        """Seals until what is there lies below the floors: at once, unless somebody else's transaction is open."""
        there = {table: self._last(table) for table in NEWEST}
        wait_until(lambda: self._is_below_the_floors(there))

    def _last(self, table: str) -> int:
        ((last,),) = self.hospital.rows(f"SELECT coalesce(max({NEWEST[table].number}), 0) FROM {table}")
        return int(last)

    def _is_below_the_floors(self, there: dict[str, int]) -> bool:
        organization_id = self.hospital.organization_id
        self.seal()
        floors = self.hospital.run(lambda session: floors_of(session, organization_id))
        if all(floors[table].through >= last for table, last in there.items()):
            return True
        self.hospital.add_ward()
        return False

    def check(self, seals: Path | None = None, **settings: str) -> Checked:
        """What the check of this hospital finds, in a session with `settings`."""
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        url = normalised_url(self.config.database_url).update_query_dict({"options": options} if options else {})
        ((slug, checked),) = check_seals(url, organization=self.hospital.slug, seals=seals)
        assert slug == self.hospital.slug
        return checked

    def findings(self, seals: Path | None = None) -> list[str]:
        """What is wrong."""
        return self.check(seals).findings

    def export(self, file: Path) -> Path:
        """The seals as they are now, in `file`."""
        lines = export_seals(self.hospital.database, organization_id=self.hospital.organization_id)
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    @contextmanager
    def unguarded(self, table: str) -> Iterator[psycopg2.extensions.cursor]:
        """The owner takes the guards of `table` away, does what it does, and puts them back."""
        with self.owner.cursor() as cursor:
            cursor.execute(f"BEGIN; SET LOCAL app.organization_id = '{self.hospital.organization_id}'")
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield cursor
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            cursor.execute("COMMIT")

    def tamper(self, table: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Runs one statement on `table` without its guards."""
        with self.unguarded(table) as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def ids(self, table: str) -> list[str]:
        """The ids of the rows of `table` by number."""
        rows = self.hospital.rows(f"SELECT id::text AS row_id FROM {table} ORDER BY {NEWEST[table].number}")
        return [row[0] for row in rows]

    def seals_of(self, table: str) -> list[tuple[int, list[str]]]:
        """Number and rows of each seal of `table`."""
        rows = self.hospital.rows("SELECT id, row_ids FROM audit_seals WHERE table_name = :p1 ORDER BY id", table)
        return [(row[0], row[1]) for row in rows]
