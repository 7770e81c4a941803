"""Hospitals and their wards."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, of_organization, pg_enum


class WardKind(StrEnum):
    """Where stock lies: on a ward with patients, or in a pharmacy."""

    WARD = "ward"
    PHARMACY = "pharmacy"


class Organization(Timestamped, Base):
    """A hospital and its policies."""

    __tablename__ = "organizations"
    __table_args__ = (
        UniqueConstraint("slug"),
        CheckConstraint("slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'", name="slug_form"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]
    time_zone: Mapped[str]
    verification_required: Mapped[bool] = mapped_column(server_default=text("false"))
    witness_required: Mapped[bool] = mapped_column(server_default=text("false"))


class Ward(Tenant, Timestamped, Base):
    """A place that holds stock."""

    __tablename__ = "wards"
    __table_args__ = (of_organization(), UniqueConstraint("organization_id", "name"))

    name: Mapped[str]
    kind: Mapped[WardKind] = mapped_column(pg_enum(WardKind, "ward_kind"))
    archived_at: Mapped[datetime | None]
