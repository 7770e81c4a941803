"""`valmed` from the outside: setting a hospital up, migrations, verify, and errors that say in a line what to do."""

import json
import re
import signal
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.actor import Role
from backend.config import Config
from backend.db import Database, migrate
from backend.db.provision import application_url
from backend.domain.identity import tokens
from backend.domain.identity.sign_in.by_password import Origin, check_password
from backend.domain.identity.sign_in.totp import code_of, step_at
from backend.domain.identity.tokens import Credentials
from backend.domain.models import Base
from backend.errors import NotAuthenticated
from backend.operations.verification.invariants import INVARIANTS, references
from tests.cli.running import COMMAND, ROOT, Loaded, clean_environment, free_port
from tests.hospital import Hospital, now, open_hospital
from tests.migrations.catalogue import ask, owner_of
from tests.waiting import PATIENCE_SECONDS, wait_until

PASSWORD = "correct horse battery"
Succeed = Callable[..., str]


def sign_in(database: Database, slug: str, email: str, password: str = PASSWORD) -> tuple[Role, bool]:
    """The role of the person, who may sign in, and whether they must choose a password of their own first."""
    person = check_password(database, Credentials(slug, email, password), Origin("", "test", now()))
    return person.role, person.first_password


def test_a_hospital_is_set_up_without_the_demo(succeed: Succeed, config: Config, database: Database) -> None:
    slug = f"cli-{uuid.uuid4().hex[:12]}"
    opened = succeed(config, "organization", "create", slug, "--name", "St Mary's", "--time-zone", "Europe/Paris")
    assert opened == f"{slug} is open.\n"
    wards = [succeed(config, "ward", "create", slug, *rest) for rest in (["North"], ["Store", "--kind", "pharmacy"])]
    options = ["--name", "Ada", "--role", "nurse", "--ward", "North", "--ward", "Store", "--password", PASSWORD]
    created = succeed(config, "user", "create", slug, "Ada@H.example", *options)
    assert created.startswith(f"Ada@H.example may sign in to {slug} as nurse. They sign in within 7 days, and choose")
    assert sign_in(database, slug, "ada@h.example") == (Role.NURSE, True)

    hospital = Hospital(database, *organization(database, slug), *[uuid.uuid4()] * 3)
    assert hospital.rows("SELECT name, time_zone, witness_required FROM organizations") == [
        ("St Mary's", "Europe/Paris", False)
    ]
    assert hospital.rows("SELECT id::text || chr(10), name, kind::text FROM wards ORDER BY name") == [
        (wards[0], "North", "ward"),
        (wards[1], "Store", "pharmacy"),
    ]
    assert hospital.rows("SELECT count(*) FROM ward_memberships") == [(2,)]
    assert hospital.rows("SELECT DISTINCT actor_id, request_id FROM audit_events") == [(None, "command-line")]


def organization(database: Database, slug: str) -> tuple[uuid.UUID, str]:
    found = check_password(database, Credentials(slug, "ada@h.example", PASSWORD), Origin("", "test", now()))
    return found.organization_id, slug


def test_a_policy_asks_roles_for_a_second_factor_which_a_lost_phone_gives_back(
    succeed: Succeed, config: Config, hospital: Hospital
) -> None:
    slug, email = hospital.slug, f"nurse@{hospital.slug}.example"
    said = succeed(config, "organization", "policy", slug, "--second-factor", "nurse", "--second-factor", "admin")
    assert said == "second_factor_roles = ['nurse', 'admin']\n"
    assert hospital.rows("SELECT second_factor_roles FROM organizations") == [(["admin", "nurse"],)]
    succeed(config, "organization", "policy", slug, "--second-factor", "nobody")
    assert hospital.rows("SELECT second_factor_roles FROM organizations") == [([],)]

    hospital.change("UPDATE users SET totp_secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'")
    said = succeed(config, "user", "reset-second-factor", slug, email.upper())
    assert said == f"{email.upper()} has no second factor and is signed out everywhere.\n"
    assert hospital.rows("SELECT role::text FROM users WHERE totp_secret IS NULL") == [("nurse",)]


