"""Claims from a file: staged on disk while they are checked, then one COPY and one statement.

Decision: a file is one transaction. Because then importing it again after a lost connection is safe, and a claim that
it names twice is seen wherever its lines stand. Cost: the claims of a file appear together, at its end.

Decision: the checked rows wait in a temporary file, not in memory and not in an open transaction. Because a transaction
may run again and must read them again, a million rows are a hundred megabytes, and checking takes longer than any
session may idle. Cost: a temporary folder with room for the file.

Decision: after many rows the planner's statistics are refreshed at once. Because of a hospital that they do not know
it expects no claims at all, and a run right after its first million took the wrong index and ten minutes. Cost: a
function of the owner's, since only the owner may, and half a second.

COPY FROM refuses a table with row-level security, so the rows go into a temporary table, which ends with its
transaction, and from there by a statement that every policy and check sees.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from uuid import UUID, uuid5

from sqlalchemy import text

from backend.actor import Actor
from backend.db import Session, new_id, report_lane_of

COLUMNS = ("claim_id", "payer", "cpt", "cpt_group", "submitted_date", "decided_date", "outcome")
REJECTIONS_TOLD_MAX = 1_000
ANALYZED_FROM = 1_000  # new rows


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line of a file and what is wrong with it, each as pointer and detail."""

    line: int
    errors: Sequence[dict[str, str]]


class ClaimFile:
    """The rows of a file that are right, on disk, and what was wrong with the others; `str` is its SHA-256.

    Of the rows that are wrong the first REJECTIONS_TOLD_MAX after the line `told_after` are told.
    """

    def __init__(self, *, told_after: int = 0) -> None:
        self.told_after = told_after
        self.rows: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the request
        self.accepted = 0
        self.rejected = 0
        self.rejections: list[Rejection] = []
        self._digest = hashlib.sha256()

    def __str__(self) -> str:
        return self._digest.hexdigest()

    def saw(self, raw: bytes) -> None:
        """The file goes on with `raw`."""
        self._digest.update(raw)

    def accept(self, line: int, claim: dict[str, Any]) -> None:
        """A row that is right, at `line` of the file; its texts hold no control characters."""
        values = (line, new_id(), *(claim[name] for name in COLUMNS))
        self.rows.write("\t".join(map(_copied, values)).encode() + b"\n")
        self.accepted += 1

    def reject(self, line: int, errors: Sequence[dict[str, str]]) -> None:
        """A row that is wrong; one more is kept than is told, so that it is known whether there are more."""
        self.rejected += 1
        if line > self.told_after and len(self.rejections) <= REJECTIONS_TOLD_MAX:
            self.rejections.append(Rejection(line, errors))

    def close(self) -> None:
        """Gives the disk back."""
        self.rows.close()


def _copied(value: object) -> str:
    """One value in COPY's text format."""
    return "\\N" if value is None else str(value).replace("\\", "\\\\")


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file's lines: `accepted` are those that were new, changed or known as they are.

    `next_after_line` is the line after which further rejections come than `rejections` tells, None where none does.
    """

    accepted: int
    created: int
    changed: int
    unchanged: int
    rejected: int
    rejections: Sequence[Rejection] = field(default_factory=list)
    next_after_line: int | None = None


_STAGE = """CREATE TEMPORARY TABLE staged_claims (line integer, id uuid, claim_id text COLLATE "C", payer text,
  cpt text, cpt_group text, submitted_date date, decided_date date, outcome claim_outcome) ON COMMIT DROP"""
_COPY = f"COPY staged_claims (line, id, {', '.join(COLUMNS)}) FROM STDIN"
_REPEATED = """SELECT line, first_line, repeated FROM (
    SELECT line, first_line, count(*) OVER () AS repeated FROM (
      SELECT line, first_value(line) OVER (PARTITION BY claim_id ORDER BY line) AS first_line FROM staged_claims) s
    WHERE line > first_line) r
  ORDER BY line <= :told_after, line LIMIT :told + 1"""
_VALUES = ", ".join(f"s.{name}" for name in COLUMNS[1:])
_KNOWN = ", ".join(f"c.{name}" for name in COLUMNS[1:])
_INSERT = f"""WITH inserted AS (
    INSERT INTO claim_records (organization_id, id, revision, {", ".join(COLUMNS)}, imported_by_id, imported_at)
    SELECT :organization_id, s.id, coalesce(c.revision, 0) + 1, s.claim_id, {_VALUES}, :imported_by_id, :now
    FROM (SELECT DISTINCT ON (claim_id) * FROM staged_claims ORDER BY claim_id, line) s
    LEFT JOIN LATERAL (SELECT * FROM claim_records known WHERE known.organization_id = :organization_id
      AND known.claim_id = s.claim_id ORDER BY known.revision DESC LIMIT 1) c ON true
    WHERE c.id IS NULL OR ({_VALUES}) IS DISTINCT FROM ({_KNOWN})
    RETURNING revision)
  SELECT count(*) FILTER (WHERE revision = 1) AS created, count(*) FILTER (WHERE revision > 1) AS changed
  FROM inserted"""  # noqa: S608 - constants


def import_lane(organization_id: UUID) -> int:
    """The lane of a hospital's imports, to be taken before the first statement.

    Of three files at once that change one claim, the third would collide on its revision for the second time, and
    `transact` runs a duplicate once again only. The lane is not that of its drift runs, which need not wait for a file.
    """
    return report_lane_of(uuid5(organization_id, "claims"))


def import_claims(session: Session, *, actor: Actor, file: ClaimFile, now: datetime) -> Imported:
    """Records every accepted row of `file` that says something new of its claim.

    A claim that the file names twice counts with its first line; the others are rejected. The caller has taken the
    `import_lane`; two imports of one claim that did not would collide on its revision.
    """
    organization_id: UUID = actor.organization_id
    session.execute(text(_STAGE))
    file.rows.seek(0)
    session.copy(_COPY, file.rows)
    asked = {"told": REJECTIONS_TOLD_MAX, "told_after": file.told_after}
    repeated = session.execute(text(_REPEATED), asked).all()
    count: int = repeated[0].repeated if repeated else 0
    again = [Rejection(row.line, _repeat(row.first_line)) for row in repeated if row.line > file.told_after]
    rejections = sorted([*file.rejections, *again], key=lambda rejection: rejection.line)
    told = rejections[:REJECTIONS_TOLD_MAX]
    values = {"organization_id": organization_id, "imported_by_id": actor.user_id, "now": now}
    written = session.execute(text(_INSERT), values).one()
    if written.created + written.changed >= ANALYZED_FROM:
        session.execute(text("SELECT analyze_claims()"))
    accepted = file.accepted - count
    return Imported(
        accepted=accepted,
        created=written.created,
        changed=written.changed,
        unchanged=accepted - written.created - written.changed,
        rejected=file.rejected + count,
        rejections=told,
        next_after_line=told[-1].line if len(rejections) > len(told) else None,
    )


def _repeat(first_line: int) -> list[dict[str, str]]:
    return [{"pointer": "/claim_id", "detail": f"line {first_line} names this claim"}]
