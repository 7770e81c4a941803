"""Whether what was sealed is still so: every seal and every sealed row read again and compared.

`check` reads one organization in the caller's transaction, seal by seal, and holds one seal at a time. What it finds:

- a seal that is missing, was altered, or does not follow the one before it;
- a sealed row that was altered or is missing; a row that was given another number is both missing and inserted;
- a row that was inserted below the floor (sealing.py), where no transaction can have written it any more;
- against exported seals: a seal that is not the exported one, in a chain that was made anew and agrees with itself, and
  a tail that is missing. Without them a whole chain that was rewritten, or cut at its end, cannot be told: who owns the
  tables can make both. So keep exported seals where that person cannot write.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text

from backend.domain.audit.chain import BEGINNING, Seal, stored
from backend.domain.audit.models import AuditSeal
from backend.domain.audit.rendering import BY_VERSION, NEWEST, Form
from backend.domain.audit.sealing import Floor, floors_of, not_sealed

FETCHED_SEALS = 10
LAST = 2**63 - 1
FINDINGS_MAX = 20  # of an organization; the first is what matters

Kept = Iterator[tuple[Seal, bytes]]


@dataclass(slots=True)
class Checked:
    """What is wrong, first things first, and how much was looked at."""

    findings: list[str] = field(default_factory=list)
    seals: int = 0
    rows: int = 0
    unsealed: int = 0
    since: datetime | None = None  # when the oldest row was written that is in no seal
    findings_max: int | None = FINDINGS_MAX  # after which the check stops; None to look at everything

    @property
    def is_full(self) -> bool:
        """Whether enough was found to stop."""
        return self.findings_max is not None and len(self.findings) >= self.findings_max


def check(
    connection: Connection, *, organization_id: UUID, kept: Kept, findings_max: int | None = FINDINGS_MAX
) -> Checked:
    """What the organization's chain and rows look like; `kept` are its seals as they were exported, in their order.

    `connection` is in a REPEATABLE READ transaction of the tenant. The check stops where it has found `findings_max`
    faults, and looks at everything where that is None. Raises SealsUnreadable.
    """
    checked = Checked(findings_max=findings_max)
    counted = dict.fromkeys(NEWEST, 0)
    floors = floors_of(connection, organization_id)
    previous, number = BEGINNING, 0
    for seal, found in _seals(connection, organization_id):
        for missing in range(number + 1, seal.number):
            next(kept, None)
            checked.findings.append(f"seal {missing} is missing")
        if seal.number == number + 1 and seal.previous != previous:
            checked.findings.append(f"seal {seal.number} does not follow seal {number}")
        if seal.hash() != found:
            checked.findings.append(f"seal {seal.number} was altered")
        _check_kept(checked, seal, found, next(kept, None))
        _check_rows(connection, checked, seal, floors, counted)
        previous, number = found, seal.number
        checked.seals += 1
        if checked.is_full:
            return checked
    checked.findings += [f"seal {seal.number} is missing, the last ones are cut off" for seal, _ in kept]
    for form in NEWEST.values():
        if number == checked.seals:  # else rows of the missing seals would seem inserted
            _look_below(connection, checked, form, floors[form.table], counted[form.table], organization_id)
        _look_above(connection, checked, form, floors[form.table], organization_id)
    return checked


def _seals(connection: Connection, organization_id: UUID) -> Iterator[tuple[Seal, bytes]]:
    chain = select(AuditSeal).where(AuditSeal.organization_id == organization_id).order_by(AuditSeal.id)
    columns = chain.with_only_columns(*AuditSeal.__table__.c)
    # An option of this statement, not of the connection: there it would stay, and SET cannot be fetched by a cursor.
    for row in connection.execute(columns, execution_options={"yield_per": FETCHED_SEALS}):
        yield stored(row)


def _check_kept(checked: Checked, seal: Seal, found: bytes, exported: tuple[Seal, bytes] | None) -> None:
    """The seal is the one that was exported under its number."""
    if exported is None or exported[1] == found:
        return
    was = exported[0]
    differs = (then or now for now, then in zip_longest(seal.rows, was.rows) if now != then)
    first = next((f", first at {was.table} {row_id}" for row_id, _ in differs), "")
    checked.findings.append(f"seal {seal.number} is not the exported one{first}")


def _check_rows(
    connection: Connection, checked: Checked, seal: Seal, floors: dict[str, Floor], counted: dict[str, int]
) -> None:
    """Each row of the seal is there and has its hash."""
    form = BY_VERSION.get((seal.table, seal.form))
    if form is None:
        checked.findings.append(f"seal {seal.number} is of a form that this release does not know")
        return
    there = _hashes(connection, form, seal)
    for row_id, row_hash in seal.rows:
        row = there.get(row_id)
        if row is None:
            checked.findings.append(f"{seal.table} {row_id} is missing (seal {seal.number})")
            continue
        if bytes(row.hash) != row_hash:
            checked.findings.append(f"{seal.table} {row_id} was altered (seal {seal.number})")
        if row.number <= floors[seal.table].through:
            counted[seal.table] += 1
        checked.rows += 1


def _hashes(connection: Connection, form: Form, seal: Seal) -> dict[str, Row[Any]]:
    query = text(
        f"SELECT id::text AS row_id, {form.number} AS number, {form.hash} AS hash FROM {form.table}"
        f" WHERE organization_id = :organization AND id = ANY(CAST(:ids AS {form.key}[]))"
    )
    asked = {"organization": seal.organization, "ids": [row_id for row_id, _ in seal.rows]}
    return {row.row_id: row for row in connection.execute(query, asked)}


def _look_below(
    connection: Connection, checked: Checked, form: Form, floor: Floor, counted: int, organization_id: UUID
) -> None:
    """Rows at or below the floor are all in seals; they are looked for one by one only where there are others."""
    if not floor.through:
        return
    below = f"FROM {form.table} WHERE organization_id = :organization AND {form.number} <= :through"
    asked = {"organization": organization_id, "through": floor.through, "table": form.table, "seal": 0}
    if connection.execute(text(f"SELECT count(*) {below}"), asked).scalar_one() == counted:
        return
    inserted = text(
        f"SELECT id::text AS row_id {below} AND {not_sealed(str(floor.seal))} ORDER BY {form.number} LIMIT :most"
    )
    for row_id in connection.execute(inserted, {**asked, "most": checked.findings_max}).scalars():
        checked.findings.append(f"{form.table} {row_id} was inserted after the rows around it were sealed")


def _look_above(connection: Connection, checked: Checked, form: Form, floor: Floor, organization_id: UUID) -> None:
    """Counts what is in no seal yet; without a floor also rows that are older than numbers."""
    above = f"{form.number} {'>' if floor.through else '>='} :through"
    unsealed = text(
        f"SELECT count(*) AS rows, min({form.since}) AS since FROM {form.table}"
        f" WHERE organization_id = :organization AND {above} AND {not_sealed(str(LAST))}"
    )
    asked = {"organization": organization_id, "table": form.table, "through": floor.through, "seal": floor.seal}
    found = connection.execute(unsealed, asked).one()
    if found.rows:
        checked.unsealed += found.rows
        checked.since = min(checked.since or found.since, found.since)
