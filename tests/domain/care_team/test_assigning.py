"""Who is on a patient's care team, by the rules: rows B1, B3, B4 and B8."""

import uuid
from datetime import timedelta

import pytest
from flask import Flask

from backend.actor import Actor
from backend.domain.care_team import assigning, queries
from backend.domain.care_team.models import CareRole
from backend.domain.identity import tokens
from tests import day
from tests.api.valid_requests import assert_problem, everything
from tests.domain.care_team.team import Team
from tests.hospital import Client, Hospital, now, open_hospital, sign_in


def test_a_team_has_one_primary_and_several_others_the_primary_first(team: Team) -> None:
    for login, role in (("eva", "CONSULTANT"), ("ada", "SPECIALIST"), ("doctor", "SPECIALIST"), ("ben", "PRIMARY")):
        made = team.assign(login, role)
        assert made.status_code == 201
        document = made.get_json()
        assert (document["provider_id"], document["role"], document["removed_at"]) == (team.id_of(login), role, None)
        assert (document["assigned_by"], document["provider_active"]) == ("Doctor", True)
    expected = [("Ben", "PRIMARY"), ("Ada", "SPECIALIST"), ("Doctor", "SPECIALIST"), ("Eva", "CONSULTANT")]
    assert team.members() == expected
    assert team.doctor.get(f"{team.path}/primary").get_json()["provider_name"] == "Ben"


def test_a_second_primary_is_refused_and_the_refusal_names_the_first(team: Team) -> None:
    first = team.assign("ada", "PRIMARY").get_json()
    before = everything(team.hospital)
    refusal = assert_problem(team.assign("ben", "PRIMARY"), 409, "primary_provider_exists")
    named = {name: refusal[name] for name in ("provider_id", "provider_name", "assignment_id")}
    assert named == {"provider_id": team.id_of("ada"), "provider_name": "Ada", "assignment_id": first["id"]}
    assert refusal["detail"].startswith("Ada is this patient's PRIMARY: change the primary")
    assert everything(team.hospital) == before


@pytest.mark.parametrize("again", ["PRIMARY", "SPECIALIST", "CONSULTANT"])
@pytest.mark.parametrize("role", ["PRIMARY", "SPECIALIST"])
def test_a_provider_is_on_a_team_once(team: Team, role: str, again: str) -> None:
    first = team.assign("ada", role).get_json()
    before = everything(team.hospital)
    refusal = assert_problem(team.assign("ada", again), 409, "provider_already_assigned")
    assert (refusal["role"], refusal["assignment_id"]) == (role, first["id"])
    assert everything(team.hospital) == before


def test_another_patient_and_another_hospital_have_their_own_primary(app: Flask, team: Team) -> None:
    team.assign("ada", "PRIMARY")
    other = Team(app, open_hospital(team.hospital.database))
    assert team.hospital.rows("SELECT mrn FROM patients") == other.hospital.rows("SELECT mrn FROM patients")
    assert other.assign("ada", "PRIMARY").status_code == 201
    assert (team.members(), other.members()) == ([("Ada", "PRIMARY")], [("Ada", "PRIMARY")])


def test_the_old_primary_becomes_a_specialist_unless_the_caller_says_otherwise(team: Team) -> None:
    team.assign("ada", "PRIMARY")
    changed = team.change("ben")
    assert (changed.status_code, changed.get_json()["role"]) == (200, "PRIMARY")
    assert team.members() == [("Ben", "PRIMARY"), ("Ada", "SPECIALIST")]
    assert team.change("eva", outgoing="remove").status_code == 200
    assert team.members() == [("Eva", "PRIMARY"), ("Ada", "SPECIALIST")]
    assert team.history() == [
        ("Ada", "PRIMARY", False),
        *(("Ada", "SPECIALIST", True), ("Ben", "PRIMARY", False)),
        ("Eva", "PRIMARY", True),
    ]
    ended = team.hospital.rows(
        "SELECT a.removed_at = b.assigned_at, u.name FROM care_team_assignments a"
        " JOIN care_team_assignments b ON b.provider_id = :p1 JOIN users u ON u.id = a.removed_by_id"
        " WHERE a.provider_id = :p2",
        team.hospital.staff["eva"].user_id,
        team.hospital.staff["ben"].user_id,
    )
    assert ended == [(True, "Doctor")], "no moment without a PRIMARY"


