"""Reads of the audit trail. The triggers have left secrets out of the rows (mission row D2)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from backend.audit.models import AuditEvent
from backend.db import Session
from backend.db.paging import Page, PageRequest, page_of
from backend.identity.models import User


def list_events(
    session: Session,
    *,
    organization_id: UUID,
    table_name: str | None,
    row_id: UUID | None,
    actor_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    page: PageRequest,
) -> Page:
    """Changes of rows, newest first; `since` counts, `until` does not. Each index of the trail serves one filter."""
    event = AuditEvent
    wanted = (
        (event.table_name, table_name),
        (event.row_id, row_id),
        (event.actor_id, actor_id),
    )
    bounds = [column == value for column, value in wanted if value is not None]
    bounds += [event.occurred_at >= since] if since is not None else []
    bounds += [event.occurred_at < until] if until is not None else []
    bounds += [event.id < page.after[0]] if page.after is not None else []
    rows = (
        select(
            event.id,
            event.occurred_at,
            event.table_name.label("table"),
            event.row_id,
            event.operation,
            event.actor_id,
            User.name.label("actor_name"),
            event.request_id,
            event.before,
            event.after,
        )
        .outerjoin(User, (User.organization_id == event.organization_id) & (User.id == event.actor_id))
        .where(event.organization_id == organization_id, *bounds)
        .order_by(event.id.desc())
        .limit(page.limit + 1)
    )
    return page_of(session.execute(rows).all(), page, lambda row: (row.id,))
