"""The seals of an organization as JSON lines (chain.py), to be kept where whoever owns the tables cannot write."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.actor import Actor
from backend.db import Database
from backend.domain.audit.chain import exported, stored
from backend.domain.audit.models import AuditSeal

PAGE_SEALS = 20


def export_seals(database: Database, *, organization_id: UUID) -> Iterator[str]:
    """The chain from its first seal to its last, a line each, without newlines. Raises Busy."""
    actor, seal = Actor.operator(organization_id), AuditSeal
    columns = select(*seal.__table__.c).where(seal.organization_id == organization_id).order_by(seal.id)

    def after(last: int) -> Sequence[Row[Any]]:
        page = columns.where(seal.id > last).limit(PAGE_SEALS)
        return database.transact(lambda session: session.execute(page).all(), actor=actor, read_only=True)

    rows = after(0)
    while rows:
        for row in rows:
            yield exported(*stored(row))
        rows = after(rows[-1].id)
