"""Stock by ward and drug, by lot, and its ledger.

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

from backend.db import Base, Numbered, Tenant, Timestamped, belongs_to, pg_enum


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


def on_shelf() -> ForeignKeyConstraint:
    """What lies on a shelf, or is ordered from it, refers to the shelf's level, the row that is its lock."""
    shelf = ("organization_id", "ward_id", "drug_id")
    return ForeignKeyConstraint(shelf, [f"stock_levels.{column}" for column in shelf])


class Lot(Tenant, Timestamped, Base):
    """A batch of a drug with one expiry date. `version` also rises when a shelf first holds it, so that a recall, which
    must know every such shelf, cannot miss one."""

    __tablename__ = "lots"
    __table_args__ = (
        belongs_to("drugs", "drug_id"),
        belongs_to("users", "status_changed_by_id"),
        UniqueConstraint("organization_id", "drug_id", "lot_number", "expires_on"),
        CheckConstraint("status = 'available' OR status_reason IS NOT NULL", name="kept_back_with_reason"),
        Index("ix_lots_expires_on", "organization_id", "expires_on"),
        Index("ix_lots_unavailable", "organization_id", "drug_id", postgresql_where=text("status <> 'available'")),
    )

    drug_id: Mapped[UUID]
    lot_number: Mapped[str]
    expires_on: Mapped[date]
    status: Mapped[LotStatus] = mapped_column(pg_enum(LotStatus, "lot_status"), server_default="available")
    status_reason: Mapped[str | None]
    status_changed_by_id: Mapped[UUID | None]
    status_changed_at: Mapped[datetime | None]


class StockLevel(Tenant, Timestamped, Base):
    """What one shelf holds. `sequence` numbers its movements; `version` also rises with what a board shows.

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


class StockMovement(Tenant, Numbered, Base):
    """One line of the ledger: units that came to a shelf or left it. Insert-only.

    `sequence` numbers the movements of a shelf without a gap, so that two writers who both missed the lock collide
    on a unique key instead of losing one of the two. `occurred_at` is when the units moved: the database's time under
    the lane, or the earlier time that an entry states. `recorded_at` is the clock's time at the insert, and never
    before that of the movement before: within a shelf it rises with `sequence`. `requested_at` is when the request
    arrived, before it waited: by then the units had left the shelf or come to it. It is NULL where no request asked,
    and in rows of releases that did not know it. `corrects_id` points at the movement that this one undoes; a movement
    is undone once. `witness_id` is the second person where a controlled drug asked for one; whether it did, a trigger
    writes into `witness_due`, except for fulfilments.
    """

    __tablename__ = "stock_movements"
    __table_args__ = (
        on_shelf(),
        belongs_to("lots", "lot_id"),
        belongs_to("users", "actor_id"),
        belongs_to("users", "witness_id"),
        belongs_to("stock_movements", "corrects_id"),
        UniqueConstraint("organization_id", "ward_id", "drug_id", "sequence"),
        UniqueConstraint("organization_id", "reference_id", "lot_id", "reason"),
        CheckConstraint("units <> 0", name="units_not_zero"),
        CheckConstraint("balance_after_units >= 0", name="balance_after_units_not_negative"),
        CheckConstraint("sequence > 0", name="sequence_positive"),
        CheckConstraint("witness_id <> actor_id", name="witness_is_another"),
        CheckConstraint("NOT witness_due OR witness_id IS NOT NULL", name="witness_when_due"),
        CheckConstraint("corrects_id IS NULL OR reason = 'correction'", name="corrects_by_correction"),
        Index(
            "uq_stock_movements_corrects_id",
            "organization_id",
            "corrects_id",
            unique=True,
            postgresql_where=text("corrects_id IS NOT NULL"),
        ),
        Index("ix_stock_movements_recorded_at", "organization_id", "recorded_at", "id"),
        Index("ix_stock_movements_ward_id", "organization_id", "ward_id", "recorded_at", "id"),
        Index("ix_stock_movements_drug_id", "organization_id", "drug_id", "recorded_at", "id"),
        Index("ix_stock_movements_shelf", "organization_id", "ward_id", "drug_id", "recorded_at", "id"),
        Index("ix_stock_movements_number", "organization_id", "number"),
        Index(
            "ix_stock_movements_given",
            "organization_id",
            "lot_id",
            "occurred_at",
            "id",
            postgresql_where=text("reason = 'fulfilment'"),
        ),
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
    witness_id: Mapped[UUID | None]
    witness_due: Mapped[bool | None]
    corrects_id: Mapped[UUID | None]
    note: Mapped[str | None]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    requested_at: Mapped[datetime | None]
