"""Doses given or not given: the medication administration record (MAR)."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum


class Outcome(StrEnum):
    """What became of a dose."""

    GIVEN = "given"
    HELD = "held"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class MedicationAdministration(Tenant, Timestamped, Base):
    """One dose of one order. The unique key gives a dose once, even without the lock."""

    __tablename__ = "medication_administrations"
    __table_args__ = (
        belongs_to("medication_orders", "order_id"),
        belongs_to("users", "nurse_id"),
        belongs_to("users", "witness_id"),
        UniqueConstraint("organization_id", "order_id", "dose_number", name="uq_administration_dose"),
        CheckConstraint("dose_number > 0", name="dose_number_positive"),
        CheckConstraint("(outcome = 'given') = (quantity_units > 0)", name="given_has_units"),
        CheckConstraint("quantity_units >= 0", name="quantity_units_not_negative"),
        CheckConstraint("(outcome = 'given') = (reason IS NULL)", name="not_given_has_reason"),
        CheckConstraint("witness_id <> nurse_id", name="witness_is_another"),
        Index("ix_medication_administrations_administered_at", "organization_id", "administered_at", "id"),
    )

    order_id: Mapped[UUID]
    dose_number: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[Outcome] = mapped_column(pg_enum(Outcome, "administration_outcome"))
    quantity_units: Mapped[int] = mapped_column(Integer)
    nurse_id: Mapped[UUID]
    witness_id: Mapped[UUID | None]
    administered_at: Mapped[datetime]
    reason: Mapped[str | None]
