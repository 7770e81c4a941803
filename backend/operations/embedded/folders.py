"""Making folders for the server without ever touching one that is not ours."""

import os
import stat
import tempfile
from pathlib import Path

from .account import ROOT_DATA_DIR, Account
from .errors import EmbeddedError

NEW = ".new-"  # in the name of everything unfinished; what a kill left of that is removed at the next start


def make_data_dir(path: Path, account: Account) -> None:
    """Creates `path` and the folders above it that are missing; one that exists stays as it is.

    Raises EmbeddedError when `account` cannot go there, before anything is created.
    """
    missing = [folder for folder in (path, *path.parents) if not is_there(folder)]
    existing = missing[-1].parent if missing else path
    barrier = account.find_barrier(existing)
    if barrier is not None:
        raise EmbeddedError(
            f"PostgreSQL does not run as root but as user {account.name}, who cannot enter {barrier}, so the "
            f"data cannot be in {path}. Choose a folder that every user can reach: --data-dir {ROOT_DATA_DIR}"
        )
    if not existing.is_dir():
        raise EmbeddedError(f"{existing} is not a folder, so the data cannot be in {path}")
    for folder in reversed(missing):
        create_folder(folder, mode=0o700 if account.is_current else 0o755)


def is_there(path: Path) -> bool:
    """Whether anything has this name, even a dead link; OSError, unlike os.path.lexists, when hidden."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def own_folder(path: Path, account: Account) -> None:
    """Makes sure `path` is a folder of `account` that nobody else can enter; creates it when it is missing.

    Raises EmbeddedError when something else has that name, or somebody opened it.
    """
    if not is_there(path):
        create_folder(path, mode=0o700, owner=account)
    problem = find_foreign_sign(path, account)
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    if not problem and mode != 0o700:
        problem = f"has mode {mode:04o} but must be private: chmod 0700"
    if problem:
        raise EmbeddedError(f"{path} {problem}")


def create_folder(path: Path, *, mode: int, owner: Account | None = None) -> None:
    """Creates the folder `path` in one step: nobody, and no kill, sees it with another mode or owner.

    No error when somebody else was faster.
    """
    new = make_unfinished_folder(path, owner, mode=mode)
    try:
        os.rename(new, path)
    except OSError:
        new.rmdir()
        if not path.is_dir():
            raise


def make_unfinished_folder(target: Path, owner: Account | None, *, mode: int = 0o700) -> Path:
    """A new empty folder beside `target`, to be renamed to it when it is complete."""
    new = Path(tempfile.mkdtemp(prefix=target.name + NEW, dir=target.parent))
    os.chmod(new, mode)  # before the owner, who could put a link in its place
    if owner is not None and not owner.is_current:
        os.chown(new, owner.uid, owner.gid)
    return new


def find_foreign_sign(path: Path, account: Account) -> str:
    """Why `path`, which exists, is no folder of `account`, to end an error message; "" when it is one."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if status.st_uid != account.uid:
        return f"belongs to user id {status.st_uid}, but the server runs as {account.name} ({account.uid})"
    return ""


def sync_folder(path: Path) -> None:
    """Makes the names in `path` survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
