"""Removes what is ours from a data directory, and nothing else."""

import os
import shutil
import time
from pathlib import Path

from .account import Account
from .folders import NEW, find_foreign_sign, is_there
from .socket_dir import remove_socket_dir

OLD = ".old-"  # in the name of what is being removed
OURS = ("pgdata", "log", "run", "valmed.conf", "socket_dir", "binaries-*")


def remove_files(data_dir: Path, account: Account) -> None:
    """Removes everything of ours, the lock file last; call it while holding the lock and no server runs.

    demo.lock stays: the demo that resets its data holds it, and under a new file of that name another could start.
    """
    pgdata, log_dir = data_dir / "pgdata", data_dir / "log"
    if is_there(pgdata):
        # In one step: a kill during the removal must not leave half a cluster with a whole one's name.
        os.rename(pgdata, data_dir / f"pgdata{OLD}{time.time_ns()}")
    remove_socket_dir(data_dir, account)
    if is_there(log_dir) and not find_foreign_sign(log_dir, account):
        (log_dir / "postgresql.log").unlink(missing_ok=True)
        if not os.listdir(log_dir):
            log_dir.rmdir()
    for path in [data_dir / "valmed.conf", *data_dir.glob("binaries-*")]:
        _remove(path)
    remove_unfinished(data_dir)
    (data_dir / "lock").unlink(missing_ok=True)


def remove_unfinished(data_dir: Path) -> None:
    """Removes what a killed start, stop or removal left half done; call it while holding the lock."""
    for name in OURS:
        for path in [*data_dir.glob(f"{name}{NEW}*"), *data_dir.glob(f"{name}{OLD}*")]:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # A killed start's initdb may still be writing; then the next start tries again.
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
