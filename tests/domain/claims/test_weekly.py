"""The weekly run: once a week in each hospital, by however many processes."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.domain.claims import runs, weekly
from backend.domain.claims.weekly import run_week, run_weeks
from backend.domain.organizations.hospitals import list_organizations
from backend.errors import Busy
from tests.concurrency.threads import together
from tests.domain.claims.filing import claims, file_claims, states
from tests.hospital import Hospital, open_hospital

TUESDAY = datetime(2026, 6, 2, 9, tzinfo=UTC)  # of the week of AS_OF
WEEK = timedelta(days=7)


@pytest.fixture
def drifting(hospital: Hospital) -> Hospital:
    """A hospital with a drift as of the Monday before TUESDAY."""
    file_claims(hospital, claims(50, ago=50), claims(50, ago=7, denied=50))
    return hospital


def look(hospital: Hospital, at: datetime = TUESDAY) -> bool:
    """Whether a run was made."""
    made = run_week(hospital.database, organization_id=hospital.organization_id, adjust=True, now=at)
    assert made is None or made[0] == hospital.slug
    return made is not None


def test_a_week_is_looked_at_once_as_of_its_monday(drifting: Hospital) -> None:
    assert [look(drifting), look(drifting), look(drifting, TUESDAY + WEEK), look(drifting)] == [
        True,
        False,
        True,
        False,
    ]
    assert drifting.rows("SELECT as_of::text, adjust, started_by_id FROM report_runs ORDER BY as_of") == [
        ("2026-06-01", True, None),
        ("2026-06-08", True, None),
    ]
    assert states(drifting)[0] == ("success", 1, 1, None, 1)


def test_the_week_begins_on_monday_where_the_hospital_is(drifting: Hospital) -> None:
    """23:00 UTC on Sunday is Monday in Berlin."""
    assert look(drifting, datetime(2026, 5, 31, 21, 59, tzinfo=UTC))
    assert look(drifting, datetime(2026, 5, 31, 22, 0, tzinfo=UTC))
    assert drifting.rows("SELECT as_of::text FROM report_runs ORDER BY as_of") == [("2026-05-25",), ("2026-06-01",)]


@pytest.mark.concurrency
def test_eight_processes_make_one_run(drifting: Hospital) -> None:
    together(*[lambda: look(drifting)] * 8)
    assert states(drifting) == [("success", 1, 1, None, 1)]


def test_a_hospital_without_claims_has_no_runs(hospital: Hospital) -> None:
    assert not look(hospital)
    assert states(hospital) == []


def test_a_failure_is_told_does_not_stop_the_others_and_is_tried_again(
    drifting: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_hospital(drifting.database)
    file_claims(other, claims(1, ago=1))
    assert {drifting.organization_id, other.organization_id} <= set(list_organizations(drifting.database))
    both = [drifting.organization_id, other.organization_id]
    monkeypatch.setattr(weekly, "list_organizations", lambda database: both)
    read_groups = runs.read_groups

    def busy_once(session, *, organization_id, parameters):
        if organization_id == drifting.organization_id:
            raise Busy()
        return read_groups(session, organization_id=organization_id, parameters=parameters)

    monkeypatch.setattr(runs, "read_groups", busy_once)
    told = list(run_weeks(drifting.database, adjust=False, now=TUESDAY))
    assert told[0] == f"{drifting.organization_id}: busy, again at the next look"
    assert told[1].startswith(f"{other.slug}: run ")
    monkeypatch.setattr(runs, "read_groups", read_groups)
    assert [line.split(":")[0] for line in run_weeks(drifting.database, adjust=False, now=TUESDAY)] == [drifting.slug]
    assert states(drifting) == [("success", 1, 1, None, 1)]
    assert list(run_weeks(drifting.database, adjust=False, now=TUESDAY)) == []
