"""Care-team assignments."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, pg_enum

PRIMARY_INDEX, ACTIVE_INDEX = "uq_care_team_primary", "uq_care_team_active"


class CareRole(StrEnum):
    """What a provider is to a patient, in the order in which a team is shown."""

    PRIMARY = "PRIMARY"
    SPECIALIST = "SPECIALIST"
    CONSULTANT = "CONSULTANT"


class CareTeamAssignment(Tenant, Timestamped, Base):
    """A provider cares for a patient, in a role, until removed.

    Decision: a change of role ends one assignment and begins another. Because the table is then its own history, with
    who and when of every step, and an id names one provider in one role. Cost: a demotion writes two rows.
    """

    __tablename__ = "care_team_assignments"
    __table_args__ = (
        belongs_to("patients", "patient_id"),
        belongs_to("users", "provider_id"),
        belongs_to("users", "assigned_by_id"),
        belongs_to("users", "removed_by_id"),
        CheckConstraint("removed_at >= assigned_at", name="removed_after_assigned"),
        CheckConstraint("removed_by_id IS NULL OR removed_at IS NOT NULL", name="removed_by_with_time"),
        Index(
            PRIMARY_INDEX,
            "organization_id",
            "patient_id",
            unique=True,
            postgresql_where=text("role = 'PRIMARY' AND removed_at IS NULL"),
        ),
        Index(
            ACTIVE_INDEX,
            "organization_id",
            "patient_id",
            "provider_id",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index("ix_care_team_assignments_patient_id", "organization_id", "patient_id", "assigned_at", "id"),
    )

    patient_id: Mapped[UUID]
    provider_id: Mapped[UUID]
    role: Mapped[CareRole] = mapped_column(pg_enum(CareRole, "care_role"))
    assigned_at: Mapped[datetime]
    assigned_by_id: Mapped[UUID | None]
    removed_at: Mapped[datetime | None]
    removed_by_id: Mapped[UUID | None]
