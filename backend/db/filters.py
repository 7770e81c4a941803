"""Conditions of queries. Of those of lists, what a caller does not ask for is None and narrows nothing."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select


def equal(table: Any, **wanted: Any) -> list[ColumnElement[bool]]:
    """Each column of `table` that is named has the wanted value."""
    return [getattr(table, name) == value for name, value in wanted.items() if value is not None]


def within(moment: Any, since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """The column `moment` is from `since` on, which counts, and before `until`, which does not."""
    return [
        *([moment >= since] if since is not None else []),
        *([moment < until] if until is not None else []),
    ]


def same_hospital(table: Any, *, by: Any, of: Any = None) -> ColumnElement[bool]:
    """Join the row of `table` whose id is in the column `by`, in the same hospital.

    The hospital is that of the row that `by` is a column of; `of` names another table where `by` is an expression, or
    where the row of `by` may be missing (an outer join).
    """
    owner = by.parent.entity if of is None else of
    return and_(table.organization_id == owner.organization_id, table.id == by)


def looked_up(organization_id: UUID, table: Any, column: str, row_id: Any) -> Any:
    """`column` of the row `row_id` of `table`, for each row of a page and no other.

    Not a join: how many rows a join leaves, the planner cannot tell in a database of many hospitals. It would rather
    sort all that a ward ever moved, or read the formulary.
    """
    found = select(getattr(table, column)).where(table.organization_id == organization_id, table.id == row_id)
    return found.scalar_subquery()
