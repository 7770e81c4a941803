"""Medication orders, and overrides of their verification."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum
from backend.domain.stock.models import on_shelf


class OrderStatus(StrEnum):
    """active -> completed with the last dose; active -> discontinued by a doctor. Both ends are final."""

    ACTIVE = "active"
    COMPLETED = "completed"
    DISCONTINUED = "discontinued"


class Priority(StrEnum):
    """How soon: at once, as scheduled, or when the patient needs it."""

    STAT = "stat"
    ROUTINE = "routine"
    PRN = "prn"


def _by_status(status: OrderStatus) -> Index:
    """Row-level security keeps `=` of an enum out of index conditions (it is not leakproof); a predicate may use it."""
    return Index(
        f"ix_medication_orders_{status}",
        "organization_id",
        "created_at",
        "id",
        postgresql_where=text(f"status = '{status}'"),
    )


class MedicationOrder(Tenant, Timestamped, Base):
    """`units_per_dose` of a drug for a patient on a ward, `doses` times."""

    __tablename__ = "medication_orders"
    __table_args__ = (
        belongs_to("patients", "patient_id"),
        on_shelf(),
        belongs_to("users", "prescriber_id"),
        belongs_to("users", "verified_by_id"),
        belongs_to("users", "discontinued_by_id"),
        CheckConstraint("units_per_dose > 0", name="units_per_dose_positive"),
        CheckConstraint("doses > 0", name="doses_positive"),
        CheckConstraint("doses_given BETWEEN 0 AND doses", name="doses_given_range"),
        CheckConstraint("interval_minutes > 0", name="interval_minutes_positive"),
        CheckConstraint("doses = 1 OR interval_minutes IS NOT NULL OR priority = 'prn'", name="schedule_has_interval"),
        CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed_at_with_status"),
        CheckConstraint("(status = 'completed') = (doses_given = doses)", name="completed_with_last_dose"),
        CheckConstraint(
            "(status = 'discontinued') = (discontinued_at IS NOT NULL AND discontinue_reason IS NOT NULL)",
            name="discontinued_with_reason",
        ),
        CheckConstraint("(verified_by_id IS NULL) = (verified_at IS NULL)", name="verified_by_with_time"),
        Index("ix_medication_orders_created_at", "organization_id", "created_at", "id"),
        _by_status(OrderStatus.ACTIVE),
        _by_status(OrderStatus.COMPLETED),
        _by_status(OrderStatus.DISCONTINUED),
        Index(
            "ix_medication_orders_board",
            "organization_id",
            "ward_id",
            postgresql_where=text("status = 'active'"),
        ),
        Index(
            "ix_medication_orders_closed",
            "organization_id",
            "ward_id",
            "status",
            postgresql_where=text("status <> 'active'"),
        ),
        Index("ix_medication_orders_ward_id", "organization_id", "ward_id", "created_at", "id"),
        Index("ix_medication_orders_patient_id", "organization_id", "patient_id", "created_at", "id"),
        Index("ix_medication_orders_drug_id", "organization_id", "drug_id", "created_at", "id"),
        Index("ix_medication_orders_prescriber_id", "organization_id", "prescriber_id", "created_at", "id"),
        # Closed orders are counted from an index alone, as far as VACUUM has seen them.
        {
            "postgresql_with": {
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_insert_scale_factor": 0.02,
            }
        },
    )

    patient_id: Mapped[UUID]
    drug_id: Mapped[UUID]
    ward_id: Mapped[UUID]
    prescriber_id: Mapped[UUID]
    units_per_dose: Mapped[int] = mapped_column(Integer)
    dose_text: Mapped[str | None]
    route: Mapped[str | None]
    priority: Mapped[Priority] = mapped_column(pg_enum(Priority, "order_priority"), server_default="routine")
    doses: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    doses_given: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    interval_minutes: Mapped[int | None] = mapped_column(Integer)
    first_due_at: Mapped[datetime]
    due_at: Mapped[datetime]
    status: Mapped[OrderStatus] = mapped_column(pg_enum(OrderStatus, "order_status"), server_default="active")
    verified_by_id: Mapped[UUID | None]
    verified_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    discontinued_by_id: Mapped[UUID | None]
    discontinued_at: Mapped[datetime | None]
    discontinue_reason: Mapped[str | None]


class OverrideStatus(StrEnum):
    """What the pharmacist's review of an override found."""

    PENDING = "pending"
    APPROPRIATE = "appropriate"
    INAPPROPRIATE = "inappropriate"


class OverrideVerdict(StrEnum):
    """What a review may find."""

    APPROPRIATE = "appropriate"
    INAPPROPRIATE = "inappropriate"


class OverrideDrug(Tenant, Timestamped, Base):
    """A drug that a ward may give from an unverified order, with a reason (ISMP: keep the list short)."""

    __tablename__ = "override_drugs"
    __table_args__ = (
        belongs_to("wards", "ward_id"),
        belongs_to("drugs", "drug_id"),
        UniqueConstraint("organization_id", "ward_id", "drug_id"),
    )

    ward_id: Mapped[UUID]
    drug_id: Mapped[UUID]


class OrderOverride(Tenant, Timestamped, Base):
    """A dose that was given from an unverified order, and the review that it opened."""

    __tablename__ = "order_overrides"
    __table_args__ = (
        belongs_to("medication_orders", "order_id"),
        belongs_to("medication_administrations", "administration_id"),
        belongs_to("wards", "ward_id"),
        belongs_to("users", "nurse_id"),
        belongs_to("users", "reviewed_by_id"),
        UniqueConstraint("organization_id", "administration_id"),
        CheckConstraint("(status = 'pending') = (reviewed_at IS NULL)", name="reviewed_at_with_status"),
        CheckConstraint("(reviewed_at IS NULL) = (reviewed_by_id IS NULL)", name="reviewed_by_with_time"),
        CheckConstraint("reviewed_by_id <> nurse_id", name="reviewer_is_another"),
        Index("ix_order_overrides_created_at", "organization_id", "created_at", "id"),
        Index(
            "ix_order_overrides_pending",
            "organization_id",
            "created_at",
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
    )

    order_id: Mapped[UUID]
    administration_id: Mapped[UUID]
    ward_id: Mapped[UUID]
    nurse_id: Mapped[UUID]
    reason: Mapped[str]
    status: Mapped[OverrideStatus] = mapped_column(pg_enum(OverrideStatus, "override_status"), server_default="pending")
    reviewed_by_id: Mapped[UUID | None]
    reviewed_at: Mapped[datetime | None]
    review_note: Mapped[str | None]
