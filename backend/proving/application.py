"""The application under proof: `valmed serve` as an operator starts it, its workers, and how they are killed."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random

from backend.proving.exchange import Exchange

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, POLL_SECONDS, METRICS_SECONDS_MAX = 120.0, 60.0, 0.1, 10.0
RETRIED = re.compile(r'valmed_transaction_retries_total\{reason="([^"]+)"\} ([0-9.e+]+)')


class NotStarted(RuntimeError):
    """The application did not start; the message holds the end of its log."""


class Application:
    """`valmed serve` with `settings` as its environment, logging to `log`."""

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        """Nothing runs yet. `settings` come on top of this process's environment without its VALMED_ names."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VALMED_")}
        self._environment = {**kept, **settings}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def start(self) -> None:
        """Returns when it is ready. Raises NotStarted."""
        command = [sys.executable, "-m", "backend.cli", "serve", "--host", HOST, "--port", str(self.port)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the proof, which then stops the application
            )
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self._process.poll() is None:
            reply = Exchange(self.port, "GET", "/readyz", {}, None, seconds=10).hear()
            if reply is not None and reply.status == 200:
                return
            time.sleep(POLL_SECONDS)
        raise NotStarted(f"the application did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Asks it to finish what it does and to end; after STOP_SECONDS every process of it is killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
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
