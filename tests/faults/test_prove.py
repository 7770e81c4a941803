"""`valmed prove` holds for the product, and fails for a product whose guards are taken out: the proof can see.

Guards cover for one another: with FOR UPDATE alone gone the lanes still keep writers apart, and without both the
snapshot and the CHECK still do (tests/concurrency/test_guards.py tries each alone). So a mutation takes out the guard
that it is about and those that would catch its loss first; its docstring in mutation/sitecustomize.py names them. It
comes from outside, into the application's processes only: the product has no switch for it. It counts how often it had
an effect: a run counts as evidence only if it did, and the check that is about it, not just any, has failed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backend.db.provision import connect
from backend.operations.embedded import Server
from backend.operations.embedded.account import choose_account
from backend.operations.embedded.ending import SIGNALLED
from backend.operations.embedded.processes import find_processes
from backend.operations.proving import Plan, prove, standing
from backend.operations.proving.acts import CARE_TEAM, CUPBOARDS
from backend.operations.proving.checker import GAVE_UP
from backend.operations.proving.faults import AROUND_COMMIT, CHANGED_ROWS
from backend.operations.proving.stand import ask
from tests.cli.running import clean_environment
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
MUTATION = Path(__file__).parent / "mutation"
CLIENTS, SEEDS = 8, range(5, 13)
RACES = Plan(5, 0, asks_again=False)  # clients against each other: a fault would only keep them apart
BREAKS = Plan(2, 0, faults=10, kinds=AROUND_COMMIT, asks_again=False)
CONFLICTS = Plan(2, 0, faults=10, kinds=(CHANGED_ROWS,), asks_again=False)
TEAMS = Plan(3, 0, acts=CARE_TEAM, asks_again=False)
CONTENT = Plan(4, 0, asks_again=False)
COUNTS = Plan(4, 0, acts=CUPBOARDS, asks_again=False)
COUNTING = Plan(
    6, 0, acts=tuple(act for act in CUPBOARDS if "count" in act.name or "variance" in act.name), asks_again=False
)
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
FIRST_EXPIRING = "The first to expire was taken first"
EXPIRED, ON_HOLD, RECALLED = (f"No lot was taken that {was}" for was in ("had expired", "was on hold", "was recalled"))
REMAINDER = "What is left on the shelf by an answer is left by the ledger"
LOTS = "The lots of an answer are those of the ledger"
NAMES = "The names on record are those of who asked and who witnessed"
OWN_WARD = "Only nurses of the ward gave, before witnesses of the ward"
OWN_KEY = "A key answers nobody but the person who used it first"
BOARD = "A board that was read after an answer shows it"
MOMENTS = "Every moment on record lies between its request and its answer"
WRITE_OFF = "No variance was written off that was none, or was written off before"
COUNT = "A count finds missing what is missing, and nothing else"
SAYS_SO = "A node whose clock is off says so"
TRAIL = "The audit trail retells every row of every table"
ABOUT_ONE_THING = {FIRST_EXPIRING, EXPIRED, ON_HOLD, RECALLED, REMAINDER, LOTS, NAMES, OWN_WARD, OWN_KEY, BOARD, TRAIL}
UNTOLD = "verify: The audit trail has every change that the version of a row counts"
OF_SQL = "without_lots_in_the_trail"  # a mutation of the database, which counts for itself
UNRECORDED_LOTS = (
    "CREATE SEQUENCE occasions",
    "GRANT USAGE ON SEQUENCE occasions TO PUBLIC",
    "SELECT nextval('occasions')",
    """DO $$ BEGIN EXECUTE replace(pg_get_functiondef('record_change'::regproc), E'\\nBEGIN\\n', E'\\nBEGIN\\n'
      || 'IF TG_TABLE_NAME = ''stock_lots'' THEN PERFORM nextval(''occasions''); RETURN NULL; END IF;'); END $$""",
)


@dataclass(frozen=True)
class Case:
    """Mutations that run together, and for each, or each kind of its effects, the checks of which one must catch it."""

    caught_by: Mapping[str, set[str]]
    plan: Plan
    statements: tuple[str, ...] = ()
    hospitals: int = 1  # all in one meet more often
    nodes: int = 1

    @property
    def mutations(self) -> list[str]:
        """Those of the application."""
        return list(dict.fromkeys(name.split()[0] for name in self.caught_by if not name.startswith(OF_SQL)))


@pytest.fixture
def evidence(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Case, int], tuple[set[str], Counter[str]]]:
    """A run of a case with a seed: the titles of the checks that failed, and how often each mutation had an effect."""

    def run(case: Case, seed: int) -> tuple[set[str], Counter[str]]:
        occasions = folder / f"occasions-{seed}"
        occasions.mkdir()
        occasions.chmod(0o777)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(MUTATION), str(ROOT)]))
        monkeypatch.setenv("PROOF_MUTATION", ",".join(case.mutations))
        monkeypatch.setenv("PROOF_OCCASIONS", str(occasions))
        with standing(server, folder, clients=CLIENTS, hospitals=case.hospitals, nodes=case.nodes) as stand:
            with closing(connect(stand.superuser_url)) as connection, connection.cursor() as cursor:
                for statement in case.statements:
                    cursor.execute(statement)
            report = prove(stand, replace(case.plan, seed=seed))
            counted = Counter({file.name: file.stat().st_size for file in occasions.iterdir()})
            for name in case.caught_by:
                if name.startswith(OF_SQL):
                    ((counted[name],),) = ask(stand.superuser_url, "SELECT last_value - 1 FROM occasions")
        return {check.title for check in report.verdict.checks if check.broken}, counted

    return run


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case({"without_row_locks": OVERSOLD | FAILED}, RACES, NO_NEGATIVE), id="FOR UPDATE"),
        pytest.param(Case({"without_retry": FAILED}, BREAKS), id="retry"),
        pytest.param(Case({"with_503_for_a_conflict": {GAVE_UP}}, CONFLICTS), id="retry that answers 503"),
        pytest.param(Case({"without_one_primary": TWO_PRIMARIES}, TEAMS, NO_UNIQUE_PRIMARY), id="one PRIMARY"),
        pytest.param(Case({"without_the_hospital": LEAKED}, RACES, NO_ROW_SECURITY, hospitals=2), id="tenancy"),
        pytest.param(Case({"without_the_look_at_the_stock": OVERSOLD}, RACES, NO_NEGATIVE), id="CHECK"),
        pytest.param(Case({"without_the_dose_in_order": TWICE}, RACES, UNIQUE_DOSE), id="unique dose"),
        pytest.param(Case({"without_waiting_for_the_commit": LOST}, BREAKS), id="after the commit"),
        pytest.param(
            Case(
                {
                    "with_the_last_to_expire_first": {FIRST_EXPIRING},
                    "with_another_remainder": {REMAINDER},
                    "with_answers_for_anybody": {OWN_KEY},
                    "with_boards_of_yesterday": {BOARD},
                },
                CONTENT,
            ),
            id="picking, figures, keys, boards",
        ),
        pytest.param(
            Case(
                {
                    "with_lots_that_may_not_be_given expired": {EXPIRED},
                    "with_lots_that_may_not_be_given on_hold": {ON_HOLD},
                    "with_lots_that_may_not_be_given recalled": {RECALLED},
                    "with_another_lot": {LOTS},
                    "without_the_ward": {OWN_WARD},
                },
                CONTENT,
            ),
            id="lots, wards",
        ),
        pytest.param(
            Case(
                {"with_another_nurse": {NAMES}, OF_SQL: {TRAIL}, f"{OF_SQL}, by version": {UNTOLD}},
                CONTENT,
                UNRECORDED_LOTS,
            ),
            id="names, trail",
        ),
        pytest.param(
            Case(
                {
                    "with_the_nodes_clock": {MOMENTS},
                    "without_a_word_of_the_clock": {SAYS_SO},
                    "with_another_witness": {NAMES},
                },
                COUNTS,
                nodes=2,
            ),
            id="clocks, witnesses",
        ),
        pytest.param(Case({"without_looking_again completing": {COUNT}}, COUNTS), id="counts of what is under way"),
        pytest.param(Case({"without_looking_for_corrections": {WRITE_OFF}}, COUNTING), id="one write-off"),
    ],
)
def test_the_proof_fails_without(
    evidence: Callable[[Case, int], tuple[set[str], Counter[str]]],
    case: Case,
    capsys: pytest.CaptureFixture[str],
    pytestconfig: pytest.Config,
) -> None:
    """Of eight short runs one is enough: on a busy machine a single one may do too little to meet anything.

    With -v it says how often each mutation had an effect in the run that caught it.
    """
    caught: dict[str, str] = {}
    wanted = set().union(*case.caught_by.values())
    for seed in SEEDS:
        broken, occasions = evidence(case, seed)
        assert case.plan is not CONTENT or not (ABOUT_ONE_THING - wanted) & broken
        for mutation, titles in case.caught_by.items():
            if occasions[mutation] and titles & broken:
                caught[mutation] = f"had its effect {occasions[mutation]} times, caught by {sorted(titles & broken)}"
        if caught.keys() == case.caught_by.keys():
            break
    if pytestconfig.get_verbosity() > 0:
        with capsys.disabled():
            sys.stdout.writelines(f"\n  {mutation} {how}" for mutation, how in caught.items())
    assert caught.keys() == case.caught_by.keys()


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


def judge(history: Path) -> tuple[Counter[str], set[tuple[str, int]]]:
    """Somebody else's checker, who has the file and nothing of ours: how operations ended, and doses given twice."""
    ended: Counter[str] = Counter()
    given: Counter[tuple[str, int]] = Counter()
    dose_of: dict[str, tuple[str, int]] = {}
    taken_back: set[str] = set()
    for line in history.read_text().splitlines():
        operation = json.loads(line)
        if operation["type"] == "run" or operation["request"]["method"] == "GET":
            continue
        ended[operation["type"]] += 1
        if operation["type"] != "ok":
            continue
        answer, path = operation["response"]["body"], operation["request"]["path"]
        for part in (answer or {}).get("results", [answer or {}]):
            if "administration_id" in part and "fulfilled_by" in part:
                dose_of[part["administration_id"]] = part["order_id"], part["dose"]
        if path.endswith("/entered-in-error"):
            taken_back.add(path.split("/")[2])
    given.update(dose for administration_id, dose in dose_of.items() if administration_id not in taken_back)
    return ended, {dose for dose, times in given.items() if times > 1}


