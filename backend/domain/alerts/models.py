"""Alerts."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum


class AlertKind(StrEnum):
    """What asks for attention."""

    LOW = "low"
    OUT = "out"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    IN_TRANSIT = "in_transit"
    DISCREPANCY = "discrepancy"


class Alert(Tenant, Timestamped, Base):
    """A condition that held when it was last looked at. One open alert for one thing, which clears itself.

    `units` is the figure when it opened. What it is about: the ward, and of it a drug, a lot, a transfer or a
    discrepancy; `within_days` tells the horizons of an expiry apart.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        belongs_to("wards", "ward_id"),
        belongs_to("drugs", "drug_id"),
        belongs_to("lots", "lot_id"),
        belongs_to("stock_transfers", "transfer_id"),
        belongs_to("discrepancies", "discrepancy_id"),
        belongs_to("users", "acknowledged_by_id"),
        CheckConstraint("(kind = 'expiring') = (within_days IS NOT NULL)", name="within_days_of_expiring"),
        CheckConstraint("within_days IN (30, 60, 90)", name="within_days_values"),
        CheckConstraint("cleared_at >= created_at", name="cleared_after_opened"),
        CheckConstraint("(acknowledged_at IS NULL) = (acknowledged_by_id IS NULL)", name="acknowledged_by_with_time"),
        Index(
            "uq_alerts_open",
            *("organization_id", "ward_id", "kind", "drug_id", "lot_id", "transfer_id", "discrepancy_id"),
            "within_days",
            unique=True,
            postgresql_where=text("cleared_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_alerts_open", "organization_id", "created_at", "id", postgresql_where=text("cleared_at IS NULL")),
        Index("ix_alerts_created_at", "organization_id", "created_at", "id"),
    )

    kind: Mapped[AlertKind] = mapped_column(pg_enum(AlertKind, "alert_kind"))
    ward_id: Mapped[UUID]
    drug_id: Mapped[UUID | None]
    lot_id: Mapped[UUID | None]
    transfer_id: Mapped[UUID | None]
    discrepancy_id: Mapped[UUID | None]
    within_days: Mapped[int | None] = mapped_column(SmallInteger)
    units: Mapped[int | None] = mapped_column(Integer)
    acknowledged_by_id: Mapped[UUID | None]
    acknowledged_at: Mapped[datetime | None]
    cleared_at: Mapped[datetime | None]