def test_the_code_of_a_secret_is_told(succeed: Succeed, config: Config) -> None:
    before = step_at(now())
    told = succeed(config, "user", "code", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP").strip()
    assert told in {code_of("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", step) for step in range(before, step_at(now()) + 1)}


def test_a_reset_password_ends_every_session(
    succeed: Succeed, config: Config, database: Database, hospital: Hospital
) -> None:
    nurse, email = hospital.nurse, f"nurse@{hospital.slug}.example"
    issued = hospital.run(lambda session: tokens.issue_token(session, actor=nurse, now=now(), hours=1), nurse)
    said = succeed(config, "user", "reset-password", hospital.slug, email.upper(), "--password", "a new long password")
    assert said.startswith(f"{email.upper()} has a new password and is signed out everywhere. They sign in with it")
    assert said.endswith("within 7 days, and choose a password of their own then.\n")
    with pytest.raises(NotAuthenticated):
        tokens.authenticate(database, issued.token, request_id="test")
    with pytest.raises(NotAuthenticated):
        sign_in(database, hospital.slug, email)
    assert sign_in(database, hospital.slug, email, "a new long password") == (Role.NURSE, True)


def test_policies_are_set_one_by_one(succeed: Succeed, config: Config, hospital: Hospital) -> None:
    policies = "SELECT verification_required, witness_required FROM organizations"
    assert succeed(config, "organization", "policy", hospital.slug, "--witness") == "witness_required = True\n"
    assert hospital.rows(policies) == [(False, True)]
    said = succeed(config, "organization", "policy", hospital.slug, "--verification", "--no-witness")
    assert said == "verification_required = True, witness_required = False\n"
    assert hospital.rows(policies) == [(True, False)]
    said = succeed(config, "organization", "policy", hospital.slug, "--custody-witness")
    assert said == "custody_witness_required = True\n"
    assert hospital.rows("SELECT custody_witness_required FROM organizations") == [(True,)]


def test_migrations_go_up_and_down_and_are_checked(succeed: Succeed, valmed: Loaded, empty_config: Config) -> None:
    newest = migrate.newest()
    assert succeed(empty_config, "db", "current") == f"None (newest: {newest})\n"
    assert succeed(empty_config, "db", "upgrade", "0007") == "The database stands at 0007.\n"
    behind = valmed("db", "check", database_url=empty_config.database_url)
    assert (behind.returncode, behind.stderr) == (1, "Error: Target database is not up to date.\n")
    assert succeed(empty_config, "db", "upgrade") == f"The database stands at {newest}.\n"
    assert succeed(empty_config, "db", "check").splitlines()[-1] == "The database is the one this code expects."
    assert succeed(empty_config, "db", "downgrade", "base") == "The database stands at None.\n"


def test_an_upgrade_tells_what_it_has_resolved(succeed: Succeed, fresh_config: Config) -> None:
    """0021 changes assignments that people made: they are told which."""
    migrate.downgrade(fresh_config, "0020")
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    for login in ("doctor", "pharmacist"):
        hospital.change(
            "INSERT INTO care_team_assignments (organization_id, id, patient_id, provider_id, role, assigned_at)"
            " VALUES (:p1, gen_random_uuid(), :p2, :p3, 'PRIMARY', clock_timestamp())",
            *(hospital.organization_id, hospital.patient_id, hospital.staff[login].user_id),
        )
    ((late,),) = hospital.rows("SELECT id FROM care_team_assignments ORDER BY assigned_at DESC LIMIT 1")
    database.engine.dispose()
    said = succeed(fresh_config, "db", "upgrade")
    assert f"organization {hospital.organization_id}: patient {hospital.patient_id}: PRIMARY {late} demoted" in said


def test_a_gutted_guard_is_named_by_check_and_verify(valmed: Loaded, fresh_config: Config) -> None:
    """Unless a later release has migrated the database: then verify says that it does not know what is right."""
    gutted = "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    with owner_of(fresh_config) as owner:
        ask(owner, gutted)
    named = "\n  function refuse_change() is not what the migrations made\n"
    checked = valmed("db", "check", database_url=fresh_config.database_url)
    assert (checked.returncode, named in checked.stderr) == (1, True)
    verified = valmed("verify", database_url=fresh_config.database_url)
    assert (verified.returncode, named in verified.stdout) == (1, True)

    later = f"{int(migrate.newest()) + 1:04d}"
    with owner_of(fresh_config) as owner:
        ask(owner, "UPDATE alembic_version SET version_num = %s", later)
    verified = valmed("verify", database_url=fresh_config.database_url)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert f"\nThe database stands at {later}, of a later release: " in verified.stdout


def test_verify_exits_0_on_a_sound_database_and_1_where_a_rule_is_broken(
    succeed: Succeed, valmed: Loaded, fresh_config: Config
) -> None:
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    hospital.receive(5)
    sound = succeed(fresh_config, "verify")
    assert sound.splitlines()[-1].endswith(" checks on 1 organizations: 0 broken")
    assert "BROKEN" not in sound

    hospital.change("UPDATE stock_levels SET on_hand_units = 4")
    broken = valmed("verify", database_url=fresh_config.database_url)
    assert (broken.returncode, broken.stderr) == (1, "")
    checks = 3 + len(INVARIANTS) + len(list(references(Base.metadata)))
    assert broken.stdout.splitlines()[-1] == f"{checks} checks on 1 organizations: 2 broken"
    shelf = f"ward {hospital.ward_id} drug {hospital.drug_id}"
    assert f"\n{hospital.slug}: A level is the sum of its lots: 1 broken\n  {shelf}: level 4, lots 5\n" in broken.stdout
    assert f"  {shelf}: level 4, ledger 5\n" in broken.stdout
    assert valmed("verify", hospital.slug, database_url=fresh_config.database_url).stdout == broken.stdout
    nobody = valmed("verify", "nowhere", database_url=fresh_config.database_url)
    assert (nobody.returncode, "no organization nowhere" in nobody.stderr) == (2, True)
    database.engine.dispose()


def test_seed_makes_a_hospital_that_holds_what_it_says(succeed: Succeed, config: Config, database: Database) -> None:
    slug = f"seed-{uuid.uuid4().hex[:12]}"
    size = ["--orders", "20", "--drugs", "3", "--wards", "1", "--movements", "16"]
    said = succeed(config, "seed", *size, "--organization", slug, "--password", PASSWORD)
    assert f"{slug}: 22 orders, 3 drugs, 1 wards, " in said, "8 doses of the past are two orders"
    assert ", 22 movements in " in said, "and two receipts a shelf"
    assert sign_in(database, slug, f"pharmacist@{slug}.example") == (Role.PHARMACIST, False)


def test_openapi_prints_the_description_as_json_and_nothing_else(valmed: Loaded) -> None:
    done = valmed("openapi")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["openapi"].startswith("3.1.")
    assert "/orders/{order_id}/fulfill" in "".join(document["paths"])


def test_serve_serves_until_it_is_told_to_stop(config: Config) -> None:
    port = free_port()
    arguments = ["serve", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=clean_environment(database_url=config.database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        answers: list[str] = []

        def answered() -> bool:
            assert server.poll() is None, server.communicate()[0]
            address = f"http://127.0.0.1:{port}/readyz"
            with suppress(OSError), urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as response:
                answers.append(response.read().decode())
                assert not re.search("[0-9]", response.headers["Server"])
            return answers != []

        wait_until(answered)
        assert json.loads(answers[0]) == {"status": "ready"}
        smuggled = b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0"
        for wrong in (b"/ HTTP/1.1\r\nno colon", b"/" + b"x" * 9_000 + b" HTTP/1.1", b"/ HTTP/1.1\r\n" + smuggled):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as line:
                line.sendall(b"GET " + wrong + b"\r\n\r\n")
                refusal = b"".join(iter(lambda: line.recv(65_536), b""))
            assert refusal.startswith(b"HTTP/1.1 4")
            assert not re.search(rb"Traceback|gunicorn/[0-9]|Python|/backend/|File ", refusal)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=PATIENCE_SECONDS) == 0
    finally:
        server.kill()
        server.communicate()


def test_archive_says_what_left_and_where_it_is(
    valmed: Loaded, config: Config, hospital: Hospital, tmp_path: Path
) -> None:
    hospital.change(
        "INSERT INTO idempotency_keys (organization_id, key, fingerprint, status, answer, created_at)"
        " VALUES (:p1, 'old', '', 200, '', '2020-01-01T00:00:00Z')",
        hospital.organization_id,
    )
    arguments = ("archive", "--organization", hospital.slug, "--before", "2020-01-02", "--folder", str(tmp_path))

    first = valmed(*arguments, database_url=config.database_url)
    second = valmed(*arguments, database_url=config.database_url)

    (file,) = tmp_path.iterdir()
    assert first.stdout.splitlines() == [f"idempotency_keys: 1, in {file}", "access_tokens: 0"]
    assert second.stdout.splitlines() == ["idempotency_keys: 0", "access_tokens: 0"]
    assert (first.returncode, second.returncode) == (0, 0)


def test_archive_refuses_a_day_that_is_too_recent(valmed: Loaded, config: Config, hospital: Hospital) -> None:
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    done = valmed("archive", "--organization", hospital.slug, "--before", tomorrow, database_url=config.database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("valmed: The last 7 days stay: choose a day before ")
