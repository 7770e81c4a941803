"""Doses given or not given: the medication administration record (MAR)."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Numbered, Tenant, Timestamped, belongs_to, pg_enum


class Outcome(StrEnum):
    """What became of a dose."""

    GIVEN = "given"
    HELD = "held"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class NotGiven(StrEnum):
    """Why a dose was not given: the patient's state, the patient's will, or nothing to give."""

    HELD = "held"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class RemainderKind(StrEnum):
    """What became of units that were withdrawn for a dose and not given."""

    WASTE = "waste"
    RETURN = "return"


class MedicationAdministration(Tenant, Timestamped, Base):
    """One dose of one order. The unique index gives a dose once, even without the lock.

    `quantity_units` were withdrawn from stock; of them `wasted_units` and `returned_units` were not given. An entry in
    error keeps its row; `stands` is false where its dose has been opened again and may be recorded anew.
    """

    __tablename__ = "medication_administrations"
    __table_args__ = (
        belongs_to("medication_orders", "order_id"),
        belongs_to("users", "nurse_id"),
        belongs_to("users", "witness_id"),
        belongs_to("users", "in_error_by_id"),
        Index(
            "uq_administration_dose",
            "organization_id",
            "order_id",
            "dose_number",
            unique=True,
            postgresql_where=text("stands"),
        ),
        # Beside the one above, which holds the entries that stand: together they hold all of an order.
        Index(
            "ix_medication_administrations_reopened",
            "organization_id",
            "order_id",
            postgresql_where=text("NOT stands"),
        ),
        CheckConstraint("dose_number > 0", name="dose_number_positive"),
        CheckConstraint("(outcome = 'given') = (quantity_units > 0)", name="given_has_units"),
        CheckConstraint("quantity_units >= 0", name="quantity_units_not_negative"),
        CheckConstraint("outcome <> 'given' OR reason IS NULL", name="given_has_no_reason"),
        CheckConstraint("wasted_units >= 0 AND returned_units >= 0", name="remainder_not_negative"),
        CheckConstraint("wasted_units + returned_units <= quantity_units", name="remainder_within_withdrawn"),
        CheckConstraint(
            "(entered_in_error_at IS NULL) = (error_reason IS NULL)"
            " AND (entered_in_error_at IS NULL) = (in_error_by_id IS NULL)",
            name="entered_in_error_with_reason",
        ),
        CheckConstraint("stands OR entered_in_error_at IS NOT NULL", name="stands_unless_in_error"),
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
    wasted_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    returned_units: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    stands: Mapped[bool] = mapped_column(server_default=text("true"))
    entered_in_error_at: Mapped[datetime | None]
    in_error_by_id: Mapped[UUID | None]
    error_reason: Mapped[str | None]


class DoseRemainder(Tenant, Numbered, Base):
    """Units withdrawn for a dose and wasted or put back. Insert-only: actor and witness stay as they were.

    A trigger writes into `witness_due` whether the drug was controlled then.
    """

    __tablename__ = "dose_remainders"
    __table_args__ = (
        belongs_to("medication_administrations", "administration_id"),
        belongs_to("lots", "lot_id"),
        belongs_to("users", "actor_id"),
        belongs_to("users", "witness_id"),
        CheckConstraint("units > 0", name="units_positive"),
        CheckConstraint("witness_id <> actor_id", name="witness_is_another"),
        CheckConstraint("NOT witness_due OR witness_id IS NOT NULL", name="witness_when_due"),
        Index("ix_dose_remainders_administration_id", "organization_id", "administration_id"),
        Index("ix_dose_remainders_recorded_at", "organization_id", "recorded_at", "id"),
        Index("ix_dose_remainders_number", "organization_id", "number"),
    )

    administration_id: Mapped[UUID]
    kind: Mapped[RemainderKind] = mapped_column(pg_enum(RemainderKind, "remainder_kind"))
    lot_id: Mapped[UUID]
    units: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str | None]
    actor_id: Mapped[UUID]
    witness_id: Mapped[UUID | None]
    witness_due: Mapped[bool | None]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
