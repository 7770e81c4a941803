"""The sign-ins of a member of staff that have not ended: which there are, and ending one of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update

from backend.actor import Actor
from backend.db import Session
from backend.errors import NotFound
from backend.identity.models import AccessToken

LISTED_MAX = 100


class SignInNotFound(NotFound):
    """There is no such sign-in of yours."""


def list_sign_ins(session: Session, *, actor: Actor) -> Sequence[Row[Any]]:
    """The actor's own that have not ended, the latest LISTED_MAX, the latest first."""
    columns = (AccessToken.id, AccessToken.created_at, AccessToken.expires_at, AccessToken.second_factor)
    living = (AccessToken.revoked_at.is_(None), AccessToken.expires_at > func.now())
    latest = AccessToken.created_at.desc(), AccessToken.id.desc()
    return session.execute(select(*columns).where(*_own(actor), *living).order_by(*latest).limit(LISTED_MAX)).all()


def end_sign_in(session: Session, *, actor: Actor, token_id: UUID, now: datetime) -> None:
    """Ends one of the actor's own; a second time changes nothing. Raises SignInNotFound."""
    this = (*_own(actor), AccessToken.id == token_id)
    if session.execute(select(AccessToken.id).where(*this)).first() is None:
        raise SignInNotFound()
    session.execute(update(AccessToken).where(*this, AccessToken.revoked_at.is_(None)).values(revoked_at=now))


def _own(actor: Actor) -> tuple[Any, Any]:
    return AccessToken.organization_id == actor.organization_id, AccessToken.user_id == actor.user_id
