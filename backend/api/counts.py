"""Counts of a ward's shelves."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.db import Database, Session
from backend.db.paging import Page
from backend.domain.custody import count_queries, counting
from backend.domain.custody.blind import COUNTERS
from backend.domain.custody.count_queries import LineState
from backend.domain.custody.counting import Counted
from backend.domain.custody.errors import CountEnded, CountIncomplete, CountNotFound, CountOpen
from backend.domain.custody.models import CountStatus
from backend.domain.formulary.scanning import ScanUnreadable, parse_scan
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock.adjustments import LotNotFound
from backend.domain.stock.ledger import UNITS_ON_SHELF_MAX, Shelf
from backend.domain.stock.scans import ScanContradictsLot, ensure_scan_of_lot
from backend.web import cursors
from backend.web.endpoint import Call, Resource, read
from backend.web.fields import Body, Choice, Count, Flag, Id, Moment, PageQuery, ScannedCode, Several

resource = Resource("counts")
DRUGS_MAX, LINES_MAX = 200, 200


class CountQuery(PageQuery):
    """Which sessions."""

    ward_id = Id()
    status = Choice(CountStatus)


class CountLineQuery(PageQuery):
    """Which lots of a session: those not counted yet, or those where more or less was found than the ledger held."""

    state = Choice(LineState)


class CountIn(Body):
    """What to count: the ward's lots of some drugs, of controlled drugs only, or all."""

    ward_id = Id(required=True)
    drug_ids = Several(Id(), most=DRUGS_MAX, least=1)
    controlled = Flag(load_default=False)


class CountedLotIn(Body):
    """What was found of a lot. `counted_at` is when, if not just now; `scan` shows that it is this lot."""

    lot_id = Id(required=True)
    counted_units = Count(required=True, low=0, high=UNITS_ON_SHELF_MAX)
    counted_at = Moment()
    scan = ScannedCode()


class CountRecordIn(Body):
    """Lots that were counted; one counted before is counted again."""

    lines = Several(fields.Nested(CountedLotIn), most=LINES_MAX, least=1, required=True)


class CountLineOut(Body):
    """A lot to count. A blind line, of a controlled drug, does not say what is expected until it is completed.

    A session that has ended does not say what was expected and found where you may be counting the shelf blind again.
    `figures_hidden` says that either is so.
    """

    drug_id = fields.UUID()
    drug_name = fields.String()
    strength = fields.String()
    unit = fields.String()
    lot_id = fields.UUID()
    lot_number = fields.String()
    expires_on = fields.Date()
    blind = fields.Boolean()
    counted_units = fields.Integer(allow_none=True)
    counted_by = fields.String(allow_none=True)
    counted_at = fields.AwareDateTime(allow_none=True)
    expected_units = fields.Integer(allow_none=True)
    variance_units = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()


class CountSummaryOut(Body):
    """A session."""

    id = fields.UUID()
    ward_id = fields.UUID()
    ward_name = fields.String()
    status = fields.Enum(CountStatus, by_value=True)
    opened_by = fields.String()
    opened_at = fields.AwareDateTime()
    ended_by = fields.String(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)
    line_count = fields.Integer()
    counted_count = fields.Integer()


class CountOut(CountSummaryOut):
    """A session with its lines by drug, the first 1,000 of them.

    Where there are more, `next_cursor` is the cursor with which `GET /counts/{id}/lines` goes on, else null.
    `differing_count` does not count lines whose figures are hidden from you.
    """

    differing_count = fields.Integer()
    lines = fields.List(fields.Nested(CountLineOut))
    next_cursor = fields.String(allow_none=True)


def _shelves(database: Database, call: Call) -> Sequence[Shelf]:
    lot_ids = [line["lot_id"] for line in call.body["lines"]]
    wanted = {"organization_id": call.organization_id, **call.path, "lot_ids": lot_ids}
    return read(database, call, lambda session: counting.shelves_of(session, **wanted))


def _answer(session: Session, call: Call) -> Any:
    return _told(session, call, **call.path)


