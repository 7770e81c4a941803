"""The second factor of a user: who has one, who must have one, enrolling and taking away.

It is the secret of an authenticator app, or any of the user's passkeys, or both. Whatever changes either raises the
version of the user's row, so that of two changes at once the second sees what the first has left.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, select

from backend.actor import Actor, Role, SecondFactorRequired
from backend.db import Session, bump
from backend.domain.identity.models import Passkey, User
from backend.domain.identity.queries import count_passkeys, get_user
from backend.domain.identity.sign_in import totp
from backend.domain.identity.tokens import revoke_tokens_of
from backend.domain.organizations.models import Organization
from backend.errors import Conflict


class SecondFactorChanged(Conflict):
    """Somebody has changed your second factor meanwhile. Look at it again."""


def is_required(session: Session, *, organization_id: UUID, role: Role) -> bool:
    """Whether the hospital asks `role` for a second factor."""
    roles = select(Organization.second_factor_roles).where(Organization.id == organization_id)
    return role.value in session.execute(roles).scalar_one()


def standing(session: Session, *, actor: Actor) -> dict[str, bool | int]:
    """Whether the actor has `enrolled` an authenticator app, how many `passkeys` they have, and whether a second factor
    is `required` of them."""
    required = is_required(session, organization_id=actor.organization_id, role=actor.role)
    enrolled = _secret_of(session, actor) is not None
    return {"enrolled": enrolled, "passkeys": _passkeys_of(session, actor), "required": required}


def enrol(session: Session, *, actor: Actor, secret: str, step: int, replacing: bool) -> None:
    """Makes `secret` the actor's second factor and uses up the code of `step`.

    Without `replacing` there is none yet, and no passkey either. Raises SecondFactorChanged where there is.
    """
    _set_secret(session, actor, secret, *(() if replacing else (User.totp_secret.is_(None),)))
    if not replacing and _passkeys_of(session, actor):
        raise SecondFactorChanged()
    assert actor.user_id is not None  # noqa: S101 - an operator has no sign-in
    totp.begin_at(session, organization_id=actor.organization_id, user_id=actor.user_id, step=step)


def remove(session: Session, *, actor: Actor) -> None:
    """The actor signs in without codes from now on. Raises SecondFactorRequired for the last factor of who must have
    one."""
    required = is_required(session, organization_id=actor.organization_id, role=actor.role)
    if required and not _passkeys_of(session, actor):
        raise SecondFactorRequired("Your hospital asks your role for a second factor: it can be renewed, not removed.")
    _set_secret(session, actor, None)


def reset(session: Session, *, organization_id: UUID, user_id: UUID, now: datetime) -> None:
    """Takes away the second factor of a user whose phone is lost, passkeys too, and every token of theirs.

    Raises UserNotFound.
    """
    get_user(session, organization_id=organization_id, user_id=user_id)
    session.execute(bump(User, totp_secret=None).where(User.organization_id == organization_id, User.id == user_id))
    session.execute(delete(Passkey).where(Passkey.organization_id == organization_id, Passkey.user_id == user_id))
    revoke_tokens_of(session, organization_id=organization_id, user_id=user_id, now=now)


def _mine(actor: Actor) -> tuple[Any, Any]:
    return User.organization_id == actor.organization_id, User.id == actor.user_id


def _secret_of(session: Session, actor: Actor) -> str | None:
    row: Row[Any] = session.execute(select(User.totp_secret).where(*_mine(actor))).one()
    found: str | None = row[0]
    return found


def _passkeys_of(session: Session, actor: Actor) -> int:
    assert actor.user_id is not None  # noqa: S101 - an operator has no sign-in
    return count_passkeys(session, organization_id=actor.organization_id, user_id=actor.user_id)


def _set_secret(session: Session, actor: Actor, secret: str | None, *conditions: Any) -> None:
    changed = session.execute(bump(User, totp_secret=secret).where(*_mine(actor), *conditions))
    if changed.rowcount != 1:
        raise SecondFactorChanged()
