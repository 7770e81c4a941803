"""The drill: back up under load, restore elsewhere, prove, serve; and what is refused on the way."""

import json
import re
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine.url import URL

from backend import create_app
from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.domain.models import Base
from backend.operations.backups import backup, programs
from backend.operations.backups.backup import back_up
from backend.operations.backups.content import one_moment
from backend.operations.backups.errors import BackupError
from backend.operations.backups.manifest import manifest_of, read_manifest
from backend.operations.backups.restore import restore
from tests.concurrency.threads import together
from tests.hospital import Hospital, sign_in
from tests.migrations.catalogue import ask, describe, owner_of
from tests.operations.backups.conftest import Kept, TakeBackup

WRITERS, ORDERS, HEARD_FIRST = 6, 600, 60


def restored(config: Config, file: Path) -> list[str]:
    """Restores and says which proofs broke."""
    findings = restore(config, Base.metadata, file, report=lambda line: None)
    assert len(findings) > 40
    return [finding.invariant.title for finding in findings if finding.broken]


def schema_of(config: Config) -> set[str]:
    """Everything but the parentheses of conditions, which PostgreSQL sets anew when it reads its own text, and the
    right to connect, which a restore gives by name where PUBLIC may have it."""
    told = describe(normalised_url(config.database_url))
    return {re.sub("[()]", "", line) for line in told if not line.endswith(" CONNECT")}


class Nurses:
    """The application at work: threads that fulfil orders over HTTP, and what they were told."""

    def __init__(self, config: Config, hospital: Hospital) -> None:
        self._app = create_app(replace(config, pool_size=WRITERS, pool_max_overflow=0))
        self._client = sign_in(self._app, hospital, "nurse")
        self._orders = iter(hospital.place_many(ORDERS))
        self._lock, self._enough = threading.Lock(), threading.Event()
        self._home = False
        self.heard: list[Any] = []
        self.refused: list[str] = []
        self._threads = [threading.Thread(target=self._work) for _ in range(WRITERS)]

    def __enter__(self) -> "Nurses":
        for thread in self._threads:
            thread.start()
        assert self._enough.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._home = True
        for thread in self._threads:
            thread.join(60)
        self._app.extensions["valmed"].engine.dispose()

    def _work(self) -> None:
        while not self._home:
            with self._lock:
                order = next(self._orders, None)
            if order is None:
                return
            answer = self._client.post(f"/orders/{order}/fulfill")
            (self.heard if answer.status_code == 200 else self.refused).append(order)
            if len(self.heard) >= HEARD_FIRST:
                self._enough.set()


@pytest.mark.concurrency
def test_a_backup_under_load_is_restored_elsewhere_whole_proven_and_served(
    fresh_config: Config, at_work: Hospital, whole_url: URL, elsewhere: Config, tmp_path: Path
) -> None:
    file = tmp_path / "night.dump"
    with Nurses(fresh_config, at_work) as nurses:
        acknowledged = list(nurses.heard)
        manifest = back_up(whole_url, Base.metadata, file, report=lambda line: None)
        during = len(nurses.heard) - len(acknowledged)
    assert nurses.refused == []
    assert during > 0, "nobody wrote during the backup"
    assert manifest.broken == 0
    assert file.stat().st_mode & 0o777 == manifest_of(file).stat().st_mode & 0o777 == 0o600

    assert restored(elsewhere, file) == []

    there = Database(replace(elsewhere, pool_size=2, pool_max_overflow=0), application_url(elsewhere))
    copy = replace(at_work, database=there)
    given = {order for (order,) in copy.rows("SELECT order_id FROM medication_administrations")}
    assert set(acknowledged) <= given, "acknowledged before the backup began, and not in it"
    assert given <= set(nurses.heard)
    left = copy.rows("SELECT id FROM medication_orders WHERE status = 'active' LIMIT 1")
    app = create_app(elsewhere)
    if left:
        assert sign_in(app, copy, "nurse").post(f"/orders/{left[0][0]}/fulfill").status_code == 200
    app.extensions["valmed"].engine.dispose()
    there.engine.dispose()


