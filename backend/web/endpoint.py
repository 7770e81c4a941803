"""One way to write an endpoint: what it takes, who may call it, what it answers; the rest happens here.

A route turns what was sent into the arguments of the use case that the operation `does`: `(call) -> Bound`. Roles,
lanes and the type of the answer are the use case's. Around it, in this order: token, role, query, body, the use case in
one transaction under the idempotency key, JSON. Routes that do no declared use case yet are functions `(session, call)`
that return plain values. Reads run READ ONLY. Writes store their answer under the key in their
own transaction, so every write can be repeated and none can be lost or doubled by a broken connection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import urlencode
from uuid import UUID

import orjson
from flask import Blueprint, Request, Response, current_app, request
from marshmallow import Schema
from marshmallow import fields as ma

from backend.actor import STAFF, Actor, Role
from backend.db import Database, Session
from backend.db.idempotency import Answer, IdempotencyKey, find_answer, store_answer
from backend.db.paging import LIMIT_DEFAULT, Page, PageRequest
from backend.db.use_cases import Bound, UseCase
from backend.domain.custody.blind import hidden_from, refusing_blindly
from backend.domain.identity.standing import ensure_stands
from backend.domain.identity.tokens import OrderPlace
from backend.domain.orders.errors import OrderNotFound
from backend.domain.stock.hiding import Hides
from backend.domain.stock.ledger import Shelf
from backend.errors import DomainError
from backend.web import cursors, tables
from backend.web.authentication import actor_of
from backend.web.idempotency import key_of
from backend.web.parsing import parse_body, parse_query
from backend.web.schemas import schema_of

JSON = "application/json"
T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One request as a route sees it."""

    actor: Actor
    path: dict[str, Any]
    query: dict[str, Any]
    body: dict[str, Any]
    page: PageRequest
    key: IdempotencyKey
    shelves: Sequence[Shelf] = ()  # whose lanes the transaction takes
    prepared: Any = None  # what the endpoint's `prepare` or `identify` returned, made before the transaction

    @property
    def organization_id(self) -> UUID:
        """The caller's hospital."""
        return self.actor.organization_id

    @property
    def shelf(self) -> Shelf:
        """The one shelf of the request."""
        return self.shelves[0]

    @property
    def hides(self) -> Hides:
        """Which figures of stock are hidden from the caller."""
        return hidden_from(self.actor)