def test_a_specialist_who_becomes_primary_is_on_the_team_once(team: Team) -> None:
    team.assign("ada", "PRIMARY")
    team.assign("ben", "SPECIALIST")
    assert team.change("ben").status_code == 200
    assert team.members() == [("Ben", "PRIMARY"), ("Ada", "SPECIALIST")]
    assert team.change("ada", outgoing="remove").status_code == 200
    assert team.members() == [("Ada", "PRIMARY")]


def test_changing_to_who_is_primary_already_changes_nothing(team: Team) -> None:
    first = team.assign("ada", "PRIMARY").get_json()
    assert team.change("ada", outgoing="remove").get_json() == first
    assert team.history() == [("Ada", "PRIMARY", True)]


def test_a_patient_without_a_primary_gets_one_by_changing_too(team: Team) -> None:
    assert_problem(team.doctor.get(f"{team.path}/primary"), 404, "no_primary_provider")
    assert team.change("ada").status_code == 200
    assert team.members() == [("Ada", "PRIMARY")]


def test_who_confirmed_another_replacement_than_the_present_one_is_told(team: Team) -> None:
    seen = team.assign("ada", "PRIMARY").get_json()["id"]
    team.change("ben")
    before = everything(team.hospital)
    refusal = assert_problem(team.change("eva", replaces=seen), 409, "primary_provider_changed")
    assert (refusal["provider_id"], refusal["provider_name"]) == (team.id_of("ben"), "Ben")
    assert everything(team.hospital) == before
    assert team.change("eva", replaces=refusal["assignment_id"]).status_code == 200


def test_who_confirmed_a_replacement_of_somebody_removed_meanwhile_is_told(team: Team) -> None:
    seen = team.assign("ada", "PRIMARY").get_json()["id"]
    assert team.remove(seen).status_code == 204
    refusal = assert_problem(team.change("eva", replaces=seen), 409, "primary_provider_changed")
    assert (refusal["provider_id"], refusal["provider_name"], refusal["assignment_id"]) == (None, None, None)


def test_who_is_removed_stays_in_the_history_and_may_come_back(team: Team) -> None:
    first = team.assign("ada", "PRIMARY").get_json()["id"]
    assert team.remove(first).status_code == 204
    assert team.members() == []
    refusal = assert_problem(team.remove(first), 409, "assignment_ended")
    assert refusal["removed_at"]
    assert team.assign("ada", "CONSULTANT").status_code == 201
    assert team.history() == [("Ada", "PRIMARY", False), ("Ada", "CONSULTANT", True)]
    assert team.hospital.rows("SELECT count(*) FROM care_team_assignments") == [(2,)]


def test_an_assignment_of_another_patient_is_not_found(team: Team) -> None:
    made = team.assign("ada", "PRIMARY").get_json()["id"]
    nobody = f"/patients/{uuid.uuid4()}/care-team/{made}"
    assert_problem(team.doctor.delete(nobody), 404, "patient_not_found")
    assert_problem(team.remove(str(uuid.uuid4())), 404, "assignment_not_found")
    assert team.members() == [("Ada", "PRIMARY")]


@pytest.mark.parametrize("role", ["nurse", "pharmacist", "admin"])
def test_only_a_doctor_is_on_a_team(team: Team, role: str) -> None:
    before = everything(team.hospital)
    for response in (team.assign(role, "CONSULTANT"), team.change(role)):
        refusal = assert_problem(response, 422, "validation_failed")
        assert refusal["errors"] == [{"pointer": "/provider_id", "detail": "only a doctor is on a care team"}]
    assert everything(team.hospital) == before


def test_who_has_left_joins_no_team_and_is_shown_as_gone_where_they_were(team: Team) -> None:
    team.assign("ada", "PRIMARY")
    team.hospital.change("UPDATE users SET active = false WHERE name IN ('Ada', 'Ben')")
    for response in (team.assign("ben", "CONSULTANT"), team.change("ben")):
        refusal = assert_problem(response, 422, "validation_failed")
        assert refusal["errors"] == [{"pointer": "/provider_id", "detail": "this doctor has left"}]
    assert team.doctor.get(f"{team.path}/primary").get_json()["provider_active"] is False


