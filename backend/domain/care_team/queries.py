"""Reads of care teams."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, case, exists, select
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.filters import same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.care_team.errors import AssignmentNotFound, NoPrimaryProvider
from backend.domain.care_team.models import CareRole, CareTeamAssignment
from backend.domain.identity.models import User
from backend.domain.patients.admitting import get_patient

# The place of a role in the order of a team, as a number that a cursor can hold.
RANK = case({role.value: place for place, role in enumerate(CareRole)}, value=CareTeamAssignment.role)


def _assignments(organization_id: UUID, patient_id: UUID) -> Rows:
    member, provider, assigner, remover = CareTeamAssignment, aliased(User), aliased(User), aliased(User)

    return (
        select(
            member.id,
            member.patient_id,
            member.provider_id,
            provider.name.label("provider_name"),
            provider.active.label("provider_active"),
            member.role,
            member.assigned_at,
            assigner.name.label("assigned_by"),
            member.removed_at,
            remover.name.label("removed_by"),
        )
        .join(provider, same_hospital(provider, by=member.provider_id))
        .outerjoin(assigner, same_hospital(assigner, by=member.assigned_by_id))
        .outerjoin(remover, same_hospital(remover, by=member.removed_by_id))
        .where(member.organization_id == organization_id, member.patient_id == patient_id)
    )


def team_of(session: Session, *, organization_id: UUID, patient_id: UUID, page: PageRequest) -> Page:
    """Who cares for the patient at present: the PRIMARY, then by role and time. Raises PatientNotFound."""
    get_patient(session, organization_id=organization_id, patient_id=patient_id)
    member = CareTeamAssignment
    rows = _assignments(organization_id, patient_id).where(member.removed_at.is_(None))
    return read_page(session, rows, page, RANK, member.assigned_at, member.id)


def history_of(session: Session, *, organization_id: UUID, patient_id: UUID, page: PageRequest) -> Page:
    """Every assignment there ever was, newest first. Raises PatientNotFound."""
    get_patient(session, organization_id=organization_id, patient_id=patient_id)
    member = CareTeamAssignment
    rows = _assignments(organization_id, patient_id)
    return read_page(session, rows, page, member.assigned_at, member.id, descending=True)


def primary_of(session: Session, *, organization_id: UUID, patient_id: UUID) -> Row[Any]:
    """The patient's PRIMARY provider. Raises PatientNotFound, NoPrimaryProvider."""
    team = team_of(session, organization_id=organization_id, patient_id=patient_id, page=PageRequest(limit=1))
    if not team.items or team.items[0].role is not CareRole.PRIMARY:
        raise NoPrimaryProvider()
    first: Row[Any] = team.items[0]
    return first


def get_assignment(session: Session, *, organization_id: UUID, patient_id: UUID, assignment_id: UUID) -> Row[Any]:
    """One assignment of the patient, ended or not. Raises AssignmentNotFound."""
    rows = _assignments(organization_id, patient_id).where(CareTeamAssignment.id == assignment_id)
    row = session.execute(rows).one_or_none()
    if row is None:
        raise AssignmentNotFound()
    return row


def on_team(organization_id: Any, patient_id: Any, provider_id: Any) -> ColumnElement[bool]:
    """Whether a provider is on a patient's team at present, for a column of another statement."""
    member = CareTeamAssignment
    return exists().where(
        member.organization_id == organization_id,
        member.patient_id == patient_id,
        member.provider_id == provider_id,
        member.removed_at.is_(None),
    )
