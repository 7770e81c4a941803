"""Transfers, their lines by drug, and the lots that are on the way."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum


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
