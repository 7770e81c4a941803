"""Stock by ward and drug, by lot, its ledger, and transfers between wards.

A shelf is a ward and a drug. `stock_levels` has one row per shelf, and that row is the lock.
"""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum


class LotStatus(StrEnum):
    """Whether a lot may be given."""

    AVAILABLE = "available"
    ON_HOLD = "on_hold"
    RECALLED = "recalled"


class MovementReason(StrEnum):
    """Why units came or went."""

    RECEIPT = "receipt"
    FULFILMENT = "fulfilment"
    TRANSFER_OUT = "transfer_out"
    TRANSFER_IN = "transfer_in"
    WASTE = "waste"
    LOSS = "loss"
    CORRECTION = "correction"
    RETURN = "return"


class TransferStatus(StrEnum):
    """Where a transfer between wards stands."""

    REQUESTED = "requested"
    DISPATCHED = "dispatched"
    RECEIVED = "received"
    CANCELLED = "cancelled"


def on_shelf() -> ForeignKeyConstraint:
    """What lies on a shelf, or is ordered from it, refers to the shelf's level, the row that is its lock."""
    shelf = ("organization_id", "ward_id", "drug_id")
    return ForeignKeyConstraint(shelf, [f"stock_levels.{column}" for column in shelf])


class Lot(Tenant, Timestamped, Base):
    """A batch of a drug with one expiry date."""

    __tablename__ = "lots"
    __table_args__ = (
        belongs_to("drugs", "drug_id"),
        UniqueConstraint("organization_id", "drug_id", "lot_number", "expires_on"),
    )

    drug_id: Mapped[UUID]
    lot_number: Mapped[str]
    expires_on: Mapped[date]
    status: Mapped[LotStatus] = mapped_column(pg_enum(LotStatus, "lot_status"), server_default="available")


class StockLevel(Tenant, Timestamped, Base):
    """What one shelf holds. `sequence` numbers its movements; `version` rises with all that a board shows of it.

    `low` is a column of its own so that an index can hang on it: a predicate on the units themselves would make every
    fulfilment write new entries into every index of this row (no HOT update).
    """

    __tablename__ = "stock_levels"
    __table_args__ = (
        belongs_to("wards", "ward_id"),
        belongs_to("drugs", "drug_id"),
        UniqueConstraint("organization_id", "ward_id", "drug_id"),
        CheckConstraint("on_hand_units >= 0", name="on_hand_units_not_negative"),
        CheckConstraint("reorder_point_units >= 0", name="reorder_point_units_not_negative"),
        CheckConstraint("par_level_units >= reorder_point_units", name="par_level_units_above_reorder_point"),
        Index("ix_stock_levels_drug_id", "organization_id", "drug_id"),
        Index("ix_stock_levels_low", "organization_id", "ward_id", "drug_id", postgresql_where=text("low")),
        {"postgresql_with": {"fillfactor": 70}},
    )

    ward_id: Mapped[UUID]
    drug_id: Mapped[UUID]
    on_hand_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    reorder_point_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    par_level_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    low: Mapped[bool] = mapped_column(Computed("on_hand_units <= reorder_point_units", persisted=True))


class StockLot(Tenant, Timestamped, Base):
    """The units of one lot on one shelf."""

    __tablename__ = "stock_lots"
    __table_args__ = (
        on_shelf(),
        belongs_to("lots", "lot_id"),
        UniqueConstraint("organization_id", "ward_id", "drug_id", "lot_id"),
        CheckConstraint("quantity_units >= 0", name="quantity_units_not_negative"),
        Index("ix_stock_lots_lot_id", "organization_id", "lot_id"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    ward_id: Mapped[UUID]
    drug_id: Mapped[UUID]
    lot_id: Mapped[UUID]
    quantity_units: Mapped[int] = mapped_column(Integer)


class StockMovement(Tenant, Base):
    """One line of the ledger: units that came to a shelf or left it. Insert-only.

    `sequence` numbers the movements of a shelf without a gap, so that two writers who both missed the lock collide
    on a unique key instead of losing one of the two.
    """

    __tablename__ = "stock_movements"
    __table_args__ = (
        on_shelf(),
        belongs_to("lots", "lot_id"),
        belongs_to("users", "actor_id"),
        UniqueConstraint("organization_id", "ward_id", "drug_id", "sequence"),
        UniqueConstraint("organization_id", "reference_id", "lot_id", "reason"),
        CheckConstraint("units <> 0", name="units_not_zero"),
        CheckConstraint("balance_after_units >= 0", name="balance_after_units_not_negative"),
        CheckConstraint("sequence > 0", name="sequence_positive"),
        Index("ix_stock_movements_recorded_at", "organization_id", "recorded_at", "id"),
    )

    ward_id: Mapped[UUID]
    drug_id: Mapped[UUID]
    lot_id: Mapped[UUID]
    sequence: Mapped[int] = mapped_column(BigInteger)
    units: Mapped[int] = mapped_column(Integer)
    balance_after_units: Mapped[int] = mapped_column(Integer)
    reason: Mapped[MovementReason] = mapped_column(pg_enum(MovementReason, "movement_reason"))
    reference_id: Mapped[UUID]
    actor_id: Mapped[UUID | None]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class StockTransfer(Tenant, Timestamped, Base):
    """Stock on its way from one ward to another."""

    __tablename__ = "stock_transfers"
    __table_args__ = (
        belongs_to("wards", "source_ward_id"),
        belongs_to("wards", "destination_ward_id"),
        belongs_to("users", "requested_by_id"),
        belongs_to("users", "dispatched_by_id"),
        belongs_to("users", "received_by_id"),
        CheckConstraint("source_ward_id <> destination_ward_id", name="two_wards"),
        CheckConstraint(
            "(status IN ('dispatched', 'received')) = (dispatched_at IS NOT NULL)",
            name="dispatched_at_with_status",
        ),
        CheckConstraint("(status = 'received') = (received_at IS NOT NULL)", name="received_at_with_status"),
        CheckConstraint("received_by_id <> dispatched_by_id", name="two_people"),
        Index("ix_stock_transfers_source_ward_id", "organization_id", "source_ward_id", "created_at"),
        Index("ix_stock_transfers_destination_ward_id", "organization_id", "destination_ward_id", "created_at"),
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