@pytest.mark.parametrize("gone", ["active = false", "role = 'admin'"])
def test_a_primary_who_has_left_becomes_no_specialist(team: Team, gone: str) -> None:
    """Whoever may not be put on a team is not kept on it either."""
    team.assign("ada", "PRIMARY")
    team.hospital.change(f"UPDATE users SET {gone} WHERE name = 'Ada'")
    assert team.change("ben", outgoing="demote").status_code == 200
    assert team.members() == [("Ben", "PRIMARY")]
    assert team.history() == [("Ada", "PRIMARY", False), ("Ben", "PRIMARY", True)]


def test_a_sign_in_without_a_second_factor_changes_no_team(app: Flask, team: Team) -> None:
    made = team.assign("ada", "PRIMARY").get_json()["id"]
    doctor = team.hospital.staff["doctor"]
    plain = Actor(doctor.organization_id, doctor.user_id, doctor.role, doctor.name, "test", second_factor=False)
    issued = team.hospital.run(lambda session: tokens.issue_token(session, actor=plain, now=now(), hours=1), plain)
    client = Client(app, plain, issued.token)
    before = everything(team.hospital)
    provider = {"provider_id": team.id_of("ben")}
    for response in (
        client.post(team.path, {**provider, "role": "CONSULTANT"}),
        client.put(f"{team.path}/primary", provider),
        client.delete(f"{team.path}/{made}"),
    ):
        refusal = assert_problem(response, 403, "second_factor_required")
        assert refusal["detail"].startswith("This needs a second factor: sign in with the code")
    assert everything(team.hospital) == before
    assert client.get(team.path).status_code == 200


def test_an_admin_changes_a_team_too(app: Flask, team: Team) -> None:
    admin = sign_in(app, team.hospital, "admin")
    assert team.assign("ada", "PRIMARY", admin).get_json()["assigned_by"] == "Admin"


def test_a_clock_behind_another_nodes_breaks_no_change(team: Team) -> None:
    made = team.assign("ada", "PRIMARY").get_json()["id"]
    ahead = now() + timedelta(seconds=30)
    team.hospital.change("UPDATE care_team_assignments SET assigned_at = :p1", ahead)
    assert team.change("ben").status_code == 200
    primary = team.doctor.get(f"{team.path}/primary").get_json()
    assert team.remove(primary["id"]).status_code == 204
    assert team.hospital.rows(
        "SELECT removed_at = :p1 FROM care_team_assignments WHERE id = :p2", ahead, uuid.UUID(made)
    ) == [(True,)]


def test_the_use_cases_answer_without_http(hospital: Hospital) -> None:
    doctor = hospital.staff["doctor"].user_id
    where = {"organization_id": hospital.organization_id, "patient_id": hospital.patient_id}
    made = day.assign(hospital, hospital.patient_id, doctor, CareRole.PRIMARY)
    assert hospital.run(lambda session: queries.primary_of(session, **where)).id == made
    day.remove(hospital, hospital.patient_id, made)
    ended = hospital.run(lambda session: queries.get_assignment(session, assignment_id=made, **where))
    assert (ended.removed_by, ended.removed_at is None) == ("Doctor", False)


def test_the_lane_of_a_team_is_the_same_for_every_version() -> None:
    assert assigning.team_lane(uuid.UUID(int=1), uuid.UUID(int=2)) == 194


def test_an_order_says_whether_its_prescriber_is_on_the_team_at_present(team: Team) -> None:
    order = f"/orders/{team.hospital.place()}"
    told = [team.doctor.get(order).get_json()["prescriber_on_care_team"]]
    made = team.assign("doctor", "CONSULTANT").get_json()["id"]
    told.append(team.doctor.get(order).get_json()["prescriber_on_care_team"])
    assert team.doctor.get("/orders?verification=pending").get_json()["items"][0]["prescriber_on_care_team"] is True
    assert team.doctor.get("/orders?verification=verified").get_json()["items"] == []
    team.remove(made)
    told.append(team.doctor.get(order).get_json()["prescriber_on_care_team"])
    assert told == [False, True, False]
