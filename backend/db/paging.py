"""Keyset pages: a list is read from a key onwards, never by OFFSET."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from sqlalchemy import SQLColumnExpression, tuple_
from typing_extensions import TypeVar

from backend.db.base import Rows
from backend.db.session import Session
from backend.db.typed import rows_as

T = TypeVar("T", default=Any)
U = TypeVar("U")
LIMIT_DEFAULT, LIMIT_MAX = 50, 200


@dataclass(frozen=True, slots=True)
class PageRequest:
    """At most `limit` rows after the row with the key `after`; from the start where it is None."""

    limit: int = LIMIT_DEFAULT
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of one page and the key of its last row, None on the last page."""

    items: Sequence[T]
    next_key: tuple[Any, ...] | None

    def of(self, kind: type[U]) -> "Page[U]":
        """Return the same page with a `kind` of each of its rows (`rows_as`)."""
        return Page(rows_as(kind, self.items), self.next_key)


def beyond(page: PageRequest, *key: SQLColumnExpression[Any], descending: bool = False) -> list[Any]:
    """The condition that a row comes after those of the pages before, in the order of the columns `key`."""
    if page.after is None:
        return []
    return [tuple_(*key) < page.after if descending else tuple_(*key) > page.after]


def read_page(
    session: Session, rows: Rows, page: PageRequest, *key: SQLColumnExpression[Any], descending: bool = False
) -> Page:
    """The page of `rows` in the order of the columns `key`, which no two rows share."""
    labels = [f"key_{place}" for place in range(len(key))]
    statement = (
        rows.add_columns(*(column.label(label) for column, label in zip(key, labels, strict=True)))
        .where(*beyond(page, *key, descending=descending))
        .order_by(*(column.desc() if descending else column for column in key))
        .limit(page.limit + 1)
    )
    found = session.execute(statement).all()
    return page_of(found, page, lambda row: tuple(getattr(row, label) for label in labels))


def page_of(rows: Sequence[Any], request: PageRequest, key: Callable[[Any], tuple[Any, ...]]) -> Page:
    """The page from `rows`, which were read with `limit + 1` so that the end is known without a count."""
    items = rows[: request.limit]
    return Page(items, key(items[-1]) if len(rows) > request.limit else None)


def read_all(read: Callable[[PageRequest], Page]) -> Iterator[Any]:
    """Yield the rows of every page that `read` returns, one page in memory at a time."""
    page = read(PageRequest(limit=LIMIT_MAX))
    yield from page.items
    while page.next_key is not None:
        page = read(PageRequest(limit=LIMIT_MAX, after=page.next_key))
        yield from page.items
