"""Changing a care team: assigning, changing the PRIMARY, removing.

One PRIMARY is held three times: by the check here, which names who it is; by the lane of the team, which the caller
takes before the first SELECT (`team_lane`), with the rows locked for who forgets it; and by the unique indexes, whose
error becomes the same refusal. `transact` runs such a refusal once again: only a new snapshot can name who was first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, select
from sqlalchemy.exc import IntegrityError

from backend.actor import Actor, Role
from backend.db import Session, bump, lane_of, new_id
from backend.db.filters import same_hospital
from backend.db.signals import constraint_of, driver_error
from backend.domain.care_team.errors import (
    AssignmentEnded,
    PrimaryProviderChanged,
    PrimaryProviderExists,
    ProviderAlreadyAssigned,
)
from backend.domain.care_team.models import ACTIVE_INDEX, PRIMARY_INDEX, CareRole, CareTeamAssignment
from backend.domain.care_team.queries import get_assignment
from backend.domain.identity.models import User
from backend.domain.identity.queries import get_user
from backend.domain.patients.admitting import get_patient
from backend.errors import Conflict, ValidationFailed

REFUSALS: dict[str, type[Conflict]] = {PRIMARY_INDEX: PrimaryProviderExists, ACTIVE_INDEX: ProviderAlreadyAssigned}


class Outgoing(StrEnum):
    """What becomes of the PRIMARY who is replaced: a SPECIALIST of the same team, or no member any more."""

    DEMOTE = "demote"
    REMOVE = "remove"


def team_lane(organization_id: UUID, patient_id: UUID) -> int:
    """The lane of a patient's team, to be taken before the first statement."""
    return lane_of(organization_id, patient_id)


def assign(
    session: Session, *, actor: Actor, patient_id: UUID, provider_id: UUID, role: CareRole, now: datetime
) -> UUID:
    """The new assignment of a doctor to a patient.

    Raises PatientNotFound, UserNotFound, ValidationFailed, ProviderAlreadyAssigned, PrimaryProviderExists.
    """
    team = _locked(session, actor, patient_id)
    _ensure_doctor(session, actor, provider_id)
    present = _member(team, provider_id)
    if present is not None:
        raise ProviderAlreadyAssigned(role=present.role, assignment_id=present.id)
    primary = _primary(team)
    if role is CareRole.PRIMARY and primary is not None:
        raise PrimaryProviderExists(
            f"{primary.provider_name} is this patient's PRIMARY: change the primary, or assign another role.",
            **_named(primary),
        )
    return _begin(session, actor, patient_id, provider_id, role, _moment(session, actor, patient_id, now))


def change_primary(
    session: Session,
    *,
    actor: Actor,
    patient_id: UUID,
    provider_id: UUID,
    outgoing: Outgoing,
    replaces: UUID | None,
    now: datetime,
) -> UUID:
    """The assignment by which a doctor is the patient's PRIMARY from now on; who was it before becomes `outgoing`.

    A doctor who is PRIMARY already stays it and nothing changes; without a PRIMARY there is nobody to replace. Who has
    left, or is no doctor any more, becomes no SPECIALIST: they leave the team.
    `replaces` is the PRIMARY assignment that the caller has seen, None where it may be any.
    Raises PatientNotFound, UserNotFound, ValidationFailed, PrimaryProviderChanged.
    """
    team = _locked(session, actor, patient_id)
    _ensure_doctor(session, actor, provider_id)
    primary = _primary(team)
    if replaces is not None and (primary is None or primary.id != replaces):
        raise PrimaryProviderChanged(**_named(primary))
    if primary is not None and primary.provider_id == provider_id:
        standing: UUID = primary.id
        return standing
    moment = _moment(session, actor, patient_id, now)
    for member in (primary, _member(team, provider_id)):
        if member is not None:
            _end(session, actor, member, moment)
    if primary is not None and outgoing is Outgoing.DEMOTE and primary.is_doctor:
        _begin(session, actor, patient_id, primary.provider_id, CareRole.SPECIALIST, moment)
    return _begin(session, actor, patient_id, provider_id, CareRole.PRIMARY, moment)


