"""The drugs a hospital uses."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Computed, Index, Integer, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Tenant, Timestamped, of_organization


class Drug(Tenant, Timestamped, Base):
    """One formulary entry. Its dispensing unit (tablet, vial, mL) is what every quantity counts.

    `name_key` and `generic_name_key` are what a search compares. Row-level security lets only leakproof operators use
    an index: a prefix of a column in the C collation is one, ILIKE and lower() are not. The trigrams serve the
    function `search_drugs`, which finds any part of a name.
    """

    __tablename__ = "drugs"
    __table_args__ = (
        of_organization(),
        UniqueConstraint("organization_id", "name", "strength", "form"),
        CheckConstraint("controlled_schedule BETWEEN 1 AND 5", name="controlled_schedule_range"),
        CheckConstraint("unit_price_cents >= 0", name="unit_price_cents_not_negative"),
        Index("ix_drugs_name_key", "organization_id", "name_key", "id"),
        Index("ix_drugs_generic_name_key", "organization_id", "generic_name_key"),
        Index(
            "ix_drugs_trigrams",
            "name_key",
            "generic_name_key",
            postgresql_using="gin",
            postgresql_ops={"name_key": "gin_trgm_ops", "generic_name_key": "gin_trgm_ops"},
        ),
    )

    name: Mapped[str]
    generic_name: Mapped[str]
    strength: Mapped[str]
    form: Mapped[str]
    unit: Mapped[str]
    gtin: Mapped[str | None]
    ndc: Mapped[str | None]
    atc: Mapped[str | None]
    controlled_schedule: Mapped[int | None] = mapped_column(SmallInteger)
    high_alert: Mapped[bool] = mapped_column(server_default=text("false"))
    unit_price_cents: Mapped[int | None] = mapped_column(Integer)
    archived_at: Mapped[datetime | None]
    name_key: Mapped[str] = mapped_column(Text(collation="C"), Computed("lower(name)", persisted=True))
    generic_name_key: Mapped[str] = mapped_column(Text(collation="C"), Computed("lower(generic_name)", persisted=True))
