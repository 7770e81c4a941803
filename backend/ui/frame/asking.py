"""Asking the API's operations from a page: the same checks, lanes, keys and transaction, without HTTP between."""

from itertools import count
from typing import Any

import orjson
from flask import g

from backend.api import RESOURCES
from backend.db import Database
from backend.db.idempotency import Answer, find_answer
from backend.db.paging import LIMIT_MAX
from backend.domain.administrations.rounds import shelves_of
from backend.domain.orders.errors import OrderNotFound
from backend.web.endpoint import NO_KEY, Call, Operation, database_of_app, page_asked_for, perform, reported
from backend.web.idempotency import make_key
from backend.web.parsing import NO_PARAMETERS, load

OPERATIONS = {
    f"{operation.method} {operation.path}": operation for resource in RESOURCES for operation in resource.operations
}


def ask(
    name: str,
    *,
    path: dict[str, Any] | None = None,
    query: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    key: str = "",
) -> Any:
    """The JSON that `name` ("GET /orders") answers to who sits at the screen.

    `query` and `body` are what a client would send, absent values left out; `key` makes a change safe to repeat.
    Raises what the operation raises.
    """
    answer = answer_of(name, path=path, query=query, body=body, key=key)
    return orjson.loads(answer.body) if answer.body else None


def answer_of(
    name: str,
    *,
    path: dict[str, Any] | None = None,
    query: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    key: str = "",
) -> Answer:
    """The same with its status, its version and whether it was replayed."""
    return _answer(OPERATIONS[name], path or {}, query or {}, body or {}, key)


def table_of(name: str, *, path: dict[str, Any], query: dict[str, Any]) -> Answer:
    """A list's rows as CSV from the query's cursor on, as many as one answer holds."""
    return _answer(OPERATIONS[name].as_table(), path, query, {}, "")


def _answer(
    operation: Operation, path: dict[str, Any], query: dict[str, Any], body: dict[str, Any], key: str
) -> Answer:
    operation.admit(g.actor)

    def act() -> Answer:
        database = database_of_app()
        return perform(database, operation, _call(database, operation, path, query, body, key))

    return reported(operation, path, act)


def ensure_may(name: str) -> None:
    """Raises Forbidden where who sits at the screen may not use an operation: its form is not shown to them."""
    g.actor.require(OPERATIONS[name].roles)


def ask_all(
    name: str, query: dict[str, Any], *, pages: int | None = None, path: dict[str, Any] | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """List the items of the first `pages` pages of LIMIT_MAX, or of all of them, and tell whether there are more."""
    items, following = ask_from(name, query, pages=pages, path=path)
    return items, bool(following)


def ask_from(
    name: str,
    query: dict[str, Any],
    *,
    pages: int | None,
    path: dict[str, Any] | None = None,
    cursor: str = "",
) -> tuple[list[dict[str, Any]], str]:
    """List the items of at most `pages` pages of LIMIT_MAX from `cursor` on, with the cursor of what follows them.

    That is empty where nothing follows.
    """
    items: list[dict[str, Any]] = []
    for _ in count() if pages is None else range(pages):
        page = ask(name, path=path, query={**query, "limit": LIMIT_MAX, "cursor": cursor})
        items += page["items"]
        cursor = page["next_cursor"] or ""
        if not cursor:
            break
    return items, cursor


def is_answered(name: str, *, path: dict[str, Any] | None = None, body: dict[str, Any], key: str) -> bool:
    """Whether this very change was made before under `key`: then it is only asked for again.

    Raises IdempotencyKeyReused where the key belongs to another.
    """
    database = database_of_app()
    call = _call(database, OPERATIONS[name], path or {}, {}, body, key)
    stored = database.transact(
        lambda session: find_answer(session, organization_id=call.organization_id, key=call.key),
        actor=g.actor,
        read_only=True,
    )
    return stored is not None


def _call(
    database: Database,
    operation: Operation,
    path: dict[str, Any],
    query: dict[str, Any],
    body: dict[str, Any],
    key: str,
) -> Call:
    asked = load(operation.query or NO_PARAMETERS, {name: str(value) for name, value in query.items() if value})
    sent = load(operation.body, body) if operation.body is not None else {}
    page = page_asked_for(operation, asked, sent)
    call = Call(g.actor, path, asked, sent, page, NO_KEY)
    if operation.writes and operation.keyed:
        where = operation.path + "".join(f" {name}={value}" for name, value in sorted(path.items()))
        call.key = make_key(f"page-{key}", g.actor, operation.method, where, b"", sent)
    if operation.of_order:
        order_id, organization_id = path["order_id"], call.organization_id
        found = database.transact(
            lambda session: shelves_of(session, organization_id=organization_id, order_ids=[order_id]),
            actor=g.actor,
            read_only=True,
        )
        if order_id not in found:
            raise OrderNotFound()
        call.shelves = [found[order_id]]
    return call
