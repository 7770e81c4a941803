"""Keyset pages: a list is read from a key onwards, never by OFFSET."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

LIMIT_DEFAULT, LIMIT_MAX = 50, 200


@dataclass(frozen=True, slots=True)
class PageRequest:
    """At most `limit` rows after the row with the key `after`; from the start where it is None."""

    limit: int = LIMIT_DEFAULT
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page and the key of its last row, None on the last page."""

    items: Sequence[Any]
    next_key: tuple[Any, ...] | None


def page_of(rows: Sequence[Any], request: PageRequest, key: Callable[[Any], tuple[Any, ...]]) -> Page:
    """The page from `rows`, which were read with `limit + 1` so that the end is known without a count."""
    items = rows[: request.limit]
    return Page(items, key(items[-1]) if len(rows) > request.limit else None)
