"""What a page says where the API speaks to programs."""

import pytest
from flask import Flask, session

from backend.errors import DomainError
from backend.ui.frame.problem_text import field_of, plainly
from backend.web.problems import problem_types
from tests.hospital import Hospital
from tests.ui.conftest import Screen


@pytest.mark.parametrize("problem", sorted(problem_types(), key=lambda kind: kind.__name__))
def test_no_refusal_names_a_member_of_its_document(problem: type[DomainError]) -> None:
    meaning = " ".join((problem.__doc__ or "").split()).split(". ")[0].rstrip(".") + "."
    said = plainly(meaning)
    assert "`" not in said
    assert said.endswith(".")
    assert len(said) > 10


def test_what_a_schema_says_is_said_plainly() -> None:
    assert plainly("Amoxicillin: Not a valid integer.") == "Amoxicillin: Type a whole number."
    assert plainly("Length must be between 1 and 64.") == "Write 1 to 64 characters."
    assert field_of("/lines/3/expires_on") == "Line 3, expires on"
    assert field_of("/ward_id") == "Ward"


def test_an_address_that_is_no_page_is_a_page_for_a_browser_and_a_problem_for_a_program(ward_app: Flask) -> None:
    client = ward_app.test_client()
    page = client.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "To the start" in page.get_data(as_text=True)
    assert "Content-Security-Policy" in page.headers
    for path, accept in (("/nothing", "*/*"), ("/nothing", "application/json"), ("/api/v1/nothing", "text/html")):
        answer = client.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json"), (path, accept)


def test_an_odd_address_of_a_page_is_refused_in_the_words_of_the_ward(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "nurse")
    screen.page.goto(screen.base_url + "/patients?ward_id=x")
    said = screen.page.inner_text("[role=alert]")
    assert "Something is missing or wrong" in said
    assert "Ward: Choose one." in said


def test_an_audited_time_is_told_to_the_second_in_the_hospitals_zone_and_nothing_else_is_a_time(
    ward_app: Flask,
) -> None:
    is_time, exact = ward_app.jinja_env.tests["time"], ward_app.jinja_env.filters["exact"]
    audited = "2026-01-31T20:15:42.500000+00:00"
    assert is_time(audited)
    assert [
        value for value in ("T", "2026-01-31", "2026-01-31T20:15:42", "To be given", 7, None) if is_time(value)
    ] == []
    with ward_app.test_request_context():
        session["about"] = {"time_zone": "Asia/Tokyo"}
        assert exact(audited) == "1 Feb 2026 05:15:42"
