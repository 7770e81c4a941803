"""Which processes belong to a data directory, proven, not guessed from a process id.

A process id in postmaster.pid proves nothing: after a kill the number may belong to a stranger, or to a
zombie where process 1 does not reap. A process is the cluster's when it is called postgres and works in that
very folder, which every PostgreSQL process does and no zombie can.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .account import Account
from .errors import EmbeddedError

KILL_SECONDS = 30.0
POLL_SECONDS = 0.05
FIND_SCRIPT = """
[ / -ef / ] || exit  # a shell that cannot compare folders
exec 2>/dev/null  # about processes that end while they are looked at
for process in /proc/[0-9]*; do
    [ "$process/cwd" -ef "$1" ] && read -r name <"$process/comm" && [ "$name" = postgres ] || continue
    echo "${process#/proc/}"
done
exit 0
"""


class PidFile(NamedTuple):
    """What postmaster.pid claims; `status` is "starting", "ready", "stopping" or, before the first, empty."""

    pid: int
    status: str


def read_pid_file(pgdata: Path) -> PidFile | None:
    """What postmaster.pid claims, or None when it is missing or torn."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(errors="replace").splitlines()
        return PidFile(int(lines[0]), lines[7].strip() if len(lines) > 7 else "")
    except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
        return None


def find_processes(pgdata: Path, account: Account) -> set[int]:
    """The ids of the living processes of the cluster in `pgdata`: postmaster and children, orphaned or not.

    Without /proc (macOS) only the postmaster is found. Raises EmbeddedError rather than miss one.
    """
    if not os.path.isdir("/proc/self"):
        return _find_by_arguments(pgdata, account)
    # Asked as the server's user: root in a container lacks CAP_SYS_PTRACE and may not see others' folders.
    answer = account.run(["/bin/sh", "-c", FIND_SCRIPT, "sh", pgdata], seconds=60)
    if answer.returncode:
        raise EmbeddedError(f"/bin/sh cannot look for the server's processes: {answer.stdout.strip()}")
    return {int(pid) for pid in answer.stdout.split()}


def wait_until_gone(pid: int, pgdata: Path, account: Account, *, seconds: float) -> bool:
    """Whether process `pid` of the cluster ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while pid in find_processes(pgdata, account):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def kill_processes(pgdata: Path, account: Account) -> None:
    """Ends every process of the cluster, as a power failure would, and waits until they are gone.

    For backends that outlived their postmaster: they hold its shared memory, so no new one can start.
    Raises EmbeddedError when one is left after KILL_SECONDS.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while left := find_processes(pgdata, account):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"processes {sorted(left)} of the server in {pgdata} cannot be ended")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _find_by_arguments(pgdata: Path, account: Account) -> set[int]:
    """The postmaster by its command line, `.../bin/postgres -D <pgdata>`; a zombie has none."""
    answer = account.run(["/bin/ps", "-axww", "-o", "pid=,args="], seconds=30)
    if answer.returncode:
        raise EmbeddedError(f"/bin/ps cannot look for the server's processes: {answer.stdout.strip()}")
    rows = (line.split(None, 1) for line in answer.stdout.splitlines())
    return {int(row[0]) for row in rows if len(row) == 2 and row[1].endswith(f"/bin/postgres -D {pgdata}")}
