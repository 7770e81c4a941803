"""`valmed backup` and `valmed restore` as a person runs them, and as somebody interrupts them."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.engine.url import URL

from backend.config import Config
from backend.db.provision import connect
from backend.domain.models import Base
from backend.operations.backups import backup
from backend.operations.backups.backup import back_up
from backend.operations.backups.errors import BackupError
from backend.operations.backups.manifest import manifest_of, read_manifest
from tests.cli.running import COMMAND, ROOT, Loaded, clean_environment
from tests.hospital import Hospital
from tests.migrations.catalogue import ask
from tests.waiting import PATIENCE_SECONDS, wait_until

PROC = Path("/proc")
SECRET = "a-password-of-the-backup"


def text_of(url: URL) -> str:
    """The URL with its password, as a setting."""
    return url.render_as_string(hide_password=False)


def test_a_folder_gets_a_backup_named_by_the_time_and_its_figures_as_metrics(
    valmed: Loaded, at_work: Hospital, whole_url: URL, target: Config, tmp_path: Path
) -> None:
    figures, began = tmp_path / "valmed.prom", time.time()
    done = valmed("backup", str(tmp_path), "--textfile", str(figures), database_url=text_of(whole_url))
    assert (done.returncode, done.stderr) == (0, "")
    (file,) = tmp_path.glob("*.dump")
    assert file.name.startswith(str(whole_url.database))
    assert read_manifest(file).sha256 in done.stdout
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(figures.read_text())
        for sample in family.samples
    }
    assert began - 1 < samples["valmed_backup_last_success_timestamp_seconds"] < time.time() + 1
    assert samples["valmed_backup_bytes"] == file.stat().st_size
    assert samples["valmed_backup_verify_broken"] == 0

    back = valmed("restore", str(file), database_url=target.database_url)
    assert (back.returncode, back.stderr) == (0, "")
    assert back.stdout.endswith("0 broken\n")
    once_more = valmed("restore", str(file), database_url=target.database_url)
    assert once_more.returncode == 1
    assert "is not empty" in once_more.stderr


def test_a_broken_database_is_backed_up_and_restored_and_both_say_so(
    valmed: Loaded, at_work: Hospital, whole_url: URL, target: Config, tmp_path: Path
) -> None:
    at_work.change("UPDATE stock_levels SET on_hand_units = on_hand_units - 1")
    done = valmed("backup", str(tmp_path / "broken.dump"), database_url=text_of(whole_url))
    assert done.returncode == 1
    assert "2 BROKEN" in done.stdout
    back = valmed("restore", str(tmp_path / "broken.dump"), database_url=target.database_url)
    assert back.returncode == 1
    assert back.stdout.count("BROKEN") == 2


@pytest.mark.parametrize("kind", [(), ("--physical",)], ids=["dump", "cluster"])
def test_missing_folder_gets_no_file_of_its_name(
    valmed: Loaded, whole_url: URL, tmp_path: Path, kind: tuple[str, ...]
) -> None:
    done = valmed("backup", *kind, str(tmp_path / "backups"), database_url=text_of(whole_url))
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert f"the folder {tmp_path}/backups does not exist: make it" in done.stderr


# Interrupted


@pytest.fixture
def waiting(at_work: Hospital, whole_url: URL, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A backup whose pg_dump waits for a table that a session holds."""
    with closing(connect(whole_url)) as holder:
        ask(holder, "BEGIN; LOCK TABLE lanes.lane_000 IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            [*COMMAND, "backup", str(tmp_path / "night.dump")],
            cwd=ROOT,
            env=clean_environment(database_url=text_of(whole_url.set(password=SECRET))),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with closing(connect(whole_url)) as observer:
            wait_for(observer, 1)
            yield process
            ask(holder, "ROLLBACK")
            wait_for(observer, 0)
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)


def wait_for(observer: object, sessions: int) -> None:
    """Returns when so many pg_dumps are in the database."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_dump'"
    wait_until(lambda: ask(observer, count) == [(sessions,)])  # type: ignore[arg-type]


def test_a_backup_that_is_killed_leaves_nothing_that_looks_complete(
    waiting: subprocess.Popen[str], tmp_path: Path
) -> None:
    waiting.kill()
    waiting.wait(PATIENCE_SECONDS)
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(".night.dump.")
    assert partial.suffix == ".partial"
    assert partial.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="no complete backup"):
        read_manifest(partial)


def test_a_backup_that_is_stopped_leaves_nothing(waiting: subprocess.Popen[str], tmp_path: Path) -> None:
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(PATIENCE_SECONDS) != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not PROC.is_dir(), reason="command lines are read from /proc")
def test_the_password_is_on_no_command_line(waiting: subprocess.Popen[str]) -> None:
    children = (PROC / f"{waiting.pid}/task/{waiting.pid}/children").read_text().split()
    lines = [(PROC / f"{pid}/cmdline").read_text() for pid in children]
    assert ["pg_dump" in line for line in lines] == [True]
    assert SECRET not in lines[0]
    assert SECRET in (PROC / f"{children[0]}/environ").read_text()


def test_a_backup_that_waits_too_long_for_a_lock_fails_and_leaves_nothing(
    at_work: Hospital, whole_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LOCK_WAIT_MS", 200)
    with closing(connect(whole_url)) as holder:
        ask(holder, "BEGIN; LOCK TABLE lanes.lane_000 IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(BackupError, match=r"pg_dump failed: .*timeout"):
            back_up(whole_url, Base.metadata, tmp_path / "night.dump", report=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_cannot_be_written_leaves_a_dump_that_no_one_restores(
    at_work: Hospital, whole_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "write_manifest", full)
    target = tmp_path / "night.dump"
    with pytest.raises(OSError, match="No space left"):
        back_up(whole_url, Base.metadata, target, report=lambda line: None)
    assert not manifest_of(target).exists()
    with pytest.raises(BackupError, match="no complete backup"):
        read_manifest(target)
