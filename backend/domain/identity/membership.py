"""Who works on which ward: a nurse acts on her own wards only."""

from uuid import UUID

from sqlalchemy import select

from backend.actor import Actor, Role
from backend.db import Session
from backend.domain.identity.models import WardMembership
from backend.errors import Forbidden


class NotOnThisWard(Forbidden):
    """You do not work on this ward. An admin adds you to it."""

    code = "forbidden"


def ensure_of_ward(session: Session, actor: Actor, ward_id: UUID) -> None:
    """Raise NotOnThisWard for a nurse who is not a member of the ward."""
    if actor.role is not Role.NURSE:
        return
    membership = WardMembership
    found = session.execute(
        select(membership.id).where(
            membership.organization_id == actor.organization_id,
            membership.user_id == actor.user_id,
            membership.ward_id == ward_id,
        )
    ).first()
    if found is None:
        raise NotOnThisWard()
