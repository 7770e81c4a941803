"""The audit trail."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.reports import trail
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Id, Line, Moment, PageQuery

resource = Resource("audit")
FILTERS = ("table_name", "row_id", "actor_id", "since", "until")


class AuditQuery(PageQuery):
    """Which changes: of a table, of a row, by a user; `from` counts, `to` does not."""

    table_name = Line(data_key="table", length=63)
    row_id = Id()
    actor_id = Id()
    since = Moment(data_key="from")
    until = Moment(data_key="to")


class AuditEventOut(Body):
    """One change of one row: before, after, by whom, in which request. Secrets were never written down."""

    id = fields.Integer()
    occurred_at = fields.AwareDateTime()
    table = fields.String()
    row_id = fields.UUID()
    operation = fields.String()
    actor_id = fields.UUID(allow_none=True)
    actor_name = fields.String(allow_none=True)
    request_id = fields.String(
        allow_none=True,
        metadata={"description": "An id of our own, after the caller's X-Request-ID and a slash where one was sent."},
    )
    before = fields.Dict(allow_none=True)
    after = fields.Dict(allow_none=True)


@resource.get(
    "/audit",
    "Who changed what, newest first",
    query=AuditQuery(),
    answer=AuditEventOut(),
    roles=frozenset({Role.ADMIN}),
    page=cursors.BY_NUMBER,
)
def list_events(session: Session, call: Call) -> Any:
    """Every change of every row, as the database's triggers recorded it."""
    filters = {name: call.query.get(name) for name in FILTERS}
    return trail.list_events(session, organization_id=call.organization_id, page=call.page, **filters)
