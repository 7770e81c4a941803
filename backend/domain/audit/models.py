"""The audit trail: one row per changed row of every table that is not append-only, and its seals."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, of_organization


class AuditEvent(Base):
    """One change: the row before and after it, the user, the request, the transaction. Insert-only."""

    __tablename__ = "audit_events"
    __table_args__ = (
        of_organization(),
        Index("ix_audit_events_row", "organization_id", "table_name", "row_id", "id"),
        Index("ix_audit_events_actor", "organization_id", "actor_id", "id"),
        Index("ix_audit_events_time", "organization_id", "occurred_at"),
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    table_name: Mapped[str]
    row_id: Mapped[UUID]
    operation: Mapped[str]
    actor_id: Mapped[UUID | None]
    request_id: Mapped[str | None]
    transaction_id: Mapped[int] = mapped_column(BigInteger)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class AuditSeal(Base):
    """What rows of one table were when they were sealed: the next link of their organization's chain. Insert-only.

    `id` counts the links from 1. `form` says how a row is rendered (rendering.py), chain.py what `hash` is the hash of,
    sealing.py what `through`, `transaction_id` and `horizon` are for. `row_hashes` has 32 bytes for each of `row_ids`.
    """

    __tablename__ = "audit_seals"
    __table_args__ = (
        of_organization(),
        CheckConstraint("id > 0 AND through >= 0", name="numbers"),
        CheckConstraint(
            "cardinality(row_ids) > 0 AND octet_length(row_hashes) = 32 * cardinality(row_ids)",
            name="a_hash_for_each_row",
        ),
        CheckConstraint("octet_length(previous_hash) = 32 AND octet_length(hash) = 32", name="sha256"),
        Index("ix_audit_seals_table_name", "organization_id", "table_name", "id"),
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    table_name: Mapped[str]
    form: Mapped[int] = mapped_column(Integer)
    sealed_at: Mapped[datetime]
    through: Mapped[int] = mapped_column(BigInteger)
    transaction_id: Mapped[int] = mapped_column(BigInteger)
    horizon: Mapped[int] = mapped_column(BigInteger)
    row_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    row_hashes: Mapped[bytes] = mapped_column(BYTEA)
    previous_hash: Mapped[bytes] = mapped_column(BYTEA)
    hash: Mapped[bytes] = mapped_column(BYTEA)
