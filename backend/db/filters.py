"""Conditions of lists. What a caller does not ask for is None and narrows nothing."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement


def equal(table: Any, **wanted: Any) -> list[ColumnElement[bool]]:
    """Each column of `table` that is named has the wanted value."""
    return [getattr(table, name) == value for name, value in wanted.items() if value is not None]


def within(moment: Any, since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """The column `moment` is from `since` on, which counts, and before `until`, which does not."""
    return [
        *([moment >= since] if since is not None else []),
        *([moment < until] if until is not None else []),
    ]