def remove(session: Session, *, actor: Actor, patient_id: UUID, assignment_id: UUID, now: datetime) -> None:
    """Ends an assignment; its row stays. Raises PatientNotFound, AssignmentNotFound, AssignmentEnded."""
    team = _locked(session, actor, patient_id)
    member = next((member for member in team if member.id == assignment_id), None)
    if member is None:
        where = {"organization_id": actor.organization_id, "patient_id": patient_id}
        raise AssignmentEnded(removed_at=get_assignment(session, assignment_id=assignment_id, **where).removed_at)
    _end(session, actor, member, _moment(session, actor, patient_id, now))


def _locked(session: Session, actor: Actor, patient_id: UUID) -> Sequence[Row[Any]]:
    """The patient's active assignments, locked in the order of their ids. Raises PatientNotFound."""
    get_patient(session, organization_id=actor.organization_id, patient_id=patient_id)
    member = CareTeamAssignment
    provider = same_hospital(User, by=member.provider_id)
    return session.execute(
        select(
            member.id,
            member.provider_id,
            User.name.label("provider_name"),
            (User.active & (User.role == Role.DOCTOR)).label("is_doctor"),
            member.role,
            member.assigned_at,
        )
        .join(User, provider)
        .where(
            member.organization_id == actor.organization_id,
            member.patient_id == patient_id,
            member.removed_at.is_(None),
        )
        .order_by(member.id)
        .with_for_update(of=member)
    ).all()


def _moment(session: Session, actor: Actor, patient_id: UUID, now: datetime) -> datetime:
    """`now`, but not before the team's last change: who waited in the lane began earlier, and another node's clock may
    be behind. So the periods of a history never overlap."""
    member = CareTeamAssignment
    last: datetime | None = session.execute(
        select(func.max(func.greatest(member.assigned_at, member.removed_at))).where(
            member.organization_id == actor.organization_id, member.patient_id == patient_id
        )
    ).scalar_one()
    return max(now, last) if last is not None else now


def _ensure_doctor(session: Session, actor: Actor, provider_id: UUID) -> None:
    """Raises UserNotFound, or ValidationFailed for who is no doctor or has left."""
    provider = get_user(session, organization_id=actor.organization_id, user_id=provider_id)
    if provider.role is not Role.DOCTOR:
        raise ValidationFailed.of("provider_id", "only a doctor is on a care team")
    if not provider.active:
        raise ValidationFailed.of("provider_id", "this doctor has left")


def _primary(team: Sequence[Row[Any]]) -> Row[Any] | None:
    return next((member for member in team if member.role is CareRole.PRIMARY), None)


def _member(team: Sequence[Row[Any]], provider_id: UUID) -> Row[Any] | None:
    return next((member for member in team if member.provider_id == provider_id), None)


def _named(primary: Row[Any] | None) -> dict[str, Any]:
    if primary is None:
        return dict.fromkeys(("assignment_id", "provider_id", "provider_name"))
    return {
        "assignment_id": primary.id,
        "provider_id": primary.provider_id,
        "provider_name": primary.provider_name,
    }


def _begin(session: Session, actor: Actor, patient_id: UUID, provider_id: UUID, role: CareRole, now: datetime) -> UUID:
    assignment_id = new_id()
    with _translated():
        session.execute(
            insert(CareTeamAssignment).values(
                organization_id=actor.organization_id,
                id=assignment_id,
                patient_id=patient_id,
                provider_id=provider_id,
                role=role,
                assigned_at=now,
                assigned_by_id=actor.user_id,
            )
        )
    return assignment_id


def _end(session: Session, actor: Actor, member: Row[Any], now: datetime) -> None:
    assignment = CareTeamAssignment
    session.execute(
        bump(assignment, removed_at=now, removed_by_id=actor.user_id).where(
            assignment.organization_id == actor.organization_id, assignment.id == member.id
        )
    )


@contextmanager
def _translated() -> Iterator[None]:
    """An error of one of our two unique indexes as the refusal that it means; any other goes on to `transact`."""
    try:
        yield
    except IntegrityError as error:
        cause = driver_error(error)
        refusal = REFUSALS.get(constraint_of(cause)) if cause is not None else None
        if refusal is None:
            raise
        raise refusal() from error
