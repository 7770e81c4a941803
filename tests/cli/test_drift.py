"""`valmed claims` and `valmed drift` from the outside."""

import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from backend.cli import drift
from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from backend.domain.claims import weekly
from backend.errors import Busy
from tests.cli.running import COMMAND, ROOT, Loaded, clean_environment, free_port
from tests.domain.claims.filing import AS_OF, claims, csv_of, file_claims, states
from tests.hospital import Hospital, now, open_hospital
from tests.waiting import PATIENCE_SECONDS, wait_until

Succeed = Callable[..., str]
DRIFTED = [*claims(60, ago=50, denied=6), *claims(60, ago=7, denied=30)]


def test_claims_are_imported_and_bad_lines_told(
    hospital: Hospital, config: Config, valmed: Loaded, succeed: Succeed, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    raw = csv_of(DRIFTED)
    good.write_bytes(raw)
    bad.write_bytes(raw + b"x\r\n" * 22)
    for said in ("120 new, 0 changed, 0 known, 0 rejected in ", "0 new, 0 changed, 120 known, 0 rejected in "):
        assert said in succeed(config, "claims", "import", str(good), "--organization", hospital.slug)
    done = valmed("claims", "import", str(bad), "--organization", hospital.slug, database_url=config.database_url)
    assert (done.returncode, done.stderr) == (1, "")
    assert "line 122: 1 cells, not 7\n" in done.stdout
    assert "... and more, 22 in all: see them with --after-line 141\n0 new, 0 changed, 120 known" in done.stdout
    where = ("claims", "import", str(bad), "--organization", hospital.slug)
    rest = valmed(*where, "--after-line", "141", database_url=config.database_url)
    assert [line for line in rest.stdout.splitlines() if line.startswith(("line", "..."))] == [
        *("line 142: 1 cells, not 7", "line 143: 1 cells, not 7"),
    ]
    assert hospital.rows("SELECT count(*), count(imported_by_id) FROM claim_records") == [(120, 0)]


def test_what_cannot_be_imported_is_one_line(
    hospital: Hospital, config: Config, valmed: Loaded, tmp_path: Path
) -> None:
    file = tmp_path / "claims.csv"
    file.write_text("a,b\n1,2\n")
    for slug, said in (
        (hospital.slug, "/lines/1: columns: claim_id, payer"),
        ("no-such-place", "There is no organization"),
    ):
        done = valmed("claims", "import", str(file), "--organization", slug, database_url=config.database_url)
        assert done.returncode == 1
        assert done.stderr.startswith("valmed: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("day", ["0001-01-02", "9999-12-31"])
def test_a_day_of_no_calendar_of_claims_is_refused(
    hospital: Hospital, config: Config, valmed: Loaded, day: str
) -> None:
    asked = ("drift", "run", "--organization", hospital.slug, "--as-of", day)
    done = valmed(*asked, database_url=config.database_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Invalid value for '--as-of': The year must lie between 1900 and 2200." in done.stderr
    assert states(hospital) == []


def test_a_run_by_hand(hospital: Hospital, config: Config, succeed: Succeed) -> None:
    file_claims(hospital, DRIFTED)
    at = ["--organization", hospital.slug, "--as-of", AS_OF.isoformat()]
    said = succeed(config, "drift", "run", *at).splitlines()
    assert said[0] == "0.80  DENIAL_RATE    Aetna / Imaging: 0.1 -> 0.5"
    assert said[1].startswith("1 events in 1 groups as of 2026-06-01 (run ")
    assert succeed(config, "drift", "run", *at, "--adjust").splitlines()[0].endswith("0.1 -> 0.5  stands")
    options = ["--baseline-days", "20", "--current-days", "5", "--min-volume", "1"]
    assert "0 events in 0 groups" in succeed(config, "drift", "run", *at, *options)
    assert [state[:3] for state in states(hospital)] == [("success", 1, 1), ("success", 1, 1), ("success", 0, 0)]
    assert "as of " + now().date().isoformat()[:4] in succeed(config, "drift", "run", "--organization", hospital.slug)


@pytest.fixture
def alone(fresh_config: Config) -> Iterator[Hospital]:
    """A hospital that is the only one of its database: a schedule looks at all of them."""
    database = Database(replace(fresh_config, pool_size=2), application_url(fresh_config))
    yield open_hospital(database)
    database.engine.dispose()


@pytest.mark.concurrency
def test_two_schedules_make_one_run_a_week_and_end_when_told(
    alone: Hospital, fresh_config: Config, succeed: Succeed, tmp_path: Path
) -> None:
    file_claims(alone, claims(1, ago=1))
    outputs = [tmp_path / "first", tmp_path / "second"]
    processes = [_schedule(fresh_config, output) for output in outputs]
    wait_until(lambda: all(output.read_text().startswith("Looking every 3600 s") for output in outputs))
    wait_until(lambda: [state[0] for state in states(alone)] == ["success"])
    assert all(process.poll() is None for process in processes), "they stay for the weeks to come"
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=PATIENCE_SECONDS) for process in processes] == [0, 0]
    said = "".join(output.read_text() for output in outputs)
    assert f"{alone.slug}: run " in said
    assert "Traceback" not in said
    assert alone.slug not in succeed(fresh_config, "drift", "schedule", "--once")
    assert states(alone) == [("success", 0, 0, None, 0)]


def test_a_schedule_answers_prometheus_where_it_is_told_to(
    alone: Hospital, fresh_config: Config, valmed: Loaded, tmp_path: Path
) -> None:
    file_claims(alone, claims(1, ago=1))
    port = str(free_port())
    process = _schedule(fresh_config, tmp_path / "out", "--metrics-port", port)
    try:
        wait_until(lambda: [state[0] for state in states(alone)] == ["success"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
            runs = re.search(r'valmed_drift_runs_total\{outcome="finished"\} (\S+)', answer.read().decode())
        assert runs is not None
        assert float(runs[1]) >= 1
        done = valmed("drift", "schedule", "--metrics-port", port, database_url=fresh_config.database_url)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"valmed: cannot answer Prometheus on port {port}: ")
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


def _schedule(config: Config, output: Path, *options: str) -> "subprocess.Popen[bytes]":
    with output.open("wb") as file:
        return subprocess.Popen(
            [*COMMAND, "drift", "schedule", *options],
            cwd=ROOT,
            env=clean_environment(database_url=config.database_url),
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def test_who_stays_outlives_a_database_that_is_away_between_two_looks(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(database: Database) -> list[UUID]:
        raise Busy()

    monkeypatch.setattr(weekly, "list_organizations", refuse)
    told = list(drift._look(hospital.database, adjust=False, staying=True))
    assert told == ["busy, again at the next look"]
    with pytest.raises(Busy):
        list(drift._look(hospital.database, adjust=False, staying=False))
