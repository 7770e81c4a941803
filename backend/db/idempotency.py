"""Idempotency: one key, one change, one answer, however often the request arrives.

The row is written in the transaction of the change, so it is there exactly when the change is. That alone makes it
safe to run a request again whose COMMIT got no answer. A refused request rolls back and leaves its key free.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import LargeBinary, PrimaryKeyConstraint, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, belongs_to, of_organization
from backend.db.prepared import Prepared
from backend.db.session import Session
from backend.errors import Invalid


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key was used before for another request. Send each new request with a new key."""


class IdempotencyRecord(Base):
    """The stored answer of one key. Insert-only; old rows leave by `valmed archive`."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "key"),
        of_organization(),
        belongs_to("users", "user_id"),
    )

    organization_id: Mapped[UUID]
    key: Mapped[str]
    user_id: Mapped[UUID | None]
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's key, or one made for the request, and the SHA-256 of who asks for what."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets: a status and the JSON body, byte for byte the same at every replay."""

    status: int
    body: bytes
    replayed: bool = False
    etag: str | None = None  # of a read: the version of what the body shows
    following: str | None = None  # of a part of a list as CSV: the cursor of the rest


def replayed(key: IdempotencyKey, fingerprint: bytes, status: int, body: bytes) -> Answer:
    """The stored answer. Raises IdempotencyKeyReused when it belongs to another request."""
    if bytes(fingerprint) != key.fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key was used for another request.")
    return Answer(status, bytes(body), replayed=True)


_FIND = Prepared(
    "find_answer",
    """SELECT fingerprint, status, answer FROM idempotency_keys
    WHERE organization_id = :organization_id::uuid AND key = :key::text""",
)
_STORE = Prepared(
    "store_answer",
    """INSERT INTO idempotency_keys (organization_id, key, user_id, fingerprint, status, answer)
    VALUES (:organization_id::uuid, :key::text, :user_id::uuid, :fingerprint::bytea, :status::smallint,
      :answer::bytea)""",
)


def find_answer(session: Session, *, organization_id: UUID, key: IdempotencyKey) -> Answer | None:
    """The answer stored under `key`, or None. Raises IdempotencyKeyReused."""
    rows = session.run(_FIND, organization_id=organization_id, key=key.key)
    return replayed(key, *rows[0]) if rows else None


def store_answer(
    session: Session, *, organization_id: UUID, user_id: UUID | None, key: IdempotencyKey, answer: Answer
) -> None:
    """Stores `answer` under `key` in the caller's transaction."""
    session.run(
        _STORE,
        organization_id=organization_id,
        key=key.key,
        user_id=user_id,
        fingerprint=key.fingerprint,
        status=answer.status,
        answer=answer.body,
    )