Route = Callable[..., Any]  # (session, call) -> plain values; of an operation that `does` a use case, call -> Bound
NO_KEY = IdempotencyKey("", b"")
NO_PAGE = PageRequest()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What one endpoint promises; web/openapi.py writes the same down for its readers."""

    method: str
    path: str
    summary: str
    route: Route
    does: UseCase[..., Any] | None = None  # what the route binds; roles, second factor and answer are its own
    roles: frozenset[Role] = STAFF
    query: Schema | None = None
    body: Schema | None = None
    answer: Schema | None = None
    changes: bool = True  # False: a POST that only reads, so that no URL says what is asked for
    status: int = 200
    page: Sequence[cursors.KeyPart] = ()  # not empty: a keyset list with this key
    shelves: Callable[[Database, Call], Sequence[Shelf]] | None = None  # whose lanes are taken before the first read
    reads: Callable[[Request, Schema | None], dict[str, Any]] = parse_body  # the body, where it is not JSON
    media: str = JSON  # of the body
    lanes: Callable[[Call], Sequence[int]] = lambda call: ()  # others that are taken before the first read
    second_factor: bool = False  # whether the sign-in must have had one
    produces: str = JSON  # of the answer; of any other the route returns the text itself
    lengthy: bool = False  # reads or writes so much that it may take as long as a report
    answers_itself: bool = False  # the use case takes its lane and stores its answer (the fulfil path)
    prepare: Callable[[Database, Call], Any] | None = None  # slow or preliminary work outside the transaction
    identify: Callable[[Database, dict[str, Any]], tuple[Actor, Any]] | None = None  # body -> who asks, and `prepared`
    keyed: bool = True  # a write stores its answer under its Idempotency-Key
    report: Callable[[dict[str, Any], str, Answer | None], None] | None = None  # told how it ended, after the commit
    refused: Callable[[Call, DomainError], None] | None = None  # told of each refusal by the transaction, after its end
    raises: tuple[type[DomainError], ...] = ()
    description: str = ""

    @property
    def writes(self) -> bool:
        """Whether the endpoint changes anything."""
        return self.method != "GET" and self.changes

    @property
    def is_list(self) -> bool:
        """Whether it answers a keyset list, as JSON or as CSV."""
        return self.method == "GET" and bool(self.page)

    def as_table(self) -> "Operation":
        """Return the same list as CSV (web/tables.py)."""
        return replace(
            self,
            produces=tables.CONTENT_TYPE,
            lengthy=True,
            route=lambda session, call: _table(self, session, call),
        )

    def admit(self, actor: Actor) -> None:
        """Raises Forbidden, SecondFactorRequired where `actor` may not call it."""
        actor.require(self.roles)
        if self.second_factor:
            actor.require_second_factor()

    @property
    def of_order(self) -> bool:
        """Whether the path names an order whose shelf is found with the token."""
        return "order_id" in self.path and self.writes


@dataclass
class Resource:
    """The endpoints of one noun, registered on a blueprint and listed for the documentation."""

    name: str
    operations: list[Operation] = field(default_factory=list)

    def get(self, path: str, summary: str, **promises: Any) -> Callable[[Route], Route]:
        """A read at `path`."""
        return self._add("GET", path, summary, promises)

    def post(self, path: str, summary: str, **promises: Any) -> Callable[[Route], Route]:
        """A change at `path`."""
        return self._add("POST", path, summary, promises)

    def put(self, path: str, summary: str, **promises: Any) -> Callable[[Route], Route]:
        """What `path` names, as a whole."""
        return self._add("PUT", path, summary, promises)

    def patch(self, path: str, summary: str, **promises: Any) -> Callable[[Route], Route]:
        """A change of some fields of what `path` names."""
        return self._add("PATCH", path, summary, promises)

    def delete(self, path: str, summary: str, **promises: Any) -> Callable[[Route], Route]:
        """An end of what `path` names."""
        return self._add("DELETE", path, summary, promises)

    def _add(self, method: str, path: str, summary: str, promises: dict[str, Any]) -> Callable[[Route], Route]:
        does = promises.get("does")
        if does is not None:
            promises = {"answer": answer_of(does), "roles": does.may, "second_factor": does.second_factor, **promises}

        def add(route: Route) -> Route:
            self.operations.append(
                Operation(
                    method=method,
                    path=path,
                    summary=summary,
                    route=route,
                    description=(route.__doc__ or "").strip(),
                    **promises,
                )
            )
            return route

        return add

    def register(self, blueprint: Blueprint) -> None:
        """Adds the endpoints to `blueprint`."""
        for operation in self.operations:
            blueprint.add_url_rule(
                operation.path,
                endpoint=f"{self.name}_{operation.route.__name__}",
                view_func=_view(operation),
                methods=[operation.method],
            )


def answer_of(use_case: UseCase[..., Any]) -> Schema:
    """Return the schema of what a use case returns, or of an item where it returns a page."""
    kind = use_case.answers
    return schema_of(get_args(kind)[0] if get_origin(kind) is Page else kind)


def shelf_of_body(_database: Database, call: Call) -> Sequence[Shelf]:
    """The shelf that a body names by `ward_id` and `drug_id`."""
    return (Shelf(call.organization_id, call.body["ward_id"], call.body["drug_id"]),)


def read(database: Database, call: Call, look: Callable[[Session], T]) -> T:
    """What `look(session)` returns, in a transaction of its own before the one that changes something."""
    return database.transact(look, actor=call.actor, read_only=True)


def database_of_app() -> Database:
    """The database of the running application."""
    database: Database = current_app.extensions["valmed"]
    return database


def _view(operation: Operation) -> Callable[..., Response]:
    table = operation.as_table() if operation.is_list else operation

    def view(**path: Any) -> Response:
        database = database_of_app()
        asked = table if tables.is_preferred(request.accept_mimetypes) else operation
        answer = reported(asked, path, lambda: perform(database, asked, _call(database, asked, path)))
        return _response(asked, answer)

    return view


def reported(operation: Operation, path: dict[str, Any], act: Callable[[], Answer]) -> Answer:
    """The answer of `act`; the endpoint's `report` is told how it ended."""
    report = operation.report or (lambda path, outcome, answer: None)
    try:
        answer = act()
    except DomainError as refusal:
        report(path, refusal.code, None)
        raise
    report(path, "replayed" if answer.replayed else "done", answer)
    return answer


def perform(database: Database, operation: Operation, call: Call) -> Answer:
    """The answer to `call`, after its transaction has committed."""
    if operation.shelves is not None:
        call.shelves = operation.shelves(database, call)
    if operation.prepare is not None:
        call.prepared = operation.prepare(database, call)
    try:
        if operation.does is not None and operation.writes:
            wanted: Bound[Any] = operation.route(call)
            return database.answer(wanted, key=call.key, encode=lambda value: _answer(operation, value))
        return database.transact(
            lambda session: _run(session, operation, call),
            actor=call.actor,
            repeatable=operation.keyed,
            read_only=not operation.writes,
            report=operation.lengthy,
        )
    except DomainError as refusal:
        if operation.refused is not None:
            operation.refused(call, refusal)
        raise


def _call(database: Database, operation: Operation, path: dict[str, Any]) -> Call:
    """Everything that is known before the transaction begins; raises whatever is wrong with the request."""
    actor, body, place, prepared = _identified(database, operation, path)
    query = parse_query(request, operation.query)
    page = page_asked_for(operation, query, body)
    key = key_of(request, actor, body) if operation.writes and operation.keyed else NO_KEY
    shelves = _shelf_of_order(operation, actor, place)
    return Call(actor, path, query, body, page, key, shelves, prepared)


