"""Count sessions and their lines."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum


class CountStatus(StrEnum):
    """open -> completed, open -> cancelled. Both ends are final."""

    OPEN = "open"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class StockCount(Tenant, Timestamped, Base):
    """A session in which somebody counts a ward's shelves; a ward has one at a time."""

    __tablename__ = "stock_counts"
    __table_args__ = (
        belongs_to("wards", "ward_id"),
        belongs_to("users", "opened_by_id"),
        belongs_to("users", "ended_by_id"),
        CheckConstraint("(status = 'open') = (ended_at IS NULL)", name="ended_at_with_status"),
        CheckConstraint("(ended_at IS NULL) = (ended_by_id IS NULL)", name="ended_by_with_time"),
        Index(
            "uq_stock_counts_open",
            "organization_id",
            "ward_id",
            unique=True,
            postgresql_where=text("status = 'open'"),
        ),
        Index("ix_stock_counts_created_at", "organization_id", "created_at", "id"),
    )

    ward_id: Mapped[UUID]
    status: Mapped[CountStatus] = mapped_column(pg_enum(CountStatus, "count_status"), server_default="open")
    opened_by_id: Mapped[UUID]
    ended_by_id: Mapped[UUID | None]
    ended_at: Mapped[datetime | None]


class StockCountLine(Tenant, Timestamped, Base):
    """One lot to count. `expected_units` is what the ledger held at `counted_at`; `blind` lines keep it to themselves
    until the session is completed. `sequence` is the number of the shelf's last movement when the line was recorded.
    """

    __tablename__ = "stock_count_lines"
    __table_args__ = (
        belongs_to("stock_counts", "count_id"),
        belongs_to("drugs", "drug_id"),
        belongs_to("lots", "lot_id"),
        belongs_to("users", "counted_by_id"),
        UniqueConstraint("organization_id", "count_id", "lot_id"),
        Index("ix_stock_count_lines_blind", "organization_id", "count_id", "drug_id", postgresql_where=text("blind")),
        CheckConstraint("counted_units >= 0", name="counted_units_not_negative"),
        CheckConstraint("expected_units >= 0", name="expected_units_not_negative"),
        CheckConstraint("num_nulls(counted_units, expected_units, counted_by_id, counted_at) IN (0, 4)", name="whole"),
    )

    count_id: Mapped[UUID]
    drug_id: Mapped[UUID]
    lot_id: Mapped[UUID]
    blind: Mapped[bool]
    expected_units: Mapped[int | None] = mapped_column(Integer)
    counted_units: Mapped[int | None] = mapped_column(Integer)
    counted_by_id: Mapped[UUID | None]
    counted_at: Mapped[datetime | None]
    sequence: Mapped[int | None] = mapped_column(BigInteger)