def _told(session: Session, call: Call, count_id: UUID) -> dict[str, Any]:
    count = count_queries.get_count(session, organization_id=call.organization_id, count_id=count_id, hides=call.hides)
    lines: Page = count["lines"]
    return {**count, "lines": lines.items, "next_cursor": cursors.encode(lines.next_key)}


@resource.get("/counts", "Counts, newest first", query=CountQuery(), answer=CountSummaryOut(), page=cursors.BY_TIME)
def list_counts(session: Session, call: Call) -> Any:
    """Count sessions without their lines."""
    filters = {name: call.query.get(name) for name in ("ward_id", "status")}
    return count_queries.list_counts(session, organization_id=call.organization_id, page=call.page, **filters)


@resource.post(
    "/counts",
    "Start a count",
    body=CountIn(),
    answer=CountOut(),
    status=201,
    roles=COUNTERS,
    raises=(WardNotFound, NotOnThisWard, CountOpen),
)
def open_count(session: Session, call: Call) -> Any:
    """Lists the ward's lots for counting; a ward has one open session."""
    count_id = counting.open_count(
        session,
        actor=call.actor,
        ward_id=call.body["ward_id"],
        drug_ids=call.body.get("drug_ids"),
        controlled=call.body["controlled"],
        now=session.now,
    )
    return _told(session, call, count_id)


@resource.get("/counts/<uuid:count_id>", "One count", answer=CountOut(), roles=COUNTERS, raises=(CountNotFound,))
def read_count(session: Session, call: Call) -> Any:
    """A session with its lines."""
    return _answer(session, call)


@resource.get(
    "/counts/<uuid:count_id>/lines",
    "The lots of a count, by drug",
    query=CountLineQuery(),
    answer=CountLineOut(),
    roles=COUNTERS,
    page=cursors.BY_DRUG_AND_LOT,
    raises=(CountNotFound,),
)
def list_lines(session: Session, call: Call) -> Any:
    """All lines of a session, or those in a state."""
    where = {"organization_id": call.organization_id, **call.path}
    state, hides = call.query.get("state"), call.hides
    return count_queries.list_lines(session, state=state, hides=hides, page=call.page, **where)


@resource.post(
    "/counts/<uuid:count_id>/lines",
    "Record what was counted",
    body=CountRecordIn(),
    answer=CountOut(),
    roles=COUNTERS,
    shelves=_shelves,
    raises=(CountNotFound, NotOnThisWard, CountEnded, LotNotFound, ScanUnreadable, ScanContradictsLot),
)
def record(session: Session, call: Call) -> Any:
    """Compares each lot with the ledger as it was at `counted_at`, without telling of a blind one."""
    for line in call.body["lines"]:
        if "scan" in line:
            scan = parse_scan(line["scan"])
            ensure_scan_of_lot(session, organization_id=call.organization_id, scan=scan, lot_id=line["lot_id"])
    lines = [Counted(line["lot_id"], line["counted_units"], line.get("counted_at")) for line in call.body["lines"]]
    counting.record(session, actor=call.actor, lines=lines, now=session.now, **call.path)
    return _answer(session, call)


@resource.post(
    "/counts/<uuid:count_id>/complete",
    "Complete a count",
    answer=CountOut(),
    roles=COUNTERS,
    raises=(CountNotFound, NotOnThisWard, CountEnded, CountIncomplete),
)
def complete(session: Session, call: Call) -> Any:
    """Ends the session; what differs becomes a discrepancy, and no unit moves before that is resolved."""
    counting.complete(session, actor=call.actor, now=session.now, **call.path)
    return _answer(session, call)


@resource.post(
    "/counts/<uuid:count_id>/cancel",
    "Give a count up",
    answer=CountSummaryOut(),
    roles=COUNTERS,
    raises=(CountNotFound, NotOnThisWard, CountEnded),
)
def cancel(session: Session, call: Call) -> Any:
    """Ends the session without a result."""
    counting.cancel(session, actor=call.actor, now=session.now, **call.path)
    return _answer(session, call)
