"""Data of a system that did not know the rule of one PRIMARY, checked, migrated, confirmed, and back again."""

from collections.abc import Iterator

import pytest

from backend.actor import Role
from backend.config import Config
from backend.db import Database, migrate
from backend.db.provision import application_url
from tests import day
from tests.cli.running import Loaded
from tests.cli.test_cli import Succeed
from tests.hospital import Hospital, open_hospital
from tests.migrations.catalogue import ask, owner_of
from tests.migrations.test_live_indexes import OldTeam

BEFORE, TABLE_ALONE = "0021", "0020"  # 0021 resolves, 0022 builds the indexes


@pytest.fixture
def hospital(fresh_config: Config) -> Iterator[Hospital]:
    """A hospital in a database of the test's own, with three doctors."""
    database = Database(fresh_config, application_url(fresh_config))
    made = open_hospital(database)
    for login in ("ada", "ben", "eva"):
        made.add_staff(login, Role.DOCTOR)
    yield made
    database.engine.dispose()


def test_an_old_system_is_checked_migrated_confirmed_taken_back_and_migrated_again(
    succeed: Succeed, valmed: Loaded, fresh_config: Config, hospital: Hospital
) -> None:
    migrate.downgrade(fresh_config, TABLE_ALONE)
    url, team = fresh_config.database_url, OldTeam(fresh_config, hospital)
    team.assign("second", "ben", "PRIMARY", day=2)
    team.assign("first", "ada", "PRIMARY", day=1)
    team.assign("once", "eva", "CONSULTANT", day=1)
    team.assign("twice", "eva", "SPECIALIST", day=3)
    ids = {login: hospital.staff[login].user_id for login in hospital.staff}

    found = valmed("care-team", "check", database_url=url)
    patient = f"{hospital.slug}: patient {hospital.patient_id}: "
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.splitlines() == [
        f"{patient}2 active PRIMARY, the earliest first: {ids['ada']}, {ids['ben']}",
        f"{patient}provider {ids['eva']} assigned 2 times, as CONSULTANT, SPECIALIST",
        "violations: 2; teams without a PRIMARY: 0",
    ]
    missing = valmed("care-team", "verify", database_url=url)
    assert missing.returncode == 1
    assert missing.stdout.splitlines()[:2] == [
        "index uq_care_team_primary: is missing",
        "index uq_care_team_active: is missing",
    ]

    said = succeed(fresh_config, "db", "upgrade")
    assert f"patient {hospital.patient_id}: PRIMARY {team.names['second']} demoted" in said
    assert f"patient {hospital.patient_id}: repeated assignment {team.names['twice']} removed" in said
    assert succeed(fresh_config, "care-team", "verify").endswith(": ok\n")
    assert succeed(fresh_config, "care-team", "check") == "violations: 0; teams without a PRIMARY: 0\n"
    resolved = {"second": "SPECIALIST", "first": "PRIMARY", "once": "CONSULTANT", "twice": "removed"}
    assert team.standing() == resolved
    day.change_primary(hospital, hospital.patient_id, ids["eva"])

    succeed(fresh_config, "db", "downgrade", TABLE_ALONE)
    assert valmed("care-team", "verify", database_url=url).returncode == 1
    succeed(fresh_config, "db", "upgrade")
    assert succeed(fresh_config, "care-team", "verify").endswith(": ok\n")
    assert succeed(fresh_config, "verify").splitlines()[-1].endswith(": 0 broken")
    assert team.standing() == {**resolved, "first": "removed", "once": "removed"}


def test_a_team_without_a_primary_is_listed_and_is_no_violation(
    succeed: Succeed, valmed: Loaded, fresh_config: Config, hospital: Hospital
) -> None:
    OldTeam(fresh_config, hospital).assign("only", "ada", "SPECIALIST", day=1)
    expected = f"{hospital.slug}: patient {hospital.patient_id}: 1 on the team, no PRIMARY"
    for arguments in ((), (hospital.slug,)):
        said = succeed(fresh_config, "care-team", "check", *arguments)
        assert said.splitlines() == [expected, "violations: 0; teams without a PRIMARY: 1"]
    nobody = valmed("care-team", "check", "nowhere", database_url=fresh_config.database_url)
    assert nobody.returncode == 2
    assert "There is no organization nowhere." in nobody.stderr


WRONG = {
    "CREATE INDEX uq_care_team_primary ON care_team_assignments (organization_id, patient_id)"
    " WHERE role = 'PRIMARY' AND removed_at IS NULL": "is not unique",
    "CREATE UNIQUE INDEX uq_care_team_primary ON care_team_assignments (organization_id, id)"
    " WHERE role = 'PRIMARY' AND removed_at IS NULL": "is on the columns {organization_id,id}",
    "CREATE UNIQUE INDEX uq_care_team_primary ON care_team_assignments (organization_id, patient_id)"
    " WHERE role = 'PRIMARY'": "is for the rows (role = 'PRIMARY'::care_role)",
    "CREATE UNIQUE INDEX uq_care_team_primary ON care_team_assignments (organization_id, patient_id)": (
        "is for the rows of all"
    ),
    "CREATE UNIQUE INDEX uq_care_team_primary ON patients (organization_id, id)": "is missing",
}


@pytest.mark.parametrize("statement", WRONG)
def test_an_index_of_that_name_that_holds_nothing_is_told(valmed: Loaded, fresh_config: Config, statement: str) -> None:
    with owner_of(fresh_config) as owner:
        ask(owner, "DROP INDEX uq_care_team_primary")
        ask(owner, statement)
    told = valmed("care-team", "verify", database_url=fresh_config.database_url)
    assert told.returncode == 1
    assert told.stdout.splitlines()[0] == f"index uq_care_team_primary: {WRONG[statement]}"


def test_an_index_whose_build_failed_is_told(valmed: Loaded, fresh_config: Config, hospital: Hospital) -> None:
    migrate.downgrade(fresh_config, BEFORE)
    team = OldTeam(fresh_config, hospital)
    for number, login in enumerate(("ada", "ben"), start=1):
        team.assign(login, login, "PRIMARY", day=number)
    with pytest.raises(Exception, match="uq_care_team_primary"):
        migrate.upgrade(fresh_config)
    told = valmed("care-team", "verify", database_url=fresh_config.database_url)
    assert told.stdout.splitlines()[0] == "index uq_care_team_primary: is invalid: a build of it has failed"
