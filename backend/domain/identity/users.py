"""Staff: joining, changing, leaving."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select

from backend.actor import Role
from backend.db import Session, bump, new_id
from backend.domain.identity.first_passwords import expiry
from backend.domain.identity.models import User, WardMembership
from backend.domain.identity.passwords import hash_password
from backend.domain.identity.queries import get_user
from backend.domain.identity.tokens import revoke_tokens_of
from backend.domain.organizations.models import Organization, Ward
from backend.errors import Conflict, ValidationFailed


class EmailTaken(Conflict):
    """Another user of your organization has this email address."""


class LastAdmin(Conflict):
    """This is your organization's only admin who works here: make another one before this one leaves or becomes
    something else. Else nobody could take anybody on again."""


def add_user(
    session: Session,
    *,
    organization_id: UUID,
    email: str,
    name: str,
    role: Role,
    password: str,
    ward_ids: Collection[UUID] = (),
) -> UUID:
    """A new member of staff, who works on `ward_ids`; the password is a first one. Raises EmailTaken,
    ValidationFailed."""
    _ensure_free(session, organization_id, email.lower())
    return insert_user(
        session,
        organization_id=organization_id,
        email=email,
        name=name,
        role=role,
        password_hash=hash_password(password, about=(name, email, *_names(session, organization_id))),
        ward_ids=ward_ids,
    )


def insert_user(
    session: Session,
    *,
    organization_id: UUID,
    email: str,
    name: str,
    role: Role,
    password_hash: str,
    ward_ids: Collection[UUID] = (),
    totp_secret: str | None = None,
    own_password: bool = False,
) -> UUID:
    """Insert a member of staff whose password has been hashed, and whose address nobody has.

    The password is a first one, unless it is theirs already (`own_password`: made-up people). Raises ValidationFailed
    for a ward that does not exist.
    """
    user_id = new_id()
    session.execute(
        insert(User).values(
            organization_id=organization_id,
            id=user_id,
            email=email.lower(),
            name=name,
            role=role,
            password_hash=password_hash,
            totp_secret=totp_secret,
            **({} if own_password else {"first_password_expires_at": expiry()}),
        )
    )
    set_wards(session, organization_id=organization_id, user_id=user_id, ward_ids=ward_ids)
    return user_id


def change_user(
    session: Session,
    *,
    organization_id: UUID,
    user_id: UUID,
    now: datetime,
    password: str | None = None,
    ward_ids: Collection[UUID] | None = None,
    add_ward_ids: Collection[UUID] = (),
    remove_ward_ids: Collection[UUID] = (),
    **changes: Any,
) -> None:
    """Changes name, role, active, password and wards. A new password, another role or leaving ends every token.

    `ward_ids` replaces the wards; then `add_ward_ids` are added, and `remove_ward_ids` taken away.

    The password is a first one, whoever asks: nobody has typed the present one.

    Raises UserNotFound, ValidationFailed, LastAdmin.
    """
    before = get_user(session, organization_id=organization_id, user_id=user_id)
    stays = changes.get("role", Role.ADMIN) is Role.ADMIN and changes.get("active", True)
    if before.role is Role.ADMIN and not stays:
        _ensure_an_admin_stays(session, organization_id, leaving=user_id)
    if password is not None:
        known = known_of(session, organization_id=organization_id, user_id=user_id)
        changes |= {"password_hash": hash_password(password, about=known), "first_password_expires_at": expiry()}
    wards = ward_ids is not None or add_ward_ids or remove_ward_ids
    if changes or wards:  # of two who set the wards at once the second finds this row changed (40001)
        session.execute(bump(User, **changes).where(User.organization_id == organization_id, User.id == user_id))
    if wards:
        _ensure_wards(session, organization_id, "add_ward_ids", add_ward_ids)
        _ensure_wards(session, organization_id, "remove_ward_ids", remove_ward_ids)
        wanted = (set(before.ward_ids if ward_ids is None else ward_ids) | set(add_ward_ids)) - set(remove_ward_ids)
        set_wards(session, organization_id=organization_id, user_id=user_id, ward_ids=wanted)
    other_role = changes.get("role", before.role) != before.role
    if password is not None or other_role or changes.get("active") is False:
        revoke_tokens_of(session, organization_id=organization_id, user_id=user_id, now=now)


def _ensure_an_admin_stays(session: Session, organization_id: UUID, *, leaving: UUID) -> None:
    """Raises LastAdmin. Locks the admins: of two who take each other's role at once, the second finds a row changed
    under its snapshot (40001), runs again and sees that the first has gone."""
    admins = session.execute(
        select(User.id)
        .where(User.organization_id == organization_id, User.role == Role.ADMIN, User.active)
        .order_by(User.id)
        .with_for_update(key_share=True)
    ).scalars()
    if set(admins) == {leaving}:
        raise LastAdmin()


def known_of(session: Session, *, organization_id: UUID, user_id: UUID) -> list[str]:
    """What everybody knows of a user, and so tries for a password: names and addresses. Raises UserNotFound."""
    user = get_user(session, organization_id=organization_id, user_id=user_id)
    return [user.name, user.email, *_names(session, organization_id)]


def set_wards(session: Session, *, organization_id: UUID, user_id: UUID, ward_ids: Collection[UUID]) -> None:
    """Makes `ward_ids` the wards of a user. Raises ValidationFailed for a ward that does not exist."""
    wanted = set(ward_ids)
    _ensure_wards(session, organization_id, "ward_ids", wanted)
    member = WardMembership
    mine = (member.organization_id == organization_id, member.user_id == user_id)
    session.execute(delete(member).where(*mine, member.ward_id.not_in(wanted)))
    present = set(session.execute(select(member.ward_id).where(*mine)).scalars())
    rows = [
        {"organization_id": organization_id, "id": new_id(), "user_id": user_id, "ward_id": ward_id}
        for ward_id in sorted(wanted - present)
    ]
    if rows:
        session.execute(insert(member), rows)


def _ensure_wards(session: Session, organization_id: UUID, field: str, ward_ids: Collection[UUID]) -> None:
    """Raises ValidationFailed, which names the field, for a ward that does not exist."""
    there = select(Ward.id).where(Ward.organization_id == organization_id, Ward.id.in_(ward_ids))
    if set(session.execute(there).scalars()) != set(ward_ids):
        raise ValidationFailed.of(field, "no such ward in your organization")


def _names(session: Session, organization_id: UUID) -> list[str]:
    names = select(Organization.name, Organization.slug).where(Organization.id == organization_id)
    return list(session.execute(names).one())


def _ensure_free(session: Session, organization_id: UUID, email: str) -> None:
    taken = session.execute(select(User.id).where(User.organization_id == organization_id, User.email == email))
    if taken.first() is not None:
        raise EmailTaken()
