"""How gunicorn runs ValMed. An option file: bind and workers come from the command line or VALMED_WORKERS.

Decision: sync workers, which take a request up when all of it is there (web/server/worker.py). Because on few cores
threads cost more than they give (each request is one short transaction, and the pool has a connection per worker).
Cost: a connection per request, which the reverse proxy in front hides.
"""

import gc
import math
import os
import shutil
import signal
import tempfile
from pathlib import Path

from backend.config import Config

METRICS = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or tempfile.mkdtemp(prefix="valmed-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = METRICS
OUTLIVES_TERMINAL = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup

worker_class = "backend.web.server.worker.Worker"
http_parser = "python"  # not the C parser where that happens to be installed: it takes a bare LF and folded headers
workers = int(os.environ.get("VALMED_WORKERS", "4"))
preload_app = True
backlog = 1024
# Longer than a drift run or an import may take, which waits for its lane, then for a row, then for its statement, each
# for report_timeout_ms: a worker that is killed in the middle answers nobody, and its run stays "running".
timeout = 30 + 3 * math.ceil(Config.from_env().report_timeout_ms / 1000)
graceful_timeout = 20
limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 8190
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - heartbeats must not wait for a disk
accesslog = None
logger_class = "backend.web.server.server_log.ServerLog"
loglevel = os.environ.get("GUNICORN_LOG_LEVEL", "warning")


def when_ready(_server):
    """What the master has loaded is shared by the workers and looked at no more by their collectors. A demo ends with
    its terminal, and with what signalled while it became this program."""
    gc.collect()
    gc.freeze()
    if os.environ.get("VALMED_EMBEDDED_DATA_DIR") and not OUTLIVES_TERMINAL:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))

    from backend.operations.embedded.ending import take_signals

    take_signals()


def post_fork(_server, _worker):
    """What a worker prints past Python is a line of the log too."""
    from backend.web.server.server_log import take_over_stderr

    take_over_stderr()


def child_exit(_server, worker):
    """Takes the gauges of a worker that has gone out of the sums."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)


def on_exit(_server):
    """The metrics of this run end with it, and so does the private PostgreSQL of a demo."""
    shutil.rmtree(METRICS, ignore_errors=True)
    if data_dir := os.environ.get("VALMED_EMBEDDED_DATA_DIR"):
        from backend.operations.embedded import Server

        Server(Path(data_dir)).stop()
        print("ValMed has stopped; its data stay in", data_dir)  # noqa: T201 - the demo's terminal
