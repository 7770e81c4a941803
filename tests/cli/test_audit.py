"""`valmed audit` from the outside: what it says, how it ends, and an export that is checked without ValMed."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from backend.cli import audit
from backend.config import Config
from backend.db import Database
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.domain.audit.checking import FINDINGS_MAX
from backend.errors import Busy
from tests.cli.running import COMMAND, ROOT, Loaded, clean_environment
from tests.cli.test_cli import Succeed
from tests.domain.audit.tampering import Evidence
from tests.hospital import open_hospital
from tests.waiting import PATIENCE_SECONDS, wait_until


@pytest.fixture
def evidence(fresh_config: Config) -> Iterator[Evidence]:
    """A hospital in a database of the test's own, with some stock and nothing sealed."""
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    hospital.receive(5)
    with closing(connect(normalised_url(fresh_config.database_url))) as owner:
        yield Evidence(hospital, fresh_config, owner)
    database.engine.dispose()


def test_seal_verify_and_export(evidence: Evidence, succeed: Succeed, tmp_path: Path) -> None:
    config, slug, file = evidence.config, evidence.hospital.slug, tmp_path / "seals.jsonl"
    events, movements = len(evidence.ids("audit_events")), len(evidence.ids("stock_movements"))
    rows = events + movements
    said = succeed(config, "audit", "verify").splitlines()
    assert re.fullmatch(
        rf"{slug}: 0 seals, 0 rows; {rows} rows not sealed yet, the oldest of \d{{4}}-\S+T\S+\+0000", said[0]
    )
    assert said[1:] == ["1 organizations: 0 broken"]
    assert succeed(config, "audit", "seal", "--organization", slug) == f"{slug}: {rows} rows in 2 seals\n"
    assert succeed(config, "audit", "seal") == ""
    assert succeed(config, "audit", "verify").splitlines()[0] == f"{slug}: 2 seals, {rows} rows; 0 rows not sealed yet"
    told = succeed(config, "audit", "export", "--organization", slug, "--file", str(file))
    assert told == f"2 seals in {file}\n"
    evidence.hospital.receive(1)
    new = len(evidence.ids("audit_events")) + len(evidence.ids("stock_movements")) - rows
    assert f": {new} rows in 2 seals" in succeed(config, "audit", "seal")
    said = succeed(config, "audit", "verify", "--organization", slug, "--seals", str(file))
    assert said.splitlines()[-1] == "1 organizations: 0 broken"


def test_every_hospital_is_sealed_and_verified_where_none_is_named(evidence: Evidence, succeed: Succeed) -> None:
    slugs = [evidence.hospital.slug, open_hospital(evidence.hospital.database).slug]
    said = succeed(evidence.config, "audit", "seal")
    assert [line.split(":")[0] for line in said.splitlines()] == sorted(slugs)
    said = succeed(evidence.config, "audit", "verify").splitlines()
    assert [line.split(":")[0] for line in said[:-1]] == sorted(slugs)
    assert said[-1] == "2 organizations: 0 broken"


def test_who_stays_outlives_a_database_that_is_away_between_two_rounds(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(database: Database) -> list[UUID]:
        raise Busy()

    monkeypatch.setattr(audit, "list_organizations", refuse)
    database, stop = evidence.hospital.database, threading.Event()
    assert list(audit._seal_all(database, "", stop, staying=True)) == ["busy, again at the next round"]
    with pytest.raises(Busy):
        list(audit._seal_all(database, "", stop, staying=False))


def test_an_export_is_checked_by_the_lines_of_the_readme(evidence: Evidence, tmp_path: Path) -> None:
    evidence.seal()
    file = evidence.export(tmp_path / "seals.jsonl")
    (program,) = re.findall(r"```python\n(import hashlib.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(program.splitlines()) <= 12

    def check() -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, "-I", "-c", program, file], capture_output=True, text=True, check=False)

    ((last, head),) = evidence.hospital.rows("SELECT id, encode(hash, 'hex') FROM audit_seals ORDER BY id DESC LIMIT 1")
    assert check().stdout == f"{last} {head}\n"
    text = file.read_text()
    for forged in (
        text.replace('"table":"audit_events"', '"table":"wards"'),
        text.replace('"rows":[["', '"rows":[["0'),
        "".join(text.splitlines(keepends=True)[1:]),
    ):
        file.write_text(forged)
        assert "AssertionError" in check().stderr


