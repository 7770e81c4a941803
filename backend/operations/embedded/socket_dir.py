"""The private folder of the server's socket: `run/` in the data directory, or a shorter path where needed.

The path of a unix socket has at most 107 bytes. The short folder has a random name in the system's temporary
folder; the file `socket_dir` in the data directory remembers it, so that every process finds the same one.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

from .account import Account
from .cluster import PORT
from .errors import EmbeddedError
from .folders import NEW, create_folder, find_foreign_sign, is_there, own_folder

SOCKET_NAME = f".s.PGSQL.{PORT}"
PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
PREFIX = "valmed-"
PUBLIC_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - what is made in them is private and has a random name


def find_socket_dir(data_dir: Path) -> Path:
    """Where the socket is or will be at the next start. Raises EmbeddedError when that is not decided yet."""
    if _fits(data_dir / "run"):
        return data_dir / "run"
    remembered = _recall(data_dir)
    if remembered is None:
        raise EmbeddedError(f"the server in {data_dir} has never been started, so it has no socket yet")
    return remembered


def settle_socket_dir(data_dir: Path, account: Account) -> Path:
    """The socket's folder, created where it is missing; it belongs to `account` and nobody else can enter it.

    A remembered folder that a reboot removed comes back under its name. If somebody else sits there by now, a
    link or another user's folder, it is left alone for a new one. Raises EmbeddedError when no place is left.
    """
    if _fits(data_dir / "run"):
        own_folder(data_dir / "run", account)
        return data_dir / "run"
    remembered = _recall(data_dir)
    if remembered is not None and remembered.parent.is_dir():
        if not is_there(remembered):
            create_folder(remembered, mode=0o700, owner=account)
        if not find_foreign_sign(remembered, account):
            own_folder(remembered, account)
            return remembered
    return _choose_short(data_dir, account)


def remove_socket_dir(data_dir: Path, account: Account) -> None:
    """Removes the socket's folder, if it is ours, and forgets it. A folder that holds anything else stays."""
    places = [data_dir / "run", _recall(data_dir)]
    for folder in places:
        if folder is None or not is_there(folder) or find_foreign_sign(folder, account):
            continue
        remove_socket(folder)
        if not os.listdir(folder):
            folder.rmdir()
    (data_dir / "socket_dir").unlink(missing_ok=True)


def remove_socket(folder: Path) -> None:
    """Removes the socket and its lock file, which a killed server leaves, from its folder."""
    for name in (SOCKET_NAME, SOCKET_NAME + ".lock"):
        (folder / name).unlink(missing_ok=True)


def _fits(folder: Path) -> bool:
    if len(os.fsencode(folder / SOCKET_NAME)) > PATH_BYTES_MAX:
        return False
    # PostgreSQL takes a comma-separated list of folders: a path with unusual characters might be read as two.
    return re.fullmatch(r"[\w/.+~ -]+", str(folder), re.ASCII) is not None


def _recall(data_dir: Path) -> Path | None:
    try:
        path = Path((data_dir / "socket_dir").read_text())
    except FileNotFoundError:
        return None
    return path if path.is_absolute() and path.name.startswith(PREFIX) else None


def _choose_short(data_dir: Path, account: Account) -> Path:
    for place in (tempfile.gettempdir(), *PUBLIC_FOLDERS):
        base = Path(place).resolve()
        if not base.is_dir() or not _fits(base / f"{PREFIX}12345678") or account.find_barrier(base):
            continue
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        if not account.is_current:
            os.chown(folder, account.uid, account.gid)
        new = data_dir / f"socket_dir{NEW}"
        new.write_text(str(folder))
        os.replace(new, data_dir / "socket_dir")
        return folder
    raise EmbeddedError(f"{data_dir} is too long for a unix socket, and no temporary folder is short enough")