def test_what_was_restored_is_the_same_schema_and_can_be_backed_up_again(
    kept: Kept, target: Config, server_url: URL, tmp_path: Path
) -> None:
    assert restored(target, kept.file) == []
    assert schema_of(target) == schema_of(kept.config)
    url = server_url.set(database=normalised_url(target.database_url).database)
    again = back_up(url, Base.metadata, tmp_path / "again.dump", report=lambda line: None)
    assert again.rows == read_manifest(kept.file).rows
    assert again.rows["public.stock_movements"] == 1


# What would be a part


def test_a_role_that_sees_a_part_makes_no_backup(fresh_config: Config, at_work: Hospital, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"does not see every row of .*BYPASSRLS"):
        back_up(normalised_url(fresh_config.database_url), Base.metadata, tmp_path / "x", report=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_pg_dump_refuses_that_role_too(fresh_config: Config, at_work: Hospital, tmp_path: Path) -> None:
    url = normalised_url(fresh_config.database_url)
    with one_moment(url) as moment, pytest.raises(BackupError, match="row-level security policy"):
        backup.dump(url, tmp_path / "x", moment.snapshot, int(moment.value(backup.MAJOR)))


def test_a_dump_of_one_hospital_of_two_is_found_incomplete(
    fresh_config: Config, at_work: Hospital, whole_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `pg_dump --enable-row-security` does without a word."""
    url = normalised_url(fresh_config.database_url)
    with one_moment(whole_url) as moment:
        rows, major = moment.count_rows(), int(moment.value(backup.MAJOR))
    part = tmp_path / "part.dump"
    monkeypatch.setenv("PGOPTIONS", f"-c app.organization_id={'0' * 32}")
    program = programs.find_program("pg_dump", major)
    programs.run(program, url, "--enable-row-security", "--format=custom", f"--file={part}")
    with pytest.raises(BackupError, match=r"the dump has 0 rows of public\.\w+, the database \d+"):
        backup.ensure_complete(part, rows, major)


def test_the_role_that_the_message_names_backs_up(
    at_work: Hospital, whole_url: URL, target: Config, tmp_path: Path
) -> None:
    file = tmp_path / "by-role.dump"
    with closing(connect(whole_url)) as superuser:
        ask(superuser, "CREATE ROLE valmed_backup_drill LOGIN BYPASSRLS PASSWORD 'only-for-tests'")
        try:
            ask(superuser, "GRANT pg_read_all_data TO valmed_backup_drill")
            role = whole_url.set(username="valmed_backup_drill", password="only-for-tests")
            manifest = back_up(role, Base.metadata, file, report=lambda line: None)
        finally:
            ask(superuser, "DROP ROLE valmed_backup_drill")
    assert manifest.broken == 0
    assert restored(target, file) == []


# What is not the backup


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def alter(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lose_the_manifest(file: Path) -> None:
    manifest_of(file).unlink()


def garble_the_manifest(file: Path) -> None:
    manifest_of(file).write_text(manifest_of(file).read_text()[:-40])


def change(**values: object) -> Callable[[Path], None]:
    def in_manifest(file: Path) -> None:
        found = json.loads(manifest_of(file).read_text())
        manifest_of(file).write_text(json.dumps({**found, **values}))

    return in_manifest


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "SHA-256 differs"),
        (alter, "SHA-256 differs"),
        (lose_the_manifest, "is missing"),
        (garble_the_manifest, "cannot be read"),
        (change(format=2), "format 2"),
        (change(revision="9999"), "restore with ValMed"),
        (change(postgresql="99.1"), "restore into 99 or newer"),
        (change(owner="somebody"), "belong to somebody"),
        (change(roles=["another"]), "VALMED_APPLICATION_ROLE"),
        (change(kind="physical"), "whole cluster"),
    ],
)
def test_what_is_not_the_backup_is_refused_and_nothing_is_restored(
    night: Path, target: Config, damage: Callable[[Path], None], message: str
) -> None:
    damage(night)
    before = describe(normalised_url(target.database_url))
    with pytest.raises(BackupError, match=message):
        restored(target, night)
    assert describe(normalised_url(target.database_url)) == before


def test_a_role_with_rights_that_is_absent_is_named(night: Path, target: Config) -> None:
    change(roles=[*read_manifest(night).roles, "ward_statistics"])(night)
    with pytest.raises(BackupError, match="CREATE ROLE ward_statistics"):
        restored(target, night)


def test_a_row_more_or_less_than_was_backed_up_is_found(night: Path, target: Config) -> None:
    rows = read_manifest(night).rows
    change(rows={**rows, "public.stock_movements": rows["public.stock_movements"] + 1})(night)
    with pytest.raises(BackupError, match=r"public\.stock_movements has 1 rows, the backup 2"):
        restored(target, night)


def test_a_database_that_is_not_empty_is_left_alone(night: Path, target: Config) -> None:
    with owner_of(target) as owner:
        ask(owner, "CREATE TABLE somebody_else (id int)")
        with pytest.raises(BackupError, match="is not empty"):
            restored(target, night)
        assert ask(owner, "SELECT count(*) FROM pg_class WHERE relname = 'organizations'") == [(0,)]


def test_a_broken_invariant_is_in_the_manifest_and_found_after_the_restore(
    at_work: Hospital, take_backup: TakeBackup, target: Config
) -> None:
    at_work.change("UPDATE stock_levels SET on_hand_units = on_hand_units - 1")
    file = take_backup("broken.dump")
    assert read_manifest(file).broken == 2
    assert sorted(restored(target, file)) == [
        "A level is the sum of its lots",
        "A level is the sum of its movements",
    ]


def test_a_backup_of_an_older_release_is_migrated(
    empty_config: Config, server_url: URL, target: Config, tmp_path: Path
):
    migrate.upgrade(empty_config, f"{int(migrate.newest()) - 1:04d}")
    url = server_url.set(database=normalised_url(empty_config.database_url).database)
    back_up(url, Base.metadata, tmp_path / "old.dump", report=lambda line: None)
    findings = restore(target, Base.metadata, tmp_path / "old.dump", report=lambda line: None)
    assert [finding.invariant.title for finding in findings if finding.broken] == []
    assert migrate.current(target) == migrate.newest()


def test_a_backup_replaces_nothing(kept: Kept, server_url: URL, night: Path) -> None:
    before = night.read_bytes()
    url = server_url.set(database=normalised_url(kept.config.database_url).database)
    with pytest.raises(BackupError, match="is there already"):
        back_up(url, Base.metadata, night, report=lambda line: None)
    manifest_of(night).rename(manifest_of(night.with_name("other")))
    with pytest.raises(BackupError, match=r"other\.json is there already"):
        back_up(url, Base.metadata, night.with_name("other"), report=lambda line: None)
    assert night.read_bytes() == before


def test_of_two_backups_of_one_name_at_once_one_is_there_and_whole(
    kept: Kept, target: Config, server_url: URL, tmp_path: Path
) -> None:
    url, file = server_url.set(database=normalised_url(kept.config.database_url).database), tmp_path / "night.dump"

    def take() -> str:
        try:
            back_up(url, Base.metadata, file, report=lambda line: None)
        except BackupError as error:
            return str(error)
        return "taken"

    said = together(take, take)
    assert sorted(said) == [f"{file} is there already: choose another name", "taken"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night.dump", "night.dump.json"]
    assert restored(target, file) == []


# Programs


def test_a_program_that_is_older_than_the_server_will_not_do() -> None:
    with pytest.raises(BackupError, match=r"the server is PostgreSQL 99 and needs pg_dump 99 or newer; found: .*\d"):
        programs.find_program("pg_dump", 99)


def test_the_servers_own_version_is_preferred_to_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for major in (97, 98):
        folder = tmp_path / str(major)
        folder.mkdir()
        (folder / "pg_dump").write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.1'\n")
        (folder / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / '98'}:{tmp_path / '97'}")
    assert programs.find_program("pg_dump", 97) == tmp_path / "97" / "pg_dump"
    assert programs.find_program("pg_dump", 98) == tmp_path / "98" / "pg_dump"
    assert programs.find_program("pg_dump", 96) == tmp_path / "97" / "pg_dump"
    with pytest.raises(BackupError, match="needs pg_dump 96;"):
        programs.find_program("pg_dump", 96, same_major=True)


def test_the_complaint_of_a_program_holds_no_row() -> None:
    with pytest.raises(BackupError) as failed:
        programs._ensure_success(Path("pg_restore"), 1, "CONTEXT: COPY patients, line 1: Okafor\npg_restore: error: no")
    assert str(failed.value) == "pg_restore failed: pg_restore: error: no"
