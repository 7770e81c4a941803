"""Starts, finds, stops and removes the one server of a data directory."""

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from .account import choose_account
from .binaries import provide_binaries
from .cluster import PORT, check_cluster, check_ownership, check_settings, create_cluster, write_settings
from .errors import EmbeddedError, explain_os_errors
from .folders import is_there, make_data_dir, own_folder
from .lock import hold_lock, keep_lock
from .processes import POLL_SECONDS, find_processes, kill_processes, read_pid_file, wait_until_gone
from .removal import remove_files, remove_unfinished
from .socket_dir import SOCKET_NAME, find_socket_dir, remove_socket, settle_socket_dir

START_SECONDS = 120.0  # recovery after a crash replays the log first
STOP_SECONDS = 120.0
DESTROY_SECONDS = 15.0  # PostgreSQL's own immediate shutdown takes at most five
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
LOG_LINES_IN_ERRORS = 15


class Server:
    """The PostgreSQL whose cluster, log, socket and lock are in one data directory.

    Cheap to make, and any number of them, in any number of processes, stand for the same server; methods
    that change something exclude each other through the lock file. All of them raise EmbeddedError and
    nothing else.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Touches nothing yet.

        `settings` of postgresql.conf, as text in PostgreSQL's own units, take effect when this object starts
        the server, not when it finds it running. `report` is told in a line what takes time.
        """
        with explain_os_errors(f"use {data_dir}"):
            # Links resolved, so that every way to write the path means the same server.
            self.data_dir = data_dir.expanduser().resolve()
        self._settings = dict(settings or {})
        self._report = report
        self._pgdata = self.data_dir / "pgdata"
        self._log = self.data_dir / "log" / "postgresql.log"
        self._lock = self.data_dir / "lock"
        self._bin_dir: Path | None = None
        check_settings(self._settings)
        _check_path(self.data_dir)
        self._account = choose_account()

    @property
    def bin_dir(self) -> Path:
        """The folder of psql, pgbench and pg_dump as the server's user can run them; may copy them there."""
        if self._bin_dir is None:
            with explain_os_errors(f"provide the PostgreSQL programs in {self.data_dir}"):
                make_data_dir(self.data_dir, self._account)
                with hold_lock(self._lock):
                    self._bin_dir = provide_binaries(self.data_dir, self._account, self._report)
        return self._bin_dir

    @property
    def socket_dir(self) -> Path:
        """The folder of the unix socket."""
        with explain_os_errors(f"find the socket of {self.data_dir}"):
            return find_socket_dir(self.data_dir)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The SQLAlchemy URL of a database, whether the server runs or not."""
        who, what = quote(user, safe=""), quote(database, safe="")
        return f"postgresql+psycopg2://{who}@/{what}?host={quote(str(self.socket_dir))}&port={PORT}"

    def postmaster_pid(self) -> int | None:
        """The server's process id, or None when it does not run; it may still be starting or stopping."""
        with explain_os_errors(f"look for the server in {self.data_dir}"):
            claim = read_pid_file(self._pgdata)
            alive = claim is not None and claim.pid in find_processes(self._pgdata, self._account)
            return claim.pid if claim is not None and alive else None

    def is_running(self) -> bool:
        """Whether the server's process lives."""
        return self.postmaster_pid() is not None

    def occupy(self) -> None:
        """Makes the data directory this process's own until it ends, by whatever program it becomes.

        Keeps out nobody but those who ask for the same. Raises EmbeddedError when another process has done so.
        """
        with explain_os_errors(f"occupy {self.data_dir}"):
            make_data_dir(self.data_dir, self._account)
            if not keep_lock(self.data_dir / "demo.lock"):
                raise EmbeddedError(
                    f"`valmed demo` runs already in {self.data_dir}: use that one, stop it with Ctrl-C in its "
                    "terminal, or choose another folder with --data-dir"
                )

    def start(self) -> None:
        """Returns when the server accepts connections.

        Creates the cluster at first, joins a server that runs, recovers one that was killed. Raises
        EmbeddedError after START_SECONDS, or at once when it cannot start, with the end of the server's log.
        """
        with explain_os_errors(f"start the server in {self.data_dir}"):
            make_data_dir(self.data_dir, self._account)
            with hold_lock(self._lock):
                bin_dir = self._bin_dir = provide_binaries(self.data_dir, self._account, self._report)
                _check_path(bin_dir)
                if is_there(self._pgdata):
                    check_cluster(self._pgdata, self._account)
                own_folder(self._log.parent, self._account)
                socket_dir = settle_socket_dir(self.data_dir, self._account)
                if self._join(bin_dir, socket_dir, time.monotonic() + START_SECONDS):
                    return
                self._clear_leftovers(socket_dir)
                if not is_there(self._pgdata):
                    self._report(f"creating the database cluster in {self._pgdata}")
                    create_cluster(self._pgdata, bin_dir, self._account)
                write_settings(self.data_dir / "valmed.conf", self._settings, socket_dir)
                self._launch(bin_dir, socket_dir)

    def stop(self, mode: str = "fast") -> None:
        """Returns when the server has stopped; nothing happens when it does not run.

        "smart" waits until clients have left, "fast" ends their sessions, "immediate" is a crash on purpose.
        Raises EmbeddedError when it takes longer than STOP_SECONDS; the server then goes on stopping.
        """
        if mode not in STOP_SIGNALS:
            raise EmbeddedError(f"{mode!r} is no way to stop; known are {', '.join(STOP_SIGNALS)}")
        with explain_os_errors(f"stop the server in {self.data_dir}"):
            if not is_there(self._pgdata):
                return
            with hold_lock(self._lock):
                if not self._signal_stop(mode, STOP_SECONDS):
                    raise EmbeddedError(f"the server does not stop{self._quote_log()}")
                kill_processes(self._pgdata, self._account)

    def destroy(self) -> None:
        """Stops the server by force and removes everything of ours from the data directory; that stays."""
        with explain_os_errors(f"remove the server in {self.data_dir}"):
            if not is_there(self.data_dir):
                return
            with hold_lock(self._lock):
                if is_there(self._pgdata):
                    check_ownership(self._pgdata, self._account)
                    self._signal_stop("immediate", DESTROY_SECONDS)
                    kill_processes(self._pgdata, self._account)
                remove_files(self.data_dir, self._account)

    def _join(self, bin_dir: Path, socket_dir: Path, deadline: float) -> bool:
        """Waits until a server that runs accepts connections. False when there is none, or none any more.

        One that has lost its socket can never be reached again and is stopped.
        """
        while (pid := self.postmaster_pid()) is not None:
            claim = read_pid_file(self._pgdata)
            if claim is not None and claim.status == "ready":
                if not is_there(socket_dir / SOCKET_NAME):
                    self._report(f"restarting the server, process {pid}, because its socket is gone")
                    if not self._signal_stop("fast", deadline - time.monotonic()):
                        raise EmbeddedError(f"the server without a socket does not stop{self._quote_log()}")
                    return False
                if self._accepts(bin_dir, socket_dir):
                    self._report(f"PostgreSQL is running, process {pid}")
                    return True
            if time.monotonic() > deadline:
                state = claim.status if claim is not None and claim.status else "silent"
                raise EmbeddedError(f"the server, process {pid}, is still {state}{self._quote_log()}")
            time.sleep(POLL_SECONDS)
        return False

    def _accepts(self, bin_dir: Path, socket_dir: Path) -> bool:
        server = ("-h", socket_dir, "-p", str(PORT), "-U", "postgres")
        return self._account.run([bin_dir / "pg_isready", *server, "-t", "10"], seconds=60).returncode == 0

    def _launch(self, bin_dir: Path, socket_dir: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        # pg_ctl gives the server a session of its own and only the log for its output, so it outlives us.
        options = ("-w", "-t", str(int(START_SECONDS)), "-D", self._pgdata, "-l", self._log)
        done = self._account.run([bin_dir / "pg_ctl", "start", *options], seconds=START_SECONDS + 30)
        # Also when pg_ctl failed: a killed start of somebody else may have been faster.
        if not self._join(bin_dir, socket_dir, deadline):
            raise EmbeddedError(f"PostgreSQL did not start: {done.stdout.strip()}{self._quote_log()}")

    def _signal_stop(self, mode: str, seconds: float) -> bool:
        """Asks the server to stop. Whether none runs afterwards; gives up after `seconds`."""
        pid = self.postmaster_pid()
        if pid is None:
            return True
        try:
            os.kill(pid, STOP_SIGNALS[mode])
        except ProcessLookupError:
            return True
        return wait_until_gone(pid, self._pgdata, self._account, seconds=seconds)

    def _clear_leftovers(self, socket_dir: Path) -> None:
        """Removes what a killed server or a killed start of ours left; only while no server runs."""
        if is_there(self._pgdata):
            kill_processes(self._pgdata, self._account)
            (self._pgdata / "postmaster.pid").unlink(missing_ok=True)
        remove_socket(socket_dir)
        remove_unfinished(self.data_dir)

    def _quote_log(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES_IN_ERRORS:]
        except OSError:
            return ""
        return "\n".join([f"\nThe end of {self._log}:", *lines])


def _check_path(path: Path) -> None:
    """Raises EmbeddedError for a path that would not survive pg_ctl, which double-quotes it for a shell."""
    if re.search(r'["$`\\\r\n]', str(path)):
        raise EmbeddedError(f"{path} cannot be used by PostgreSQL because of a quote, $ or \\ in its name")
