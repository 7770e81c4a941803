"""The arithmetic of a chain of seals, which needs no database: a few lines of any language do it.

A seal's text is one line each for

    organization, number, table, form, sealed_at, through, transaction, horizon, previous

and for each of its rows, in order, `<row id> <row hash>`. Every line ends with a newline; ids are as PostgreSQL prints
them, hashes are lower-case hex, `sealed_at` is UTC with microseconds. Its hash is the SHA-256 of that text. `previous`
is the hash of the seal before it; for the first, 64 zeros. Numbers rise by one from 1. An exported chain is a file of
JSON lines with the same names, and `rows` and `hash`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from backend.errors import Invalid

BEGINNING = bytes(32)
HASH_BYTES = 32


class SealsUnreadable(Invalid):
    """A file of exported seals is none, or was altered."""


@dataclass(frozen=True, slots=True)
class Seal:
    """One link. `rows` are (id, hash), all of one table."""

    organization: UUID
    number: int
    table: str
    form: int
    sealed_at: datetime
    through: int
    transaction: int
    horizon: int
    previous: bytes
    rows: list[tuple[str, bytes]]

    def hash(self) -> bytes:
        """The SHA-256 of the seal's text."""
        head = [getattr(self, field.name) for field in fields(self)[:-1]]
        lines = [_line(value) for value in head] + [f"{row} {found.hex()}" for row, found in self.rows]
        return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).digest()


def stored(row: Row[Any]) -> tuple[Seal, bytes]:
    """The seal in a row of audit_seals, and the hash that is stored with it."""
    found = bytes(row.row_hashes)
    hashes = [found[place : place + HASH_BYTES] for place in range(0, len(found), HASH_BYTES)]
    seal = Seal(
        organization=row.organization_id,
        number=row.id,
        table=row.table_name,
        form=row.form,
        sealed_at=row.sealed_at,
        through=row.through,
        transaction=row.transaction_id,
        horizon=row.horizon,
        previous=bytes(row.previous_hash),
        rows=list(zip(row.row_ids, hashes, strict=False)),
    )
    return seal, bytes(row.hash)


def exported(seal: Seal, found: bytes) -> str:
    """The JSON line of a seal with the hash `found`."""
    head = {field.name: getattr(seal, field.name) for field in fields(seal)[:-1]}
    told = {name: value if isinstance(value, int) else _line(value) for name, value in head.items()}
    rows = [[row, row_hash.hex()] for row, row_hash in seal.rows]
    return json.dumps({**told, "rows": rows, "hash": found.hex()}, separators=(",", ":"))


def imported(lines: Iterable[str]) -> Iterator[tuple[Seal, bytes]]:
    """The seals of exported lines with their hashes. Raises SealsUnreadable unless they are a chain from its first."""
    previous = BEGINNING
    for number, line in enumerate(lines, start=1):
        seal, found = _read(number, line)
        if (seal.number, seal.previous, seal.hash()) != (number, previous, found):
            raise SealsUnreadable(f"Line {number} is not the seal after the line before it.")
        yield seal, found
        previous = found


def _read(number: int, line: str) -> tuple[Seal, bytes]:
    try:
        told = json.loads(line)
        seal = Seal(
            organization=UUID(told["organization"]),
            number=int(told["number"]),
            table=str(told["table"]),
            form=int(told["form"]),
            sealed_at=datetime.fromisoformat(told["sealed_at"]).astimezone(UTC),
            through=int(told["through"]),
            transaction=int(told["transaction"]),
            horizon=int(told["horizon"]),
            previous=bytes.fromhex(told["previous"]),
            rows=[(str(row), bytes.fromhex(row_hash)) for row, row_hash in told["rows"]],
        )
        return seal, bytes.fromhex(told["hash"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise SealsUnreadable(f"Line {number} is not a seal.") from None


def _line(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.hex() if isinstance(value, bytes) else str(value)
