"""Hospitals and their wards."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, of_organization, pg_enum


class WardKind(StrEnum):
    """Where stock lies: on a ward with patients, or in a pharmacy."""

    WARD = "ward"
    PHARMACY = "pharmacy"


class Organization(Timestamped, Base):
    """A hospital and its policies.

    `witness_required`: giving a controlled drug takes a witness. `custody_witness_required`: so does receiving it, and
    sending and accepting it in a transfer.
    `dose_window_minutes`: a dose is due from so long before its time until so long after it, then overdue.
    `discrepancy_hours`: within this time a discrepancy is to be resolved. `transit_hours`: a transfer that is under way
    for longer raises an alert. All three are the hospital's to set; no standard names them.
    `second_factor_roles`: who has one of these roles signs in with a one-time code or a passkey.
    """

    __tablename__ = "organizations"
    __table_args__ = (
        UniqueConstraint("slug"),
        CheckConstraint("slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'", name="slug_form"),
        CheckConstraint("dose_window_minutes BETWEEN 0 AND 1440", name="dose_window_minutes_range"),
        CheckConstraint("discrepancy_hours BETWEEN 1 AND 720", name="discrepancy_hours_range"),
        CheckConstraint("transit_hours BETWEEN 1 AND 720", name="transit_hours_range"),
        CheckConstraint(
            "second_factor_roles <@ ARRAY['nurse', 'pharmacist', 'doctor', 'admin']", name="second_factor_roles_known"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]
    time_zone: Mapped[str]
    verification_required: Mapped[bool] = mapped_column(server_default=text("false"))
    witness_required: Mapped[bool] = mapped_column(server_default=text("false"))
    custody_witness_required: Mapped[bool] = mapped_column(server_default=text("false"))
    dose_window_minutes: Mapped[int] = mapped_column(Integer, server_default=text("60"))
    discrepancy_hours: Mapped[int] = mapped_column(Integer, server_default=text("24"))
    transit_hours: Mapped[int] = mapped_column(Integer, server_default=text("24"))
    second_factor_roles: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))


class Ward(Tenant, Timestamped, Base):
    """A place that holds stock."""

    __tablename__ = "wards"
    __table_args__ = (of_organization(), UniqueConstraint("organization_id", "name"))

    name: Mapped[str]
    kind: Mapped[WardKind] = mapped_column(pg_enum(WardKind, "ward_kind"))
    archived_at: Mapped[datetime | None]
