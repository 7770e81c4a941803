"""Doctors decide who is on a patient's care team, and who is its PRIMARY."""

from random import Random
from typing import Any

from backend.domain.care_team.assigning import Outgoing
from backend.domain.care_team.models import CareRole
from backend.operations.proving.acts.wish import Seat, Wish, drop
from backend.operations.proving.board import Board


def _learn_member(board: Board, answer: Any) -> None:
    patient_id, provider_id, role = answer["patient_id"], answer["provider_id"], answer["role"]
    board.members.put(answer["id"], (patient_id, provider_id, role))
    if role == CareRole.PRIMARY:
        board.primaries.put(patient_id, (answer["id"], provider_id))


def _begun(answer: Any) -> Seat:
    return Seat(True, answer["patient_id"], answer["provider_id"], answer["role"])


def wish_assignment(board: Board, chance: Random, _number: int) -> Wish:
    """A doctor joins a team, often as the PRIMARY that it may have already."""
    role = chance.choice((CareRole.PRIMARY, CareRole.PRIMARY, CareRole.SPECIALIST, CareRole.CONSULTANT))
    return Wish(
        f"/patients/{board.patient(chance)}/care-team",
        {"provider_id": str(chance.choice(board.hospital.doctors)), "role": role},
        learn=lambda answer: _learn_member(board, answer),
        seats=lambda answer: [_begun(answer)],
    )


def wish_primary(board: Board, chance: Random, _number: int) -> Wish | None:
    """Another doctor in place of the PRIMARY that is known, and of no other."""
    picked = board.primaries.pick(chance)
    if picked is None:
        return None
    patient_id, (assignment_id, primary_id) = picked
    provider_id = chance.choice([str(doctor) for doctor in board.hospital.doctors if str(doctor) != primary_id])
    outgoing = chance.choice((Outgoing.REMOVE, Outgoing.REMOVE, Outgoing.DEMOTE))
    about = [
        (board.primaries, patient_id, (assignment_id, primary_id)),
        (board.members, assignment_id, (patient_id, primary_id, CareRole.PRIMARY)),
    ]

    def learn(answer: Any) -> None:
        drop(about)
        _learn_member(board, answer)

    def seats(answer: Any) -> list[Seat]:
        demoted = [Seat(True, patient_id, primary_id, CareRole.SPECIALIST)] if outgoing is Outgoing.DEMOTE else []
        return [_begun(answer), Seat(False, patient_id, primary_id, CareRole.PRIMARY), *demoted]

    return Wish(
        f"/patients/{patient_id}/care-team/primary",
        {"provider_id": provider_id, "outgoing": outgoing, "replaces": assignment_id},
        method="PUT",
        learn=learn,
        seats=seats,
        about=about,
    )


def wish_removal(board: Board, chance: Random, _number: int) -> Wish | None:
    """Somebody leaves a team."""
    picked = board.members.pick(chance)
    if picked is None:
        return None
    assignment_id, (patient_id, provider_id, role) = picked
    about = [
        (board.members, assignment_id, (patient_id, provider_id, role)),
        (board.primaries, patient_id, (assignment_id, provider_id)),
    ]
    return Wish(
        f"/patients/{patient_id}/care-team/{assignment_id}",
        method="DELETE",
        learn=lambda answer: drop(about),
        seats=lambda answer: [Seat(False, patient_id, provider_id, role)],
        about=about,
    )