def test_the_product_is_proven(folder: Path) -> None:
    """With crashes of PostgreSQL among the faults; the figures add up and tell nobody a URL or a token."""
    file, history = folder / "figures.json", folder / "history.jsonl"
    done = valmed_prove(folder, "--seconds", "8", "--seed", "4", "--json", str(file), "--history", str(history))

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("PROVEN (seed 4, 8 s)\n")
    figures = json.loads(file.read_text())
    assert figures["verdict"] == "proven"
    assert figures["seed"] == 4
    assert {"valmed", "python", "postgresql", "system", "cores", "memory_gib"} <= figures["surroundings"].keys()
    assert (figures["surroundings"]["nodes"], figures["surroundings"]["clock_ahead_seconds"]) == (2, 120)
    assert figures["acknowledged"] > 20
    assert figures["acknowledged"] + sum(figures["refused"].values()) == figures["operations"]
    assert figures["faults_count"] > 0
    assert [units["missing"] for units in figures["units"].values()] == [0, 0]
    assert figures["care_team_seats"]["missing"] == 0
    assert not re.search(r"postgresql[+:]|vmd_|Bearer|password", done.stdout + file.read_text() + history.read_text())
    assert sorted(folder.iterdir()) == [file, history], "nothing is left"

    ended, twice = judge(history)
    assert (ended["ok"], ended.total()) == (figures["acknowledged"], figures["operations"])
    assert twice == set()
    lines = history.read_text().splitlines()
    dose = next(line for line in lines if '"type":"ok"' in line and '"f":"fulfil"' in line)
    invented = [re.sub(r'("administration_id":")[^"]+', rf"\1{other}", dose) for other in ("one", "another")]
    history.write_text("\n".join([*lines, *invented]))
    _, twice = judge(history)
    assert len(twice) == 1, "the file alone tells of a dose that was given twice"


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


def test_a_broken_product_ends_with_1_names_what_broke_and_keeps_the_evidence(folder: Path, tmp_path: Path) -> None:
    mutation = {
        "PYTHONPATH": os.pathsep.join([str(MUTATION), str(ROOT)]),
        "PROOF_MUTATION": "without_the_idempotency_row",
        "PROOF_OCCASIONS": str(tmp_path),
    }
    done = valmed_prove(folder, "--seconds", "4", **mutation)

    assert (tmp_path / mutation["PROOF_MUTATION"]).stat().st_size > 0
    assert done.returncode == 1
    assert re.search(rf"{DOUBLED} +BROKEN [1-9]", done.stdout)
    assert "BROKEN (seed 1, 4 s)\n" in done.stdout
    (kept,) = folder.iterdir()
    assert done.stdout.endswith(f"The database and the logs stay in {kept}.\n")
