"""Patients."""

from datetime import date
from uuid import UUID

from sqlalchemy import Computed, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, belongs_to, of_organization


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
