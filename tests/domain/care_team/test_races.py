"""Rows B2, B3 and B5: many change one team at once, with every guard and with each of them taken out."""

import itertools
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2.errors
import pytest
from prometheus_client import REGISTRY
from werkzeug.test import TestResponse

from backend.actor import Role
from backend.db import Session
from backend.db.transaction import ConstraintViolated
from backend.domain.care_team import assigning
from backend.domain.care_team.errors import PrimaryProviderExists, ProviderAlreadyAssigned
from backend.domain.care_team.models import CareRole
from backend.errors import DomainError
from tests import day
from tests.concurrency.test_guards import without_lanes
from tests.concurrency.threads import outcomes, retries, together
from tests.domain.care_team.team import Team
from tests.hospital import Hospital
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.concurrency
CROWD = 10
DOCTORS = [f"doctor{number}" for number in range(CROWD)]


@pytest.fixture
def crowd(team: Team) -> Team:
    """A team, and ten doctors who want to be PRIMARY."""
    for login in DOCTORS:
        team.hospital.add_staff(login, Role.DOCTOR)
    return team


def violations(constraint: str) -> float:
    """How often the database had to stop a write by `constraint`."""
    return REGISTRY.get_sample_value("valmed_constraint_violations_total", {"constraint": constraint}) or 0.0


def assign_all(team: Team) -> list[TestResponse]:
    """Ten doctors are assigned as PRIMARY at the same moment."""
    return together(*(lambda login=login: team.assign(login, "PRIMARY") for login in DOCTORS))


def let_two_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two have both looked for a PRIMARY before either of them writes one: they race for certain.

    Only the first two: the first holds no row, so that nobody whom it waits for can wait for it.
    """
    look, both, looks = assigning._primary, threading.Barrier(2), itertools.count()

    def look_and_wait(team: Sequence[Any]) -> Any:
        found = look(team)
        if next(looks) < 2:
            both.wait(timeout=PATIENCE_SECONDS)
        return found

    monkeypatch.setattr(assigning, "_primary", look_and_wait)


def ensure_one_primary(team: Team) -> str:
    """The name of the one PRIMARY; no period of a PRIMARY or of one provider overlaps another."""
    ((name,),) = team.hospital.rows(
        "SELECT u.name FROM care_team_assignments a JOIN users u ON u.id = a.provider_id"
        " WHERE a.role = 'PRIMARY' AND a.removed_at IS NULL"
    )
    overlapping = team.hospital.rows(
        "SELECT a.id FROM care_team_assignments a JOIN care_team_assignments b ON b.id <> a.id"
        " AND (b.provider_id = a.provider_id OR (a.role = 'PRIMARY' AND b.role = 'PRIMARY'))"
        " AND tstzrange(a.assigned_at, a.removed_at) && tstzrange(b.assigned_at, b.removed_at)"
    )
    assert overlapping == []
    return str(name)


def test_of_ten_who_assign_ten_providers_as_primary_one_does(crowd: Team) -> None:
    before = retries()
    answers = assign_all(crowd)
    assert outcomes(answers) == {"201": 1, "409 primary_provider_exists": 9}
    (first,) = [answer.get_json() for answer in answers if answer.status_code == 201]
    assert {answer.get_json()["assignment_id"] for answer in answers if answer.status_code == 409} == {first["id"]}
    assert crowd.hospital.rows("SELECT id FROM care_team_assignments") == [(uuid.UUID(first["id"]),)]
    assert retries() == before, "the lane alone spares every retry"


def test_without_lanes_the_index_decides_and_the_refusals_are_the_same(
    crowd: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who loses the race runs once again, and the check names who won it."""
    without_lanes(monkeypatch)
    let_two_look_at_once(monkeypatch)
    before = violations("uq_care_team_primary")
    answers = assign_all(crowd)
    assert outcomes(answers) == {"201": 1, "409 primary_provider_exists": 9}
    named = {answer.get_json()["provider_name"] for answer in answers if answer.status_code == 409}
    assert named == {ensure_one_primary(crowd)}
    assert violations("uq_care_team_primary") > before


