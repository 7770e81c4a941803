"""`valmed prove` holds for the product, and fails for a product whose guards are taken out: the proof can see.

Guards cover for one another: with FOR UPDATE alone gone the lanes still keep writers apart, and without both the
snapshot and the CHECK still do (tests/concurrency/test_guards.py tries each alone). So a mutation takes out the guard
that it is about and those that would catch its loss first; its docstring in mutation/sitecustomize.py names them. It
comes from outside, into the application's processes only: the product has no switch for it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from backend.db.provision import connect
from backend.embedded import Server
from backend.embedded.account import choose_account
from backend.embedded.ending import SIGNALLED
from backend.embedded.processes import find_processes
from backend.proving import Plan, prove, standing
from backend.proving.acts import CARE_TEAM
from backend.proving.checker import GAVE_UP
from backend.proving.faults import AROUND_COMMIT, CHANGED_ROWS
from tests.cli.running import clean_environment
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
MUTATION = Path(__file__).parent / "mutation"
CLIENTS, SEEDS = 8, range(5, 13)
RACES = Plan(5, 0, asks_again=False)  # clients against each other: a fault would only keep them apart
BREAKS = Plan(3, 0, faults=10, kinds=AROUND_COMMIT, asks_again=False)
CONFLICTS = Plan(3, 0, faults=10, kinds=(CHANGED_ROWS,), asks_again=False)
TEAMS = Plan(3, 0, acts=CARE_TEAM, asks_again=False)
BETWEEN_HOSPITALS = {"without_the_hospital"}
NO_NEGATIVE = (
    "ALTER TABLE stock_levels DROP CONSTRAINT ck_stock_levels_on_hand_units_not_negative",
    "ALTER TABLE stock_lots DROP CONSTRAINT ck_stock_lots_quantity_units_not_negative",
    "ALTER TABLE stock_movements DROP CONSTRAINT ck_stock_movements_balance_after_units_not_negative",
)
UNIQUE_DOSE = ("DROP INDEX uq_administration_dose",)
NO_UNIQUE_PRIMARY = ("DROP INDEX uq_care_team_primary", "DROP INDEX uq_care_team_active")
NO_ROW_SECURITY = (
    """DO $$ DECLARE name regclass; BEGIN
      FOR name IN SELECT oid FROM pg_class WHERE relrowsecurity AND relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', name);
      END LOOP; END $$""",
)
NO_TRAIL_OF_LOTS = (  # every transaction is still in the trail, by its other rows
    """DO $$ BEGIN EXECUTE replace(pg_get_functiondef('record_change'::regproc), 'BEGIN',
      'BEGIN IF TG_TABLE_NAME = ''stock_lots'' THEN RETURN NULL; END IF;'); END $$""",
)
OVERSOLD = {"Nothing is negative"}
TWICE = {
    "No dose is given twice",
    "verify: An order has as many administrations as doses given, exactly all when completed",
}
LOST, FAILED = {"Every acknowledged change is there"}, {"No answer is a 5xx but 503"}
TWO_PRIMARIES = {"A patient has one PRIMARY at a time"}
LEAKED = {
    "No answer holds an id of another hospital",
    "Who asks with an id of another hospital finds nothing and changes nothing",
}
DOUBLED = "No change is there twice"
UNTOLD = {"verify: The audit trail has every change that the version of a row counts"}


@pytest.fixture
def broken_by(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, tuple[str, ...], Plan], set[str]]:
    """The titles of the checks that fail when the application runs with a mutation and the schema was changed so."""

    def run(mutation: str, statements: tuple[str, ...], plan: Plan) -> set[str]:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(MUTATION), str(ROOT)]))
        monkeypatch.setenv("PROOF_MUTATION", mutation)
        hospitals = 2 if mutation in BETWEEN_HOSPITALS else 1  # all in one meet more often
        with standing(server, folder, clients=CLIENTS, hospitals=hospitals) as stand:
            with closing(connect(stand.superuser_url)) as connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            report = prove(stand, plan)
        return {check.title for check in report.verdict.checks if check.broken}

    return run


@pytest.mark.parametrize(
    ("mutation", "statements", "plan", "caught"),
    [
        pytest.param("without_row_locks", NO_NEGATIVE, RACES, OVERSOLD | FAILED, id="FOR UPDATE"),
        pytest.param("without_retry", (), BREAKS, FAILED, id="retry"),
        pytest.param("with_503_for_a_conflict", (), CONFLICTS, {GAVE_UP}, id="retry that answers 503"),
        pytest.param("without_one_primary", NO_UNIQUE_PRIMARY, TEAMS, TWO_PRIMARIES, id="one PRIMARY"),
        pytest.param("without_the_hospital", NO_ROW_SECURITY, RACES, LEAKED, id="tenancy"),
        pytest.param("without_the_look_at_the_stock", NO_NEGATIVE, RACES, OVERSOLD, id="CHECK"),
        pytest.param("without_the_dose_in_order", UNIQUE_DOSE, RACES, TWICE, id="unique dose"),
        pytest.param("without_waiting_for_the_commit", (), BREAKS, LOST, id="after the commit"),
        pytest.param("", NO_TRAIL_OF_LOTS, RACES, UNTOLD, id="audit"),
    ],
)
def test_the_proof_fails_without(
    broken_by: Callable[..., set[str]],
    mutation: str,
    statements: tuple[str, ...],
    plan: Plan,
    caught: set[str],
) -> None:
    """Of eight short runs one is enough: on a busy machine a single one may do too little to meet anything."""
    assert any(caught & broken_by(mutation, statements, replace(plan, seed=seed)) for seed in SEEDS)


def valmed_prove(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`valmed prove`, with its own folder inside of `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", "prove", *arguments],
        cwd=ROOT,
        env={**clean_environment(), "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def test_the_product_is_proven(folder: Path) -> None:
    """With crashes of PostgreSQL among the faults; the figures add up and tell nobody a URL or a token."""
    file = folder / "figures.json"
    done = valmed_prove(folder, "--seconds", "8", "--seed", "4", "--json", str(file))

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("PROVEN (seed 4, 8 s)\n")
    figures = json.loads(file.read_text())
    assert figures["verdict"] == "proven"
    assert figures["seed"] == 4
    assert {"valmed", "python", "postgresql", "system", "cores", "memory_gib"} <= figures["surroundings"].keys()
    assert figures["acknowledged"] > 20
    assert figures["acknowledged"] + sum(figures["refused"].values()) == figures["operations"]
    assert figures["faults_count"] > 0
    assert [units["missing"] for units in figures["units"].values()] == [0, 0]
    assert figures["care_team_seats"]["missing"] == 0
    assert not re.search(r"postgresql[+:]|vmd_|Bearer", done.stdout + file.read_text())
    assert list(folder.iterdir()) == [file], "nothing is left"


@pytest.mark.parametrize(("moment", "first"), [("seed 1: 60 s", signal.SIGTERM), (" acknowledged", signal.SIGHUP)])
def test_who_ends_it_by_any_number_of_signals_leaves_nothing(folder: Path, moment: str, first: signal.Signals) -> None:
    """As `timeout` and supervisors do: one to the process, one to its group, and more."""
    command = [sys.executable, "-m", "backend.cli", "prove", "--seconds", "60"]
    environment = {**clean_environment(), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as proof:
        assert proof.stdout is not None
        assert any(moment in line for line in proof.stdout), "PostgreSQL runs"
        assert list(folder.rglob("postmaster.pid"))
        (pgdata,) = folder.rglob("pgdata")
        proof.send_signal(first)
        for _ in range(5):
            time.sleep(0.1)
            os.killpg(proof.pid, signal.SIGTERM)
    assert proof.returncode == SIGNALLED + first
    assert find_processes(pgdata, choose_account()) == set()
    assert list(folder.iterdir()) == []


def test_a_broken_product_ends_with_1_names_what_broke_and_keeps_the_evidence(folder: Path) -> None:
    path = os.pathsep.join([str(MUTATION), str(ROOT)])
    done = valmed_prove(folder, "--seconds", "4", PYTHONPATH=path, PROOF_MUTATION="without_the_idempotency_row")

    assert done.returncode == 1
    assert re.search(rf"{DOUBLED} +BROKEN [1-9]", done.stdout)
    assert "BROKEN (seed 1, 4 s)\n" in done.stdout
    (kept,) = folder.iterdir()
    assert done.stdout.endswith(f"The database and the logs stay in {kept}.\n")
