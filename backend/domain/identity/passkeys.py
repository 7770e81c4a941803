"""The passkeys that a user has: at most ten, each used by whoever holds the device and by no copy of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select

from backend.actor import Actor, SecondFactorRequired
from backend.db import Session, bump, new_id
from backend.domain.identity.models import Passkey, User
from backend.domain.identity.queries import count_passkeys, list_passkeys
from backend.domain.identity.second_factors import is_required
from backend.domain.identity.sign_in.webauthn import Made, Shown
from backend.errors import Conflict, NotFound
from backend.observability import log

PASSKEYS_MAX = 10


class PasskeyNotFound(NotFound):
    """You have no such passkey."""


class PasskeyTaken(Conflict):
    """This passkey is registered already."""


class TooManyPasskeys(Conflict):
    """You have as many passkeys as anybody may, `passkeys_max`. Remove one that you do not use any more."""


def known_before_another(session: Session, *, actor: Actor) -> Sequence[Row[Any]]:
    """The actor's passkeys, where there is room for one more. Raises TooManyPasskeys."""
    assert actor.user_id is not None  # noqa: S101 - an operator has no sign-in
    known = list_passkeys(session, organization_id=actor.organization_id, user_id=actor.user_id)
    if len(known) >= PASSKEYS_MAX:
        raise TooManyPasskeys(passkeys_max=PASSKEYS_MAX)
    return known


def add_passkey(session: Session, *, actor: Actor, made: Made, name: str) -> None:
    """A new passkey of the actor. Raises PasskeyTaken, TooManyPasskeys."""
    user_id = _lock_factors(session, actor)
    where = {"organization_id": actor.organization_id}
    if count_passkeys(session, user_id=user_id, **where) >= PASSKEYS_MAX:
        raise TooManyPasskeys(passkeys_max=PASSKEYS_MAX)
    same = select(Passkey.id).where(
        Passkey.organization_id == actor.organization_id, Passkey.credential_id == made.credential_id
    )
    if session.execute(same).first() is not None:
        raise PasskeyTaken()
    session.execute(
        insert(Passkey).values(
            **where,
            id=new_id(),
            user_id=user_id,
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            transports=made.transports,
            backed_up=made.backed_up,
            name=name,
        )
    )


def remove_passkey(session: Session, *, actor: Actor, passkey_id: UUID) -> None:
    """Takes one of the actor's passkeys away. Raises PasskeyNotFound, SecondFactorRequired for the last factor of
    somebody who must have one."""
    user_id = _lock_factors(session, actor)
    where = {"organization_id": actor.organization_id}
    mine = (Passkey.organization_id == actor.organization_id, Passkey.user_id == user_id)
    gone = session.execute(delete(Passkey).where(*mine, Passkey.id == passkey_id))
    if gone.rowcount != 1:
        raise PasskeyNotFound()
    if not is_required(session, role=actor.role, **where) or count_passkeys(session, user_id=user_id, **where):
        return
    secret = select(User.totp_secret).where(User.organization_id == actor.organization_id, User.id == user_id)
    if session.execute(secret).scalar_one() is None:
        raise SecondFactorRequired("Your hospital asks your role for a second factor: set up another one first.")


def use_passkey(session: Session, *, actor: Actor, passkey_id: UUID, shown: Shown, now: datetime) -> bool:
    """Notes that a passkey was used. False where it is gone, and where its count has not risen: then another device
    holds a copy of the key, and nobody knows which of the two this is. A device that counts says so from the first."""
    this = (Passkey.organization_id == actor.organization_id, Passkey.id == passkey_id)
    stored = session.execute(select(Passkey.sign_count).where(*this)).scalar_one_or_none()
    if stored is None:
        return False
    if (stored or shown.sign_count) and shown.sign_count <= stored:
        log.warning(
            "passkey_count_went_back",
            organization_id=str(actor.organization_id),
            user_id=str(actor.user_id),
            passkey_id=str(passkey_id),
            stored=stored,
            shown=shown.sign_count,
        )
        return False
    session.execute(
        bump(Passkey, sign_count=shown.sign_count, backed_up=shown.backed_up, last_used_at=now).where(*this)
    )
    return True


def _lock_factors(session: Session, actor: Actor) -> UUID:
    """Who the actor is. Of two changes of somebody's factors at once the second finds the row of the user changed under
    its snapshot (40001), runs again and sees what the first has left."""
    assert actor.user_id is not None  # noqa: S101 - an operator has no sign-in
    session.execute(bump(User).where(User.organization_id == actor.organization_id, User.id == actor.user_id))
    return actor.user_id
