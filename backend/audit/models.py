"""The audit trail: one row per changed row of every table that is not append-only (mission row D2)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
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
