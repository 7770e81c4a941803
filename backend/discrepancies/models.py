"""Discrepancies."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum
from backend.stock.models import on_shelf


class DiscrepancyKind(StrEnum):
    """What could not be accounted for: a count's variance or a transfer's shortfall."""

    COUNT = "count"
    TRANSFER = "transfer"


class DiscrepancyStatus(StrEnum):
    """open -> under_review -> resolved, or at once. The end is final."""

    OPEN = "open"
    UNDER_REVIEW = "under_review"
    RESOLVED = "resolved"


class Resolution(StrEnum):
    """How it ended.

    Of a count: the ledger was wrong (correction), units are gone (loss), the count was wrong (miscount).
    Of a transfer: units turned up at the destination (found), went back to the source (returned), are gone (loss).
    """

    CORRECTION = "correction"
    LOSS = "loss"
    MISCOUNT = "miscount"
    FOUND = "found"
    RETURNED = "returned"


class Discrepancy(Tenant, Timestamped, Base):
    """Units of a lot that were expected and not found, or found and not expected. Only its resolution writes stock.

    `sequence` is, of a count, the number of the shelf's last movement that `expected_units` knows of. When it is
    resolved, a trigger writes into `witness_due` whether the drug is controlled.
    """

    __tablename__ = "discrepancies"
    __table_args__ = (
        on_shelf(),
        belongs_to("lots", "lot_id"),
        belongs_to("stock_count_lines", "count_line_id"),
        belongs_to("stock_transfer_lots", "transfer_lot_id"),
        belongs_to("users", "owner_id"),
        belongs_to("users", "resolved_by_id"),
        belongs_to("users", "witness_id"),
        UniqueConstraint("organization_id", "count_line_id"),
        UniqueConstraint("organization_id", "transfer_lot_id"),
        CheckConstraint("(kind = 'count') = (count_line_id IS NOT NULL)", name="of_count"),
        CheckConstraint("(kind = 'transfer') = (transfer_lot_id IS NOT NULL)", name="of_transfer"),
        CheckConstraint("expected_units >= 0 AND found_units >= 0", name="units_not_negative"),
        CheckConstraint("expected_units <> found_units", name="units_differ"),
        CheckConstraint("kind = 'count' OR expected_units > found_units", name="shortfall"),
        CheckConstraint("sequence IS NULL OR kind = 'count'", name="sequence_of_count"),
        CheckConstraint(
            "num_nulls(resolution, reason, resolved_by_id, resolved_at)"
            " = CASE WHEN status = 'resolved' THEN 0 ELSE 4 END",
            name="resolved_with_reason",
        ),
        CheckConstraint("witness_id <> resolved_by_id", name="witness_is_another"),
        CheckConstraint("NOT witness_due OR witness_id IS NOT NULL", name="witness_when_due"),
        Index("ix_discrepancies_created_at", "organization_id", "created_at", "id"),
        Index(
            "ix_discrepancies_unresolved",
            "organization_id",
            "created_at",
            "id",
            postgresql_where=text("status <> 'resolved'"),
        ),
    )

    kind: Mapped[DiscrepancyKind] = mapped_column(pg_enum(DiscrepancyKind, "discrepancy_kind"))
    ward_id: Mapped[UUID]
    drug_id: Mapped[UUID]
    lot_id: Mapped[UUID]
    count_line_id: Mapped[UUID | None]
    transfer_lot_id: Mapped[UUID | None]
    expected_units: Mapped[int] = mapped_column(Integer)
    found_units: Mapped[int] = mapped_column(Integer)
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[DiscrepancyStatus] = mapped_column(
        pg_enum(DiscrepancyStatus, "discrepancy_status"), server_default="open"
    )
    owner_id: Mapped[UUID]
    due_at: Mapped[datetime]
    resolution: Mapped[Resolution | None] = mapped_column(pg_enum(Resolution, "discrepancy_resolution"))
    reason: Mapped[str | None]
    resolved_by_id: Mapped[UUID | None]
    witness_id: Mapped[UUID | None]
    witness_due: Mapped[bool | None]
    resolved_at: Mapped[datetime | None]
