"""Declare the tables of transfers, of counts and of the discrepancies that either finds."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum
from backend.domain.stock.models import on_shelf


class TransferStatus(StrEnum):
    """requested -> dispatched -> received; requested -> cancelled. Both ends are final."""

    REQUESTED = "requested"
    DISPATCHED = "dispatched"
    RECEIVED = "received"
    CANCELLED = "cancelled"


class StockTransfer(Tenant, Timestamped, Base):
    """Stock on its way from one ward to another."""

    __tablename__ = "stock_transfers"
    __table_args__ = (
        belongs_to("wards", "source_ward_id"),
        belongs_to("wards", "destination_ward_id"),
        belongs_to("users", "requested_by_id"),
        belongs_to("users", "dispatched_by_id"),
        belongs_to("users", "received_by_id"),
        belongs_to("users", "cancelled_by_id"),
        CheckConstraint("source_ward_id <> destination_ward_id", name="two_wards"),
        CheckConstraint(
            "(status IN ('dispatched', 'received')) = (dispatched_at IS NOT NULL)",
            name="dispatched_at_with_status",
        ),
        CheckConstraint("(status = 'received') = (received_at IS NOT NULL)", name="received_at_with_status"),
        CheckConstraint("(status = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled_at_with_status"),
        CheckConstraint("received_by_id <> dispatched_by_id", name="two_people"),
        Index("ix_stock_transfers_source_ward_id", "organization_id", "source_ward_id", "created_at"),
        Index("ix_stock_transfers_destination_ward_id", "organization_id", "destination_ward_id", "created_at"),
        Index("ix_stock_transfers_created_at", "organization_id", "created_at", "id"),
        Index(
            "ix_stock_transfers_under_way",
            "organization_id",
            "destination_ward_id",
            "created_at",
            "id",
            postgresql_where=text("status IN ('requested', 'dispatched')"),
        ),
    )

    source_ward_id: Mapped[UUID]
    destination_ward_id: Mapped[UUID]
    status: Mapped[TransferStatus] = mapped_column(
        pg_enum(TransferStatus, "transfer_status"), server_default="requested"
    )
    requested_by_id: Mapped[UUID]
    dispatched_by_id: Mapped[UUID | None]
    dispatched_at: Mapped[datetime | None]
    received_by_id: Mapped[UUID | None]
    received_at: Mapped[datetime | None]
    cancelled_by_id: Mapped[UUID | None]
    cancelled_at: Mapped[datetime | None]


class StockTransferLine(Tenant, Timestamped, Base):
    """One drug of a transfer: units asked for, sent and received."""

    __tablename__ = "stock_transfer_lines"
    __table_args__ = (
        belongs_to("stock_transfers", "transfer_id"),
        belongs_to("drugs", "drug_id"),
        UniqueConstraint("organization_id", "transfer_id", "drug_id"),
        CheckConstraint("quantity_units > 0", name="quantity_units_positive"),
        CheckConstraint("dispatched_units BETWEEN 0 AND quantity_units", name="dispatched_units_range"),
        CheckConstraint("received_units BETWEEN 0 AND dispatched_units", name="received_units_range"),
    )

    transfer_id: Mapped[UUID]
    drug_id: Mapped[UUID]
    quantity_units: Mapped[int] = mapped_column(Integer)
    dispatched_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    received_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class StockTransferLot(Tenant, Timestamped, Base):
    """Units of one lot of a line. What was sent and neither received, returned nor lost is still on the way."""

    __tablename__ = "stock_transfer_lots"
    __table_args__ = (
        belongs_to("stock_transfer_lines", "line_id"),
        belongs_to("lots", "lot_id"),
        UniqueConstraint("organization_id", "line_id", "lot_id"),
        CheckConstraint("dispatched_units > 0", name="dispatched_units_positive"),
        CheckConstraint("least(received_units, returned_units, lost_units) >= 0", name="parts_not_negative"),
        CheckConstraint("received_units + returned_units + lost_units <= dispatched_units", name="parts_within_sent"),
        Index("ix_stock_transfer_lots_lot_id", "organization_id", "lot_id"),
    )

    line_id: Mapped[UUID]
    lot_id: Mapped[UUID]
    dispatched_units: Mapped[int] = mapped_column(Integer)
    received_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    returned_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lost_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))


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
