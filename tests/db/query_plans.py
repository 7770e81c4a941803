"""What PostgreSQL would do with the very statements that a function of the product sends."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2.extensions
from sqlalchemy import event

from backend.actor import Actor
from backend.db import Database, Prepared, Session

CUSTOM_PLANS = 5  # for the values at hand; then PostgreSQL decides whether one plan for any values will do


@dataclass(frozen=True)
class Emitted:
    """A statement with its parameters, as the driver gets them."""

    sql: str
    values: Any


@dataclass(frozen=True)
class Plan:
    """What the planner chose: its cost, the indexes it reads, the tables it reads from end to end."""

    cost: float
    indexes: frozenset[str]
    scanned: frozenset[str]
    nodes: tuple[dict[str, Any], ...]
    text: str

    @classmethod
    def of(cls, cursor: psycopg2.extensions.cursor, statement: Emitted) -> "Plan":
        """The plan of `statement`, which is not executed."""
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.values)
        row = cursor.fetchone()
        assert row is not None
        root = row[0][0]["Plan"]
        nodes = tuple(_nodes(root))
        return cls(
            root["Total Cost"],
            frozenset(node["Index Name"] for node in nodes if "Index Name" in node),
            frozenset(node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"),
            nodes,
            json.dumps(row[0], indent=1),
        )

    def nodes_of(self, index: str) -> list[dict[str, Any]]:
        """The nodes that read `index`."""
        return [node for node in self.nodes if node.get("Index Name") == index]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


class Recorder:
    """A session that also keeps what is run on it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.emitted: list[Emitted] = []
        self.settled: dict[str, Plan] = {}  # of prepared statements: what the server has chosen after CUSTOM_PLANS
        self.generic: dict[str, Plan] = {}  # of prepared statements: the one plan for any values

    def take_lanes(self, lanes: Any) -> None:
        """As the session."""
        self._session.take_lanes(lanes)

    def __getattr__(self, name: str) -> Any:
        """As the session: its clock, and whatever else sends no statement."""
        return getattr(self._session, name)

    def run(self, statement: Prepared, /, **values: object) -> Any:
        """As the session; the prepared form is also planned as often as it takes to settle."""
        rows = self._session.run(statement, **values)
        self._keep(statement, values)
        return rows

    def read(self, statement: Prepared, row: Any, /, **values: object) -> Any:
        """As the session; planned as in `run`."""
        rows = self._session.read(statement, row, **values)
        self._keep(statement, values)
        return rows

    def _keep(self, statement: Prepared, values: dict[str, object]) -> None:
        call = Emitted(statement.call, statement.ordered(values))
        with self._session._driver.cursor() as cursor:
            for _ in range(CUSTOM_PLANS + 1):
                self.settled[statement.name] = Plan.of(cursor, call)
            cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            self.generic[statement.name] = Plan.of(cursor, call)
            cursor.execute("SET LOCAL plan_cache_mode = auto")
        self.emitted.append(Emitted(statement.inline, values))

    def execute(self, statement: Any, values: Any = None) -> Any:
        """As the session; the engine's hook keeps the statement."""
        return self._session.execute(statement, values)

    def plan(self, statement: Emitted) -> Plan:
        """The plan for the role and tenant of this transaction."""
        with self._session._driver.cursor() as cursor:
            return Plan.of(cursor, statement)


@contextmanager
def _hooked(database: Database, recorder: Recorder) -> Iterator[None]:
    def keep(_connection: Any, _cursor: Any, sql: str, values: Any, _context: Any, _many: bool) -> None:
        recorder.emitted.append(Emitted(sql, values))

    event.listen(database.engine, "before_cursor_execute", keep)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", keep)


@dataclass(frozen=True)
class Sent:
    """What a function sent: each statement, its plan; by name the settled and the generic plans of prepared ones."""

    emitted: list[Emitted]
    plans: list[Plan]
    settled: dict[str, Plan]
    generic: dict[str, Plan]


def explain(database: Database, actor: Actor, query: Callable[[Any], object], *, read_only: bool = True) -> Sent:
    """What `query(session)` sends, planned for the application role under row-level security."""

    def work(session: Session) -> Sent:
        recorder = Recorder(session)
        with _hooked(database, recorder):
            query(recorder)
        return Sent(
            recorder.emitted,
            [recorder.plan(emitted) for emitted in recorder.emitted],
            recorder.settled,
            recorder.generic,
        )

    return database.transact(work, actor=actor, read_only=read_only)