def page_asked_for(operation: Operation, query: dict[str, Any], body: dict[str, Any]) -> PageRequest:
    """The page that the query asks for, or the body of a search; `limit` and `cursor` are taken out of it.

    Raises ValidationFailed.
    """
    if not operation.page:
        return NO_PAGE
    asked = query if operation.method == "GET" else body
    unless_said = tables.ROWS_MAX if operation.produces == tables.CONTENT_TYPE else LIMIT_DEFAULT
    limit, cursor = asked.pop("limit", None), asked.pop("cursor", None)
    return cursors.page_request(limit, cursor, operation.page, unless_said=unless_said)


def _identified(
    database: Database, operation: Operation, path: dict[str, Any]
) -> tuple[Actor, dict[str, Any], OrderPlace | None, Any]:
    """Who asks, what was sent, where the order of the path lies, what `identify` made. The body is read after the
    token was checked."""
    if operation.identify is not None:
        body = operation.reads(request, operation.body)
        actor, prepared = operation.identify(database, body)
        return actor, body, None, prepared
    actor, place = actor_of(database, request, path.get("order_id") if operation.of_order else None)
    operation.admit(actor)
    return actor, operation.reads(request, operation.body) if operation.method != "GET" else {}, place, None


def _shelf_of_order(operation: Operation, actor: Actor, place: OrderPlace | None) -> Sequence[Shelf]:
    if not operation.of_order:
        return ()
    if place is None:
        raise OrderNotFound()
    return (Shelf(actor.organization_id, place.ward_id, place.drug_id),)


def _run(session: Session, operation: Operation, call: Call) -> Answer:
    if operation.answers_itself:
        itself: Answer = operation.route(session, call)
        return itself
    if not operation.writes:
        return _answer(operation, _value(operation, session, call))
    session.take_lanes([*(shelf.lane for shelf in call.shelves), *operation.lanes(call)])
    if operation.identify is None:
        ensure_stands(session, call.actor)
    if not operation.keyed:
        return _answer(operation, operation.route(session, call))
    stored = find_answer(session, organization_id=call.organization_id, key=call.key)
    if stored is not None:
        return stored
    with refusing_blindly(session, call.actor, call.shelves):
        answer = _answer(operation, operation.route(session, call))
    store_answer(session, organization_id=call.organization_id, user_id=call.actor.user_id, key=call.key, answer=answer)
    return answer


def _value(operation: Operation, session: Session, call: Call) -> Any:
    """What a read returns."""
    if operation.does is None or operation.produces != JSON:  # a table calls for its pages itself
        return operation.route(session, call)
    return operation.route(call).run(session)


def _answer(operation: Operation, value: Any) -> Answer:
    if isinstance(value, Answer):
        return value
    if operation.produces != JSON:
        return Answer(operation.status, str(value).encode())
    if operation.answer is None:
        return Answer(operation.status, b"")
    if isinstance(value, Page):
        items = [plain(operation.answer, row) for row in value.items]
        value = {"items": items, "next_cursor": cursors.encode(value.next_key)}
    else:
        value = plain(operation.answer, value)
    return Answer(operation.status, orjson.dumps(value, option=orjson.OPT_UTC_Z))


def _table(operation: Operation, session: Session, call: Call) -> Answer:
    """The rows that `call` asks for as CSV, from the snapshot of the one transaction."""
    assert operation.answer is not None  # noqa: S101 - a list has rows
    rows: list[list[Any]] = [list(operation.answer.fields)]
    left, after = call.page.limit, call.page.after
    while left:
        part = replace(call, page=PageRequest(min(left, tables.PAGE_ROWS), after))
        page = _value(operation, session, part)
        rows += (list(plain(operation.answer, row).values()) for row in page.items)
        left, after = left - len(page.items), page.next_key
        if after is None:
            break
    return Answer(operation.status, tables.csv_of(rows), following=cursors.encode(after))


def plain(schema: Schema, value: Any) -> dict[str, Any]:
    """The fields that `schema` promises, taken from a row, a dataclass or a dict; a missing one is a bug.

    The schema names the fields, orjson writes them: a tenth of the time of marshmallow's dump.
    """
    read = value.__getitem__ if isinstance(value, dict) else lambda name: getattr(value, name)
    return {name: _nested(promised, read(name)) for name, promised in schema.fields.items()}


def _nested(promised: ma.Field[Any], value: Any) -> Any:
    if isinstance(promised, ma.Nested) and value is not None:
        return plain(promised.schema, value)
    if isinstance(promised, ma.List) and isinstance(promised.inner, ma.Nested):
        return [plain(promised.inner.schema, item) for item in value]
    return value


def _response(operation: Operation, answer: Answer) -> Response:
    response = Response(answer.body, status=answer.status, content_type=operation.produces)
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if operation.is_list:
        response.vary.add("Accept")
    if answer.following is not None:
        query = urlencode({**request.args, "cursor": answer.following})
        response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    if answer.etag is not None:
        response.set_etag(answer.etag)
        response.make_conditional(request)
    return response
