"""Reads of staff and memberships."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, null, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from backend.actor import Role
from backend.db import Rows, Session
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.identity.models import Passkey, User, WardMembership
from backend.domain.organizations.models import Ward
from backend.errors import NotFound


class UserNotFound(NotFound):
    """There is no such user in your organization."""


def _users(organization_id: UUID, *, to_admin: bool) -> Rows:
    """Whose password is a first one is told `to_admin` alone: it is the account to try first."""
    wards = (
        select(func.coalesce(func.array_agg(aggregate_order_by(WardMembership.ward_id, WardMembership.ward_id)), "{}"))
        .where(WardMembership.organization_id == organization_id, WardMembership.user_id == User.id)
        .scalar_subquery()
    )
    expiry = User.first_password_expires_at if to_admin else null()
    columns = (User.id, User.email, User.name, User.role, User.active, expiry.label("first_password_expires_at"))
    return select(*columns, wards.label("ward_ids")).where(User.organization_id == organization_id)


def list_users(
    session: Session,
    *,
    organization_id: UUID,
    role: Role | None,
    ward_id: UUID | None,
    q: str | None,
    page: PageRequest,
    to_admin: bool,
) -> Page:
    """Staff by email, of one `role`, of one ward and with `q` in name or email where given; when first passwords expire
    is told `to_admin` alone."""
    rows = _users(organization_id, to_admin=to_admin).where(*equal(User, role=role))
    if ward_id is not None:
        member = WardMembership
        mine = (member.organization_id == organization_id, member.user_id == User.id, member.ward_id == ward_id)
        rows = rows.where(select(member.id).where(*mine).exists())
    if q:
        by_name = func.strpos(func.lower(User.name), func.lower(q)) > 0
        rows = rows.where(by_name | (func.strpos(User.email, q.lower()) > 0))
    return read_page(session, rows, page, User.email, User.id)


def get_user(session: Session, *, organization_id: UUID, user_id: UUID, to_admin: bool = True) -> Row[Any]:
    """One user, as an admin sees them unless told otherwise. Raises UserNotFound."""
    row = session.execute(_users(organization_id, to_admin=to_admin).where(User.id == user_id)).one_or_none()
    if row is None:
        raise UserNotFound()
    return row


def wards_of(session: Session, *, organization_id: UUID, user_id: UUID) -> Sequence[Row[Any]]:
    """The wards a user works on, by name."""
    return session.execute(
        select(Ward.id, Ward.name, Ward.kind)
        .join(
            WardMembership,
            same_hospital(Ward, by=WardMembership.ward_id),
        )
        .where(
            Ward.organization_id == organization_id,
            WardMembership.organization_id == organization_id,
            WardMembership.user_id == user_id,
        )
        .order_by(Ward.name)
    ).all()


def list_passkeys(session: Session, *, organization_id: UUID, user_id: UUID) -> Sequence[Row[Any]]:
    """A user's passkeys, the oldest first."""
    return session.execute(
        select(
            Passkey.id,
            Passkey.name,
            Passkey.credential_id,
            Passkey.transports,
            Passkey.backed_up,
            Passkey.created_at,
            Passkey.last_used_at,
        )
        .where(Passkey.organization_id == organization_id, Passkey.user_id == user_id)
        .order_by(Passkey.id)
    ).all()


def count_passkeys(session: Session, *, organization_id: UUID, user_id: UUID) -> int:
    """How many passkeys a user has."""
    mine = (Passkey.organization_id == organization_id, Passkey.user_id == user_id)
    return int(session.execute(select(func.count()).select_from(Passkey).where(*mine)).scalar_one())
