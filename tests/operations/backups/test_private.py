"""The private PostgreSQL: its dump makes a new one, and a copy of its cluster is a PostgreSQL that starts."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine.url import make_url

from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, create_database
from backend.domain.models import Base
from backend.operations.backups import physical
from backend.operations.backups.errors import BackupError
from backend.operations.backups.manifest import manifest_of
from backend.operations.backups.physical import back_up_cluster
from backend.operations.embedded import Server
from backend.operations.embedded.account import choose_account
from backend.operations.verification.verify import verify
from tests.cli.running import Loaded
from tests.conftest import FAST
from tests.hospital import open_hospital


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the server's own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="valmed-private-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def source(place: Path) -> Iterator[Server]:
    """A private PostgreSQL with a hospital, as `valmed demo` makes one."""
    server = Server(place / "source", settings=FAST)
    server.start()
    create_database(make_url(server.url()), owner="valmed_owner", database="valmed")
    config = Config(database_url=server.url("valmed", "valmed_owner"), log_level="CRITICAL")
    migrate.upgrade(config)
    database = Database(replace(config, pool_size=1, pool_max_overflow=0), application_url(config))
    open_hospital(database).receive(7)
    database.engine.dispose()
    yield server
    server.destroy()


@pytest.fixture
def there(place: Path) -> Iterator[Server]:
    """Another place, in which there is nothing yet."""
    server = Server(place / "there", settings=FAST)
    yield server
    server.destroy()


def test_a_backup_of_the_private_postgresql_becomes_a_new_one(
    valmed: Loaded, source: Server, there: Server, tmp_path: Path
) -> None:
    file = str(tmp_path / "demo.dump")
    for command, server in ((("backup", file), source), (("restore", file), there), (("verify",), there)):
        done = valmed(*command, "--data-dir", str(server.data_dir))
        assert (done.returncode, done.stderr) == (0, "")
    assert source.is_running(), "it ran before"
    assert not there.is_running()


def test_a_copy_of_the_cluster_starts_and_is_proven(source: Server, there: Server, tmp_path: Path) -> None:
    copy = tmp_path / "cluster"
    manifest = back_up_cluster(make_url(source.url("valmed")), Base.metadata, copy, report=lambda line: None)

    assert (manifest.kind, manifest.broken) == ("physical", 0)
    assert copy.stat().st_mode & 0o777 == 0o700
    assert manifest_of(copy).exists()
    shutil.copytree(copy, there.data_dir / "pgdata")
    account = choose_account()
    for folder, _, files in os.walk(there.data_dir / "pgdata"):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, account.uid, account.gid)
    there.start()
    findings = verify(normalised_url(there.url("valmed", "valmed_owner")), Base.metadata)
    assert [finding for finding in findings if finding.broken] == []
    assert len({finding.organization for finding in findings}) == 2, "the schema and the hospital"


def test_a_copy_that_was_changed_on_the_way_is_not_kept(
    source: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_run = physical.run

    def run_and_damage(program: Path, *arguments: object) -> None:
        really_run(program, *arguments)  # type: ignore[arg-type]
        if program.name == "pg_basebackup":
            (copy,) = tmp_path.iterdir()
            (copy / "PG_VERSION").write_text("17\n")

    monkeypatch.setattr(physical, "run", run_and_damage)
    with pytest.raises(BackupError, match="pg_verifybackup failed"):
        back_up_cluster(make_url(source.url("valmed")), Base.metadata, tmp_path / "cluster", report=lambda line: None)
    assert list(tmp_path.iterdir()) == []
