"""First passwords: those that somebody else has chosen for a user, an admin or the operator.

Decision: who signs in with one chooses their own before there is a token. Because every token then stands for a
password that its owner alone knows, and no page and no operation has to ask whether it does. Cost: whoever sets a
program up signs it in once with `new_password`.

A first password is good for FIRST_PASSWORD_DAYS by the database's clock, and for nothing but choosing another: it
unlocks no screen, witnesses nothing and changes no second factor. Whoever signs in by a passkey alone has not used it.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select

from backend.actor import Actor
from backend.db import Session, bump
from backend.domain.identity.models import User
from backend.domain.identity.tokens import Person, revoke_tokens_of
from backend.errors import Forbidden, NotAuthenticated

FIRST_PASSWORD_DAYS = 7
_CHANGED = "Your password has changed meanwhile. Sign in again."


class PasswordChangeRequired(Forbidden):
    """Somebody else chose this password: send one of your own as `new_password` with the same sign-in, or choose it on
    the page.

    An account with a second factor shows it in the same request.
    """


class FirstPasswordExpired(Forbidden):
    """The password that you were given has expired: ask an admin for another one."""


def expiry() -> ColumnElement[datetime]:
    """When a password expires that somebody else chooses in this transaction."""
    return func.now() + timedelta(days=FIRST_PASSWORD_DAYS)


def ensure_own(session: Session, person: Person) -> None:
    """Raises NotAuthenticated where the password that was checked is theirs no more, PasswordChangeRequired where
    somebody else chose it. Held until the commit: of a sign-in and a new password at once the second sees the first."""
    columns = (User.password_hash, User.first_password_expires_at)
    stored = session.execute(select(*columns).where(*_whose(person)).with_for_update(read=True)).one()
    if stored.password_hash != person.password_hash:
        raise NotAuthenticated(_CHANGED)
    if stored.first_password_expires_at is not None:
        raise PasswordChangeRequired()


def set_own_password(session: Session, *, actor: Actor, person: Person, password_hash: str, now: datetime) -> None:
    """Stores the actor's new password in the place of the one that was checked and ends every token of theirs.

    Raises NotAuthenticated where that has changed meanwhile, or has expired.
    """
    good = or_(User.first_password_expires_at.is_(None), User.first_password_expires_at > func.now())
    changed = session.execute(
        bump(User, password_hash=password_hash, first_password_expires_at=None).where(
            *_whose(person), User.password_hash == person.password_hash, good
        )
    )
    if changed.rowcount != 1:
        raise NotAuthenticated(_CHANGED)
    revoke_tokens_of(session, organization_id=actor.organization_id, user_id=person.user_id, now=now)


def _whose(person: Person) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return User.organization_id == person.organization_id, User.id == person.user_id
