"""The nodes of the application under proof: `valmed serve` as an operator starts it, its workers, how they are killed.

A node whose clock is to be wrong is started by ahead.py, since `valmed serve` becomes gunicorn in a new interpreter.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

import orjson

from backend.operations.proving.exchange import Exchange

HOST = "127.0.0.1"
GUNICORN = Path(__file__).parents[1] / "gunicorn.conf.py"
START_SECONDS, STOP_SECONDS, POLL_SECONDS, METRICS_SECONDS_MAX = 120.0, 60.0, 0.1, 10.0
RETRIED = re.compile(r'valmed_transaction_retries_total\{reason="([^"]+)"\} ([0-9.e+]+)')


class NotStarted(RuntimeError):
    """The application did not start; the message holds the end of its log."""


class Node:
    """One `valmed serve` with `settings` as its environment, logging to `log`."""

    def __init__(self, settings: Mapping[str, str], log: Path, *, ahead_seconds: float = 0) -> None:
        """Nothing runs yet. `settings` come on top of this process's environment without its VALMED_ names.

        The node's own clock is `ahead_seconds` ahead of the machine's.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VALMED_")}
        self._environment = {**kept, **settings}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.ahead_seconds = ahead_seconds
        self.port = _free_port()

    def start(self) -> None:
        """Start the node and return when it is ready. Raises NotStarted."""
        self.launch()
        self.wait_until_ready()

    def stop(self) -> None:
        """End the node and return when none of its processes is left."""
        self.ask_to_end()
        self.wait_until_ended()

    def launch(self) -> None:
        """Start the processes of the node. `wait_until_ready` follows."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the proof, which then stops the application
            )

    def wait_until_ready(self) -> None:
        """Return when the node answers that it is ready. Raises NotStarted after START_SECONDS."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self._process is not None and self._process.poll() is None:
            reply = Exchange(self.port, "GET", "/readyz", {}, None, seconds=10).hear()
            if reply is not None and reply.status == 200:
                return
            time.sleep(POLL_SECONDS)
        raise NotStarted(f"the application did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def ask_to_end(self) -> None:
        """Ask the node to finish what it does and to end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait_until_ended(self) -> None:
        """Return when the node has ended; after STOP_SECONDS every process of it is killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def retries(self) -> dict[str, int]:
        """How often it ran a transaction again since it was started, by reason, as its metrics tell."""
        reply = Exchange(self.port, "GET", "/metrics", {}, None, seconds=METRICS_SECONDS_MAX).hear()
        lines = reply.body.decode().splitlines() if reply is not None else []
        found = (RETRIED.fullmatch(line) for line in lines)
        return {match[1]: int(float(match[2])) for match in found if match is not None}

    def clock_offset(self) -> float | None:
        """Ask the node by how many seconds its clock is ahead of PostgreSQL's. None where it does not answer."""
        reply = Exchange(self.port, "GET", "/readyz", {}, None, seconds=METRICS_SECONDS_MAX).hear()
        if reply is None or reply.status != 200:
            return None
        return float(orjson.loads(reply.body).get("clock_offset_seconds", 0))

    def kill_worker(self, chance: Random) -> bool:
        """Kills one worker without warning; whether there was one."""
        workers = _children(self._process.pid) if self._process is not None else []
        if not workers:
            return False
        try:
            os.kill(chance.choice(workers), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _command(self) -> list[str]:
        if self.ahead_seconds:
            arguments = ["--config", str(GUNICORN), "--bind", f"{HOST}:{self.port}", "backend:create_app()"]
            return [sys.executable, "-m", "backend.operations.proving.ahead", str(self.ahead_seconds), *arguments]
        return [sys.executable, "-m", "backend.cli", "serve", "--host", HOST, "--port", str(self.port)]


def start(nodes: Sequence[Node]) -> None:
    """Start all nodes at once and return when all are ready. Raises NotStarted."""
    launch(nodes)
    wait_until_ready(nodes)


def launch(nodes: Sequence[Node]) -> None:
    """Start the processes of all nodes. `wait_until_ready` follows."""
    for node in nodes:
        node.launch()


def wait_until_ready(nodes: Sequence[Node]) -> None:
    """Return when all nodes answer that they are ready. Raises NotStarted."""
    for node in nodes:
        node.wait_until_ready()


def stop(nodes: Sequence[Node]) -> None:
    """End all nodes at once and return when none of their processes is left."""
    for node in nodes:
        node.ask_to_end()
    for node in nodes:
        node.wait_until_ended()


def retries(nodes: Iterable[Node]) -> dict[str, int]:
    """Sum how often the nodes ran a transaction again since they were started, by reason, as their metrics tell."""
    return dict(sum((Counter(node.retries()) for node in nodes), Counter[str]()))


def _children(parent: int) -> list[int]:
    """The ids of a process's children."""
    known = Path(f"/proc/{parent}/task/{parent}/children")
    if known.exists():
        return sorted(int(pid) for pid in known.read_text().split())
    command = ["/bin/ps", "-A", "-o", "pid=,ppid="]  # macOS
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return sorted(int(pid) for pid, ppid in rows if int(ppid) == parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
