"""Who cares for the patients of the sample hospitals."""

import random
from datetime import timedelta
from uuid import UUID

from backend.actor import Actor, Role
from backend.db import Session
from backend.domain.care_team import assigning
from backend.domain.care_team.assigning import Outgoing, team_lane
from backend.domain.care_team.models import CareRole
from backend.operations.demo.site import Hospital

PRESCRIBERS = ("doctor", "doctor2", "doctor3", "doctor4")  # who orders in the sample hospitals
HANDED_OVER_EVERY = 3


def form_teams(hospital: Hospital) -> None:
    """A PRIMARY, a specialist and a consultant for every patient; every third PRIMARY has taken over from another.

    The first patient of all has a specialist only, so that `valmed care-team check` has something to show.
    """
    chance = random.Random("teams")  # noqa: S311 - sample data, not a secret

    def work(session: Session) -> None:
        session.take_lanes(team_lane(hospital.organization_id, patient_id) for patient_id in hospital.patients)
        for number, patient_id in enumerate(hospital.patients):
            _form(session, hospital, patient_id, number, chance)

    hospital.run(work, hospital.staff["doctor"])


def _form(session: Session, hospital: Hospital, patient_id: UUID, number: int, chance: random.Random) -> None:
    others = [login for login, one in hospital.staff.items() if one.role is Role.DOCTOR and login not in PRESCRIBERS]
    first, second, third = (hospital.staff[login] for login in chance.sample(PRESCRIBERS, 3))
    members = [
        (first, CareRole.PRIMARY),
        (second, CareRole.SPECIALIST),
        (hospital.staff[chance.choice(others)], CareRole.CONSULTANT),
    ]
    for day, (doctor, role) in enumerate(members if number else members[1:2]):
        assigning.assign(
            session,
            actor=first,
            patient_id=patient_id,
            provider_id=_id_of(doctor),
            role=role,
            now=hospital.now - timedelta(days=4 - day),
        )
    if number % HANDED_OVER_EVERY == 1:
        assigning.change_primary(
            session,
            actor=first,
            patient_id=patient_id,
            provider_id=_id_of(third),
            outgoing=Outgoing.DEMOTE,
            replaces=None,
            now=hospital.now - timedelta(hours=20),
        )


def _id_of(doctor: Actor) -> UUID:
    assert doctor.user_id is not None  # noqa: S101 - a member of staff has one
    return doctor.user_id
