"""Custody of controlled drugs: receipts and transfers have a second name where the hospital's policy asks for it.

Waste, loss, correction and return always have one, doses by a policy of their own. The database holds the same in
`witness_due` of the rows.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from backend.actor import Actor
from backend.db import Session
from backend.domain.formulary.models import Drug
from backend.domain.identity.witnesses import Witness, admit_witness
from backend.domain.organizations.models import Organization


def admit_custody_witness(
    session: Session, *, actor: Actor, ward_id: UUID, drug_ids: Collection[UUID], witness: Witness | None
) -> UUID | None:
    """Return who witnesses that units of the drugs come to the ward or leave it, and use up their one-time code.

    None where nobody came and neither the hospital's policy nor a drug asks. Raises WitnessRequired,
    WitnessCodeRequired.
    """
    needed = witness is None and _asks(session, actor.organization_id, drug_ids)
    return admit_witness(session, actor=actor, ward_id=ward_id, witness=witness, needed=needed)


def _asks(session: Session, organization_id: UUID, drug_ids: Collection[UUID]) -> bool:
    """Whether the policy is on and one of the drugs is controlled."""
    controlled = (
        select(Drug.id)
        .join(Organization, Organization.id == Drug.organization_id)
        .where(
            Drug.organization_id == organization_id,
            Drug.id.in_(drug_ids),
            Drug.controlled_schedule.is_not(None),
            Organization.custody_witness_required,
        )
    )
    return session.execute(controlled.limit(1)).first() is not None