def test_without_lanes_and_the_check_the_index_alone_still_gives_the_same_refusal(
    crowd: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lanes(monkeypatch)
    monkeypatch.setattr(assigning, "_primary", lambda team: None)
    answers = assign_all(crowd)
    assert outcomes(answers) == {"201": 1, "409 primary_provider_exists": 9}
    (detail,) = {answer.get_json()["detail"] for answer in answers if answer.status_code == 409}
    assert detail == "Another provider is this patient's PRIMARY: change the primary, or assign another role."
    ensure_one_primary(crowd)


def test_without_the_index_and_the_lanes_several_would_be_primary(
    crowd: Team, superuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control, decided in step so that it does not depend on luck."""
    without_lanes(monkeypatch)
    monkeypatch.setattr(assigning, "_primary", lambda team: None)
    definition = "(organization_id, patient_id) WHERE role = 'PRIMARY' AND removed_at IS NULL"
    with superuser.cursor() as cursor:
        cursor.execute("DROP INDEX uq_care_team_primary")
        try:
            assert outcomes(assign_all(crowd)) == {"201": CROWD}
        finally:
            cursor.execute("SET session_replication_role = replica")
            ours = str(crowd.hospital.organization_id)
            cursor.execute("DELETE FROM care_team_assignments WHERE organization_id = %s", (ours,))
            cursor.execute("RESET session_replication_role")
            cursor.execute(f"CREATE UNIQUE INDEX uq_care_team_primary ON care_team_assignments {definition}")


def test_of_ten_who_assign_the_same_provider_one_does(crowd: Team) -> None:
    answers = together(*[lambda: crowd.assign("ada", "CONSULTANT")] * CROWD)
    assert outcomes(answers) == {"201": 1, "409 provider_already_assigned": 9}
    assert crowd.members() == [("Ada", "CONSULTANT")]


def test_ten_who_change_the_primary_at_once_all_do_one_after_the_other(crowd: Team) -> None:
    crowd.assign("ada", "PRIMARY")
    before = retries()
    answers = together(*(lambda login=login: crowd.change(login) for login in DOCTORS))
    assert outcomes(answers) == {"200": CROWD}
    last = ensure_one_primary(crowd)
    others = {"Ada", *(login.title() for login in DOCTORS)} - {last}
    assert crowd.members()[0] == (last, "PRIMARY")
    assert {name for name, role in crowd.members() if role == "SPECIALIST"} == others
    history = crowd.history()
    assert sorted(name for name, role, _ in history if role == "PRIMARY") == sorted({*others, last})
    assert [entry for entry in history if entry[1] == "PRIMARY" and entry[2]] == [(last, "PRIMARY", True)]
    assert retries() == before


def test_without_lanes_ten_changes_at_once_are_run_again_and_nobody_sees_it(
    crowd: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lanes(monkeypatch)
    crowd.assign("ada", "PRIMARY")
    before = retries()
    answers = together(*(lambda login=login: crowd.change(login) for login in DOCTORS[:6]))
    assert outcomes(answers) == {"200": 6}
    assert retries() > before
    ensure_one_primary(crowd)
    assert len([entry for entry in crowd.history() if entry[1] == "PRIMARY"]) == 7


def test_of_ten_who_replace_the_same_primary_one_does(crowd: Team) -> None:
    seen = crowd.assign("ada", "PRIMARY").get_json()["id"]
    answers = together(*(lambda login=login: crowd.change(login, replaces=seen) for login in DOCTORS))
    assert outcomes(answers) == {"200": 1, "409 primary_provider_changed": 9}
    ensure_one_primary(crowd)


@pytest.mark.parametrize("guard", ["lanes", "rows"])
def test_removing_the_primary_while_it_is_changed_leaves_one_or_the_other(
    crowd: Team, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    if guard == "rows":
        without_lanes(monkeypatch)
    for login in DOCTORS[:6]:
        primary = crowd.change("ada").get_json()["id"]
        removed, changed = together(
            lambda primary=primary: crowd.remove(primary), lambda login=login: crowd.change(login)
        )
        assert changed.status_code == 200
        assert removed.status_code == 204 or removed.get_json()["code"] == "assignment_ended"
        specialist = ("Ada", "SPECIALIST") in crowd.members()
        assert specialist is (removed.status_code == 409), "demoted by the change, or removed before it"
        assert crowd.members()[0] == (login.title(), "PRIMARY")


def test_everything_at_once_ends_with_one_primary_and_no_5xx(crowd: Team) -> None:
    present = crowd.assign("ada", "PRIMARY").get_json()["id"]
    acts: list[Callable[[], TestResponse]] = [
        *(lambda login=login: crowd.assign(login, "PRIMARY") for login in DOCTORS[:4]),
        *(lambda login=login: crowd.change(login) for login in DOCTORS[4:8]),
        *(lambda: crowd.remove(present) for _ in range(4)),
    ]
    answers = together(*acts)
    assert {answer.status_code for answer in answers} <= {200, 201, 204, 409}
    ensure_one_primary(crowd)


def test_a_team_that_is_being_changed_is_held_against_who_forgets_the_lane(hospital: Hospital, superuser) -> None:
    """SELECT ... FOR UPDATE on the rows that are decided on."""
    day.assign(hospital, hospital.patient_id, hospital.staff["doctor"].user_id, CareRole.PRIMARY)
    ours = (str(hospital.organization_id),)

    def lock_and_look(session: Session) -> None:
        assigning._locked(session, hospital.staff["doctor"], hospital.patient_id)
        with superuser.cursor() as stranger, pytest.raises(psycopg2.errors.LockNotAvailable):
            stranger.execute("SELECT 1 FROM care_team_assignments WHERE organization_id = %s FOR UPDATE NOWAIT", ours)

    hospital.run(lock_and_look)


@pytest.mark.parametrize(
    ("hidden", "provider", "refusal"),
    [("_primary", "doctor", PrimaryProviderExists), ("_member", "ada", ProviderAlreadyAssigned)],
)
def test_the_index_refuses_what_the_check_let_through(
    crowd: Team, monkeypatch: pytest.MonkeyPatch, hidden: str, provider: str, refusal: type[DomainError]
) -> None:
    crowd.assign("ada", "PRIMARY" if hidden == "_primary" else "CONSULTANT")
    monkeypatch.setattr(assigning, hidden, lambda *_: None)
    role = CareRole.PRIMARY if hidden == "_primary" else CareRole.SPECIALIST
    with pytest.raises(refusal):
        day.assign(crowd.hospital, crowd.hospital.patient_id, crowd.hospital.staff[provider].user_id, role)
    assert len(crowd.members()) == 1


def test_an_integrity_error_that_nobody_foresaw_is_no_5xx_and_says_nothing_of_the_driver(
    crowd: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = crowd.assign("ada", "PRIMARY").get_json()["id"]
    monkeypatch.setattr(assigning, "new_id", lambda: uuid.UUID(made))
    answer = crowd.assign("ben", "CONSULTANT")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "constraint_violated")
    assert answer.get_json()["constraint"] == "pk_care_team_assignments"
    assert "duplicate key" not in answer.text
    assert "psycopg2" not in answer.text
    with pytest.raises(ConstraintViolated):
        day.assign(crowd.hospital, crowd.hospital.patient_id, crowd.hospital.staff["ben"].user_id, CareRole.CONSULTANT)


def test_a_change_that_is_repeated_with_its_key_happens_once(crowd: Team) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"provider_id": crowd.id_of("ada"), "role": "PRIMARY"}
    answers = together(*[lambda: crowd.doctor.post(crowd.path, body, headers=headers)] * 8)
    assert {(answer.status_code, answer.data) for answer in answers} == {(201, answers[0].data)}
    assert len(crowd.history()) == 1
