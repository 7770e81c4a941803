"""Reads of the audit trail. The triggers have left secrets out of the rows."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from backend.db import Session
from backend.db.filters import equal, same_hospital, within
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.audit.models import AuditEvent
from backend.domain.identity.models import User


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
        .outerjoin(User, same_hospital(User, by=event.actor_id))
        .where(
            event.organization_id == organization_id,
            *equal(event, table_name=table_name, row_id=row_id, actor_id=actor_id),
            *within(event.occurred_at, since, until),
        )
    )
    return read_page(session, rows, page, event.id, descending=True)