def test_what_was_changed_is_named_and_ends_with_1(evidence: Evidence, valmed: Loaded, tmp_path: Path) -> None:
    slug, url = evidence.hospital.slug, evidence.config.database_url
    evidence.seal()
    file = evidence.export(tmp_path / "seals.jsonl")
    row = evidence.ids("stock_movements")[0]
    evidence.tamper("stock_movements", "UPDATE stock_movements SET units = 500 WHERE id = %s", row)
    told = valmed("audit", "verify", database_url=url)
    assert (told.returncode, told.stderr) == (1, "")
    assert told.stdout.splitlines()[0] == f"{slug}: stock_movements {row} was altered (seal 2)"
    assert told.stdout.splitlines()[-1] == "1 organizations: 1 broken"
    evidence.tamper("audit_seals", "DELETE FROM audit_seals")
    evidence.seal()
    assert valmed("audit", "verify", database_url=url).returncode == 0
    told = valmed("audit", "verify", "--seals", str(file), database_url=url)
    assert told.returncode == 1
    assert told.stdout.splitlines()[:2] == [
        f"{slug}: seal 1 is not the exported one",
        f"{slug}: seal 2 is not the exported one, first at stock_movements {row}",
    ]


def test_what_cannot_be_done_is_one_line(evidence: Evidence, valmed: Loaded, tmp_path: Path) -> None:
    url, slug = evidence.config.database_url, evidence.hospital.slug
    evidence.seal()
    file = evidence.export(tmp_path / "seals.jsonl")
    other = tmp_path / "other.jsonl"
    other.write_text(file.read_text().replace(str(evidence.hospital.organization_id), str(evidence.hospital.ward_id)))
    noise = tmp_path / "noise.jsonl"
    noise.write_text("{}\n")
    for arguments, status, said in (
        (("export", "--organization", slug, "--file", str(file)), 1, "exists: an export is evidence"),
        (("export", "--organization", "nowhere", "--file", str(tmp_path / "x")), 1, "There is no organization"),
        (("seal", "--organization", "nowhere"), 1, "There is no organization"),
        (("verify", "--organization", "nowhere"), 2, "There is no organization nowhere."),
        (("verify", "--seals", str(noise)), 1, "Line 1 is not a seal."),
        (("verify", "--seals", str(other)), 1, "Line 1 is not the seal after the line before it."),
    ):
        done = valmed("audit", *arguments, database_url=url)
        assert (done.returncode, done.stdout) == (status, "")
        assert said in done.stderr


def test_seals_of_an_organization_that_is_not_there_are_refused(
    evidence: Evidence, valmed: Loaded, tmp_path: Path
) -> None:
    elsewhere = open_hospital(evidence.hospital.database)
    there = Evidence(elsewhere, evidence.config, evidence.owner)
    there.seal()
    file = there.export(tmp_path / "seals.jsonl")
    slug, url = evidence.hospital.slug, evidence.config.database_url
    done = valmed("audit", "verify", "--organization", slug, "--seals", str(file), database_url=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "belong to none of the organizations that are checked" in done.stderr


@pytest.mark.concurrency
def test_two_processes_seal_on_and_end_when_told(evidence: Evidence, tmp_path: Path) -> None:
    outputs = [tmp_path / "first", tmp_path / "second"]
    processes = []
    for output in outputs:
        with output.open("wb") as file:
            environment = clean_environment(database_url=evidence.config.database_url)
            command = [*COMMAND, "audit", "seal", "--every", "1"]
            processes.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
            )
    wait_until(lambda: all(output.read_text().startswith("Sealing every 1 s.\n") for output in outputs))
    for _ in range(3):
        evidence.hospital.receive(1)
        wait_until(lambda: evidence.check().unsealed == 0)
    assert all(process.poll() is None for process in processes), "they stay"
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=PATIENCE_SECONDS) for process in processes] == [0, 0]
    assert "Traceback" not in "".join(output.read_text() for output in outputs)
    assert evidence.findings() == []


def test_verify_says_that_it_stopped_and_goes_on_with_all(evidence: Evidence, valmed: Loaded) -> None:
    """A seal is looked at whole: so the faults lie in one seal, and one more is in the next."""
    for _ in range(FINDINGS_MAX):
        evidence.hospital.receive(1)
    evidence.seal()
    evidence.hospital.receive(1)
    evidence.seal()
    altered = evidence.ids("stock_movements")
    evidence.tamper("stock_movements", "UPDATE stock_movements SET units = 500")
    first = valmed("audit", "verify", database_url=evidence.config.database_url)
    assert (first.returncode, "the check stopped here: go on with --all" in first.stdout) == (1, True)
    everything = valmed("audit", "verify", "--all", database_url=evidence.config.database_url)
    assert (everything.returncode, "stopped" in everything.stdout) == (1, False)
    assert first.stdout.count(" was altered (seal ") < everything.stdout.count(" was altered (seal ") == len(altered)
