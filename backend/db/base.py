"""The declarative base: naming convention, column types and the key that every tenant table shares.

Decision: models describe tables; they are read and written by Core statements and never as live objects. Because the
unit of work costs four to five times Core on the fulfil path and a lazy attribute is a query nobody sees.
Cost: an insert names its columns.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import (
    BigInteger,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    MetaData,
    Select,
    Sequence,
    Text,
    Update,
    Uuid,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Every table of ValMed. Constraint names follow one convention, so that errors can name them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {UUID: Uuid(), str: Text(), datetime: DateTime(timezone=True)}  # noqa: RUF012


class Tenant:
    """The key of a tenant table: (organization_id, id), so that no row can point into another hospital."""

    organization_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-2)
    id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-1)


class Timestamped:
    """When the row was made, and a version that every change of the row raises."""

    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), sort_order=90)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"), sort_order=91)


def bump(table: Any, /, **values: Any) -> Update:
    """Write an UPDATE that sets `values` and raises the version of each row it changes; the caller adds the `where`."""
    return update(table).values(version=table.version + 1, **values)


LEDGER_NUMBERS = Sequence("ledger_numbers", metadata=Base.metadata)
# The transaction's id first (backend/domain/audit/sealing.py); spelled as PostgreSQL does: alembic compares the text.
_NEXT_NUMBER = """
CASE
    WHEN (txid_current() > 0) THEN nextval('ledger_numbers'::regclass)
    ELSE NULL::bigint
END"""


class Numbered:
    """A number that rises with the transactions that insert, for rows that are sealed; 0 where older than seals."""

    number: Mapped[int] = mapped_column(
        BigInteger,
        server_default=text(_NEXT_NUMBER),
        sort_order=92,
    )


Rows = Select[*tuple[Any, ...]]  # a statement whose rows are read by name


def new_id() -> UUID:
    """A UUIDv7: made by the application before the row exists, and ordered by time."""
    return uuid_utils.compat.uuid7()


def pg_enum(kind: type[StrEnum], name: str) -> Enum:
    """The native database enum `name` with the values of `kind`."""
    return Enum(kind, name=name, metadata=Base.metadata, values_callable=lambda members: [m.value for m in members])


def belongs_to(table: str, *columns: str, **options: Any) -> ForeignKeyConstraint:
    """A foreign key that carries organization_id: `belongs_to("lots", "lot_id")`."""
    return ForeignKeyConstraint(["organization_id", *columns], [f"{table}.organization_id", f"{table}.id"], **options)


def of_organization() -> ForeignKeyConstraint:
    """The foreign key of a tenant table to its organization."""
    return ForeignKeyConstraint(["organization_id"], ["organizations.id"])
