"""Patients and their care teams."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, of_organization, pg_enum


class CareRole(StrEnum):
    """What a provider is to a patient (mission row B1)."""

    PRIMARY = "PRIMARY"
    SPECIALIST = "SPECIALIST"
    CONSULTANT = "CONSULTANT"


class Patient(Tenant, Timestamped, Base):
    """A patient of the hospital; `name_key` is what a search compares (see `Drug`)."""

    __tablename__ = "patients"
    __table_args__ = (
        of_organization(),
        belongs_to("wards", "ward_id"),
        UniqueConstraint("organization_id", "mrn"),
        Index("ix_patients_name_key", "organization_id", "name_key", "id"),
        Index("ix_patients_ward_id", "organization_id", "ward_id"),
    )

    name: Mapped[str]
    mrn: Mapped[str]
    date_of_birth: Mapped[date]
    ward_id: Mapped[UUID | None]
    bed: Mapped[str | None]
    allergies: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    name_key: Mapped[str] = mapped_column(Text(collation="C"), Computed("lower(name)", persisted=True))


class CareTeamAssignment(Tenant, Timestamped, Base):
    """A provider cares for a patient, in a role, until removed."""

    __tablename__ = "care_team_assignments"
    __table_args__ = (
        belongs_to("patients", "patient_id"),
        belongs_to("users", "provider_id"),
        CheckConstraint("removed_at >= assigned_at", name="removed_after_assigned"),
        Index(
            "uq_care_team_primary",
            "organization_id",
            "patient_id",
            unique=True,
            postgresql_where=text("role = 'PRIMARY' AND removed_at IS NULL"),
        ),
        Index(
            "uq_care_team_active",
            "organization_id",
            "patient_id",
            "provider_id",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
    )

    patient_id: Mapped[UUID]
    provider_id: Mapped[UUID]
    role: Mapped[CareRole] = mapped_column(pg_enum(CareRole, "care_role"))
    assigned_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
