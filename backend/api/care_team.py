"""Care teams."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.care_team import assigning, errors, queries
from backend.domain.care_team.assigning import Outgoing, team_lane
from backend.domain.care_team.models import CareRole
from backend.domain.identity.queries import UserNotFound
from backend.domain.patients.admitting import PatientNotFound
from backend.errors import DomainError
from backend.observability import CARE_TEAM_VIOLATIONS, log
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Id, PageQuery

resource = Resource("care_team")
CHANGING = frozenset({Role.DOCTOR, Role.ADMIN})
# What the log calls a refusal that the rules of a team made.
EVENTS: dict[str, str] = {
    errors.PrimaryProviderExists.code: "primary_provider_constraint_violation",
    errors.ProviderAlreadyAssigned.code: "duplicate_care_team_assignment",
}
UNFORESEEN = "care_team_assignment_integrity_error"


class AssignmentIn(Body):
    """A doctor and their role. `PRIMARY` only where nobody is."""

    provider_id = Id(required=True)
    role = Choice(CareRole, required=True)


class PrimaryIn(Body):
    """The new PRIMARY; what becomes of the present one; and its assignment, where only that one is to be replaced."""

    provider_id = Id(required=True)
    outgoing = Choice(Outgoing, load_default=Outgoing.DEMOTE)
    replaces = Id(load_default=None)


class AssignmentOut(Body):
    """A doctor of a patient's care team, from `assigned_at` until `removed_at`."""

    id = fields.UUID()
    patient_id = fields.UUID()
    provider_id = fields.UUID()
    provider_name = fields.String()
    provider_active = fields.Boolean()
    role = fields.Enum(CareRole, by_value=True)
    assigned_at = fields.AwareDateTime()
    assigned_by = fields.String(allow_none=True)
    removed_at = fields.AwareDateTime(allow_none=True)
    removed_by = fields.String(allow_none=True)


def _lanes(call: Call) -> tuple[int]:
    return (team_lane(call.organization_id, call.path["patient_id"]),)


def _report(call: Call, refusal: DomainError) -> None:
    """Logs and counts a refusal that the rules of a team made, by the check or by the database."""
    event = EVENTS.get(refusal.code, UNFORESEEN if "constraint" in refusal.members else "")
    if not event:
        return
    CARE_TEAM_VIOLATIONS.labels(event).inc()
    constraint = {"constraint": refusal.members["constraint"]} if event == UNFORESEEN else {}
    write = log.error if event == UNFORESEEN else log.warning
    write(
        event,
        patient_id=str(call.path["patient_id"]),
        provider_id=str(call.body.get("provider_id") or ""),
        organization_id=str(call.organization_id),
        role=call.body.get("role", CareRole.PRIMARY if "outgoing" in call.body else ""),
        user_id=str(call.actor.user_id),
        **constraint,
    )


CHANGE: dict[str, Any] = {"roles": CHANGING, "second_factor": True, "lanes": _lanes, "refused": _report}


@resource.get(
    "/patients/<uuid:patient_id>/care-team",
    "A patient's care team, the PRIMARY first",
    query=PageQuery(),
    answer=AssignmentOut(),
    page=cursors.BY_RANK,
    raises=(PatientNotFound,),
)
def read_team(session: Session, call: Call) -> Any:
    """Who cares for the patient at present."""
    return queries.team_of(session, organization_id=call.organization_id, page=call.page, **call.path)


@resource.get(
    "/patients/<uuid:patient_id>/care-team/history",
    "Every assignment of a patient's care team, newest first",
    query=PageQuery(),
    answer=AssignmentOut(),
    page=cursors.BY_TIME,
    raises=(PatientNotFound,),
)
def read_history(session: Session, call: Call) -> Any:
    """Who cared for the patient, as what, from when until when. A change of role ends one and begins another."""
    return queries.history_of(session, organization_id=call.organization_id, page=call.page, **call.path)


@resource.get(
    "/patients/<uuid:patient_id>/care-team/primary",
    "A patient's PRIMARY provider",
    answer=AssignmentOut(),
    raises=(PatientNotFound, errors.NoPrimaryProvider),
)
def read_primary(session: Session, call: Call) -> Any:
    """The one PRIMARY."""
    return queries.primary_of(session, organization_id=call.organization_id, **call.path)


@resource.post(
    "/patients/<uuid:patient_id>/care-team",
    "Assign a doctor to a patient",
    body=AssignmentIn(),
    answer=AssignmentOut(),
    status=201,
    raises=(PatientNotFound, UserNotFound, errors.ProviderAlreadyAssigned, errors.PrimaryProviderExists),
    **CHANGE,
)
def assign(session: Session, call: Call) -> Any:
    """One PRIMARY, any number of specialists and consultants, each doctor once."""
    assignment_id = assigning.assign(session, actor=call.actor, now=session.now, **call.path, **call.body)
    where = {"organization_id": call.organization_id, **call.path}
    return queries.get_assignment(session, assignment_id=assignment_id, **where)


@resource.put(
    "/patients/<uuid:patient_id>/care-team/primary",
    "Change a patient's PRIMARY provider",
    body=PrimaryIn(),
    answer=AssignmentOut(),
    raises=(PatientNotFound, UserNotFound, errors.PrimaryProviderChanged),
    **CHANGE,
)
def change_primary(session: Session, call: Call) -> Any:
    """In one transaction the present PRIMARY becomes a SPECIALIST, or with `outgoing` = `remove` leaves the team, and
    the new one begins. Who works here as a doctor no more leaves it in any case. Who is PRIMARY already stays it."""
    assignment_id = assigning.change_primary(session, actor=call.actor, now=session.now, **call.path, **call.body)
    where = {"organization_id": call.organization_id, **call.path}
    return queries.get_assignment(session, assignment_id=assignment_id, **where)


@resource.delete(
    "/patients/<uuid:patient_id>/care-team/<uuid:assignment_id>",
    "Remove a doctor from a patient's care team",
    status=204,
    raises=(PatientNotFound, errors.AssignmentNotFound, errors.AssignmentEnded),
    **CHANGE,
)
def remove(session: Session, call: Call) -> Any:
    """Ends the assignment; it stays in the history."""
    assigning.remove(session, actor=call.actor, now=session.now, **call.path)
