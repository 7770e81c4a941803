"""Which user of the operating system the server runs as, and what that user can reach.

PostgreSQL refuses to run as root. Decision: root drops to `postgres`, else `nobody`, in the child process
only, and no existing folder ever gets another mode or owner for it. Because opening somebody's home to the
world for a demo is worse than an error that names a better folder. Cost: the data must lie where that user
can go.
"""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import EmbeddedError

ROOT_DATA_DIR = Path("/var/lib/valmed")
# The server must not carry our environment: its user could read our secrets in /proc, and PGDATA and its
# like or a locale that the machine lacks would change what it does. C makes initdb and messages the same
# everywhere.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True)
class Account:
    """The user that owns the cluster and runs the server; `is_current`: it is the user of this process."""

    name: str
    uid: int
    gid: int
    is_current: bool

    def run(self, command: Sequence[str | Path], *, seconds: float) -> subprocess.CompletedProcess[str]:
        """Runs `command` to its end as this user, in a session of its own; its exit code may be anything.

        It gets nothing of ours but a pipe for its output: stdout and stderr are one text. Raises
        EmbeddedError when it cannot be executed or does not end within `seconds`.
        """
        try:
            return subprocess.run(
                [str(part) for part in command],
                user=None if self.is_current else self.uid,
                group=None if self.is_current else self.gid,
                extra_groups=None if self.is_current else [],
                cwd="/",  # ours may be a folder that this user cannot enter
                env=_make_environment(os.environ),
                start_new_session=True,  # Ctrl-C in our terminal is not meant for it
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EmbeddedError(f"{command[0]} did not end within {seconds:.0f} s") from None
        except OSError as error:
            raise EmbeddedError(f"cannot run {command[0]} as user {self.name}: {error}") from error

    def find_barrier(self, path: Path) -> Path | None:
        """The first folder on the way into `path`, itself included, that this user cannot pass, or None.

        Asked of the system as that user, so that access lists count as well as modes.
        """
        if self.is_current:
            return None
        script = 'for folder; do [ -x "$folder" ] || { printf %s "$folder"; exit 1; }; done'
        way = [*reversed(path.parents), path]
        answer = self.run(["/bin/sh", "-c", script, "sh", *way], seconds=30)
        return Path(answer.stdout) if answer.returncode else None


def choose_account() -> Account:
    """The account of the server: the current user, or as root `postgres`, else `nobody`.

    Raises EmbeddedError when root finds neither.
    """
    uid = os.geteuid()
    if uid != 0:
        return Account(_name_user(uid), uid, os.getegid(), is_current=True)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, is_current=False)
    raise EmbeddedError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def default_data_dir() -> Path:
    """Where the data goes when nobody says: as root /var/lib/valmed, else the user's XDG data folder."""
    if os.geteuid() == 0:
        return ROOT_DATA_DIR
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification wants a relative path ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "valmed"


def _make_environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {"LC_ALL": "C", **{name: ours[name] for name in KEPT_VARIABLES if name in ours}}


def _name_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
