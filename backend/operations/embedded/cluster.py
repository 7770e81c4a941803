"""The cluster on disk: `pgdata/`, and `valmed.conf` beside it, where only we write."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .account import Account
from .binaries import MAJOR
from .errors import EmbeddedError
from .folders import NEW, find_foreign_sign, make_unfinished_folder, sync_folder

PORT = 5432  # of the socket's name only: the folder is private, so it never collides
INCLUDE = "include '../valmed.conf'"
INITDB_SECONDS = 300.0
INITDB_OPTIONS = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)
DEFAULTS = {
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and their values stay out of the log: they name patients.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def create_cluster(pgdata: Path, bin_dir: Path, account: Account) -> None:
    """Creates the cluster `pgdata` of superuser postgres; it appears complete or not at all.

    Authentication is trust, because the socket's folder admits nobody but the server's own user and root;
    connections by TCP are refused even if somebody should switch listening on. Raises EmbeddedError with
    initdb's message.
    """
    new = make_unfinished_folder(pgdata, account)
    try:
        done = account.run([bin_dir / "initdb", "-D", new, *INITDB_OPTIONS], seconds=INITDB_SECONDS)
        if done.returncode:
            raise EmbeddedError(f"initdb failed:\n{done.stdout.strip()}")
        # Root writes into a folder of another user here, so not through a link.
        descriptor = os.open(new / "postgresql.conf", os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"\n{INCLUDE}\n")
            file.flush()
            os.fsync(descriptor)
        os.rename(new, pgdata)
        sync_folder(pgdata.parent)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def check_cluster(pgdata: Path, account: Account) -> None:
    """Raises EmbeddedError when `pgdata` is no cluster of ours that `account` can serve with our programs."""
    check_ownership(pgdata, account)
    version = (pgdata / "PG_VERSION").read_text().strip()
    if version != MAJOR:
        raise EmbeddedError(
            f"the cluster in {pgdata} was made by PostgreSQL {version}, ValMed's programs are {MAJOR}: "
            f"move the data with pg_dump of PostgreSQL {version}, or choose another folder"
        )


def check_ownership(pgdata: Path, account: Account) -> None:
    """Raises EmbeddedError when `pgdata`, which exists, was not made by `create_cluster` for `account`."""
    problem = find_foreign_sign(pgdata, account)
    if problem:
        raise EmbeddedError(f"{pgdata} {problem}")
    if not (pgdata / "PG_VERSION").exists():
        raise EmbeddedError(f"{pgdata} is no PostgreSQL cluster; move it away or choose another folder")
    # Every cluster that we made reads our settings, and a cluster that does not would not be private.
    conf = pgdata / "postgresql.conf"
    if not conf.exists() or INCLUDE not in conf.read_text(errors="replace").splitlines():
        raise EmbeddedError(f"the cluster in {pgdata} does not read {INCLUDE}, so ValMed did not make it")


def check_settings(settings: Mapping[str, str]) -> None:
    """Raises EmbeddedError for a setting that no file can hold, or that would open or move the server."""
    for name, value in settings.items():
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name, re.ASCII) or re.search(r"[\0\r\n]", value):
            raise EmbeddedError(f"{name!r} = {value!r} cannot be a setting of PostgreSQL")
        if name.lower() in _fence(Path()):
            raise EmbeddedError(f"the setting {name} belongs to the embedded server: it must stay private")


def write_settings(path: Path, settings: Mapping[str, str], socket_dir: Path) -> None:
    """Writes valmed.conf, for all to read: the defaults, `settings` over them, the fence last."""
    rows = {**DEFAULTS, **settings, **_fence(socket_dir)}
    lines = ["# Written by ValMed at each start: changes here are lost."]
    lines += [_format(name, value) for name, value in rows.items()]
    descriptor, new = tempfile.mkstemp(prefix=path.name + NEW, dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(descriptor)
    os.replace(new, path)


def _fence(socket_dir: Path) -> dict[str, str]:
    """The settings that keep everybody else out; nobody may override them."""
    return {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
    }


def _format(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"{name} = '{escaped}'"
