"""Finding rows by name under row-level security.

Only leakproof operators may use an index there. The beginning of a column in the C collation (`^@`) is one; ILIKE is
not. So a search looks for names that begin with what was typed, by index, and only where there are none for a part of
the name: among the organization's rows, or by whatever index the caller has for it. The key of a page carries which of
the two it is.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ARRAY, SelectBase, SQLColumnExpression, Uuid, any_, func, or_, true, tuple_

from backend.db.base import Rows
from backend.db.paging import Page, PageRequest, page_of
from backend.db.session import Session


def among(column: SQLColumnExpression[Any], ids: SelectBase) -> Any:
    """The condition that `column` is one of `ids`, which are read first, into an array.

    The planner then looks up those rows and no others. Of a join it may think, since it knows little of a column's
    values under row-level security, that walking all rows in their order finds a page of them soon.
    """
    return column == any_(func.array(ids.scalar_subquery(), type_=ARRAY(Uuid())))


def named_page(
    session: Session,
    rows: Rows,
    *,
    name_key: SQLColumnExpression[Any],
    row_id: SQLColumnExpression[Any],
    searched: Sequence[SQLColumnExpression[Any]],
    q: str | None,
    page: PageRequest,
    containing: Callable[[Session, Any], Any] = lambda session, needle: None,
) -> Page:
    """A page of `rows` by name: all, or those whose lower-case columns `searched` match `q`.

    `containing` gives the condition that one of them contains a text where an index can tell, else None. What was typed
    is put in lower case by the database, as the columns are: Python makes two letters of an İ, and another ς at an end.
    """
    ordered = rows.add_columns(name_key.label("name_key")).order_by(name_key, row_id).limit(page.limit + 1)
    needle = func.lower(q)

    def matching(mode: str) -> Any:
        if mode == "all":
            return true()
        if mode == "begins":
            return or_(*(column.op("^@")(needle) for column in searched))
        found = containing(session, needle)
        return or_(*(func.strpos(column, needle) > 0 for column in searched)) if found is None else found

    def read(mode: str) -> Page:
        statement = ordered.where(matching(mode))
        if page.after is not None:
            after = page.after[1:]
            # The first condition can begin an index where the columns of the second are of two tables.
            statement = statement.where(name_key >= after[0], tuple_(name_key, row_id) > after)
        found = session.execute(statement).all()
        return page_of(found, page, lambda row: (mode, row.name_key, row.id))

    if page.after is not None:
        return read(page.after[0])
    first = read("begins" if q else "all")
    return first if first.items or not q else read("contains")
