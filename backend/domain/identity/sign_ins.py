"""The sign-ins of a member of staff that have not ended: which there are, and ending one of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from backend.actor import Actor
from backend.db import Session
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.identity.models import AccessToken
from backend.errors import NotFound


class SignInNotFound(NotFound):
    """There is no such sign-in of yours."""


def list_sign_ins(session: Session, *, actor: Actor, page: PageRequest) -> Page:
    """List the actor's own that have not ended, the latest first."""
    token = AccessToken
    living = (token.revoked_at.is_(None), token.expires_at > func.now())
    rows = select(token.id, token.created_at, token.expires_at, token.second_factor).where(*_own(actor), *living)
    return read_page(session, rows, page, token.created_at, token.id, descending=True)


def end_sign_in(session: Session, *, actor: Actor, token_id: UUID, now: datetime) -> None:
    """Ends one of the actor's own; a second time changes nothing. Raises SignInNotFound."""
    this = (*_own(actor), AccessToken.id == token_id)
    if session.execute(select(AccessToken.id).where(*this)).first() is None:
        raise SignInNotFound()
    session.execute(update(AccessToken).where(*this, AccessToken.revoked_at.is_(None)).values(revoked_at=now))


def _own(actor: Actor) -> tuple[Any, Any]:
    return AccessToken.organization_id == actor.organization_id, AccessToken.user_id == actor.user_id
