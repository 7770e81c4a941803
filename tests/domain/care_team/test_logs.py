"""What the log and the metrics say of a change that the rules of a care team refused."""

from typing import Any

import pytest

from backend.config import Config
from tests.web.test_logs import BEGIN, Lines, run, secrets_in

SCENARIO = (
    BEGIN
    + """
import uuid
from backend.actor import Role
from backend.domain.care_team import assigning

for login in ("ada", "ben"):
    hospital.add_staff(login, Role.DOCTOR)
ids = {login: str(actor.user_id) for login, actor in hospital.staff.items()}
doctor = sign_in(app, hospital, "doctor")
team = f"/patients/{hospital.patient_id}/care-team"
made = ask(doctor, "POST", team, "assigned", {"provider_id": ids["ada"], "role": "PRIMARY"})
assert made.status_code == 201
for request_id, login, role in (("second", "ben", "PRIMARY"), ("again", "ada", "CONSULTANT")):
    assert ask(doctor, "POST", team, request_id, {"provider_id": ids[login], "role": role}).status_code == 409
assigning.new_id = lambda: uuid.UUID(made.get_json()["id"])  # an error of the key, which nobody foresees
assert ask(doctor, "POST", team, "bug", {"provider_id": ids["ben"], "role": "SPECIALIST"}).status_code == 409
assert ask(doctor, "PUT", team + "/primary", "bug-of-change", {"provider_id": ids["ben"]}).status_code == 409
assert ask(doctor, "POST", team, "not-a-doctor", {"provider_id": ids["nurse"], "role": "PRIMARY"}).status_code == 422
metrics = app.test_client().get("/metrics").text
counted = [line for line in metrics.splitlines() if line.startswith("valmed_care_team_violations_total")]
tell(patient=str(hospital.patient_id), ids=ids, token=doctor.token, counted=counted)
"""
)
WITH_TEAM = {
    "primary_provider_constraint_violation",
    "duplicate_care_team_assignment",
    "care_team_assignment_integrity_error",
}


@pytest.fixture(scope="module")
def logged(config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Lines, str]:
    """The scenario, once."""
    return run(SCENARIO, config, tmp_path_factory.mktemp("log") / "valmed.log")


@pytest.mark.parametrize(
    ("request_id", "level", "event", "provider", "role"),
    [
        ("second", "warning", "primary_provider_constraint_violation", "ben", "PRIMARY"),
        ("again", "warning", "duplicate_care_team_assignment", "ada", "CONSULTANT"),
        ("bug", "error", "care_team_assignment_integrity_error", "ben", "SPECIALIST"),
        ("bug-of-change", "error", "care_team_assignment_integrity_error", "ben", "PRIMARY"),
    ],
)
def test_a_refusal_by_the_rules_is_one_line_with_who_wanted_whom_as_what(
    logged: tuple[dict[str, Any], Lines, str], request_id: str, level: str, event: str, provider: str, role: str
) -> None:
    facts, lines, _ = logged
    (line,) = (line for line in lines if line.get("request_id") == request_id and line["event"] in WITH_TEAM)
    assert (line["event"], line["level"], line["role"]) == (event, level, role)
    assert (line["patient_id"], line["provider_id"]) == (facts["patient"], facts["ids"][provider])
    assert (line["organization_id"], line["user_id"]) == (facts["organization_id"], facts["ids"]["doctor"])
    assert line.get("constraint") == ("pk_care_team_assignments" if level == "error" else None)


def test_nothing_else_is_such_a_line(logged: tuple[dict[str, Any], Lines, str]) -> None:
    lines = [line["request_id"] for line in logged[1] if line["event"] in WITH_TEAM]
    assert sorted(lines) == ["again", "bug", "bug-of-change", "second"]


def test_the_metrics_count_each_event_once_a_request(logged: tuple[dict[str, Any], Lines, str]) -> None:
    counted = dict(line.rsplit(" ", 1) for line in logged[0]["counted"])
    name = "valmed_care_team_violations_total"
    assert counted == {
        f'{name}{{event="primary_provider_constraint_violation"}}': "1.0",
        f'{name}{{event="duplicate_care_team_assignment"}}': "1.0",
        f'{name}{{event="care_team_assignment_integrity_error"}}': "2.0",
    }


def test_no_name_and_no_text_of_the_driver_is_logged(logged: tuple[dict[str, Any], Lines, str]) -> None:
    facts, _, text = logged
    assert secrets_in(text, facts["token"], "duplicate key", "Detail", "DETAIL") == []
