"""Witnesses: the second person whom a controlled drug asks for (mission row A9, issue of controlled drugs)."""

from uuid import UUID

from backend.actor import Actor
from backend.db import Prepared, Session
from backend.errors import Forbidden


class WitnessRequired(Forbidden):
    """A controlled drug needs a second member of staff of the ward: send their own credentials as `witness`."""


_WORKS_HERE = Prepared(
    "witness_works_here",
    ("uuid", "uuid", "uuid"),
    """SELECT 1 FROM ward_memberships m JOIN users u ON u.organization_id = $1 AND u.id = m.user_id
    WHERE m.organization_id = $1 AND m.user_id = $2 AND m.ward_id = $3 AND u.active AND u.role <> 'admin'""",
)


def ensure_witness(session: Session, *, actor: Actor, ward_id: UUID, witness_id: UUID | None) -> None:
    """Raises WitnessRequired unless `witness_id` is somebody else, active and of the ward."""
    if witness_id is None:
        raise WitnessRequired()
    if witness_id == actor.user_id:
        raise WitnessRequired("The witness must be another person.")
    if not session.run(_WORKS_HERE, (actor.organization_id, witness_id, ward_id)):
        raise WitnessRequired("The witness does not work on this ward.")
