"""Contestants that answer over HTTP: an application under gunicorn, and our clients in front of it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

from backend.db.provision import connect
from load.bench.generator import Job, Request, generate
from load.bench.requests import one_by_one
from load.bench.samples import Interval, length_of
from load.bench.stand import Stand

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 60.0, 30.0
RETRIES = "valmed_transaction_retries_total"

# The baseline knows no lots, so its movements have not been taken from any; done for it, outside the measured time.
TAKE_FROM_LOTS = """
UPDATE stock_lots s SET quantity_units = s.quantity_units + m.units, version = s.version + 1
FROM (SELECT ward_id, drug_id, lot_id, sum(units) AS units FROM stock_movements
  WHERE recorded_at >= %s AND reason = 'fulfilment' GROUP BY ward_id, drug_id, lot_id) m
WHERE (s.ward_id, s.drug_id, s.lot_id) = (m.ward_id, m.drug_id, m.lot_id)
"""


class Served:
    """An application behind gunicorn, as the clients see it."""

    guessed_per_second = 6_000.0
    master: int | None

    def __init__(self, name: str, port: int, master: int, request: Request) -> None:
        self.name = name
        self.master = master
        self.port = port
        self._request = request

    def run(self, orders: Sequence[UUID], *, clients: int, seconds: float) -> Interval:
        """Fulfils `orders` in their order."""
        ids = [str(order_id) for order_id in orders]
        return generate(Job(HOST, self.port, clients, length_of(seconds), self._request, ids))


class Valmed(Served):
    """ValMed itself."""

    def run(self, orders: Sequence[UUID], *, clients: int, seconds: float) -> Interval:
        """Fulfils `orders` in their order; `retries` comes from /metrics."""
        before = self._retries()
        interval = super().run(orders, clients=clients, seconds=seconds)
        return Interval(interval.completions, interval.client_cpu_seconds, self._retries() - before)

    def _retries(self) -> int:
        lines = _get(self.port, "/metrics").splitlines()
        return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(RETRIES + "{")))


class Baseline(Served):
    """The design before ValMed."""

    def __init__(self, stand: Stand, port: int, master: int) -> None:
        super().__init__("baseline", port, master, one_by_one("/orders"))
        self._stand = stand

    def run(self, orders: Sequence[UUID], *, clients: int, seconds: float) -> Interval:
        """Fulfils `orders` in their order, then settles the lots."""
        with closing(connect(self._stand.owner_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SET app.organization_id = %s", (str(self._stand.nurse.organization_id),))
            cursor.execute("SELECT clock_timestamp()")
            began = cursor.fetchone()
            interval = super().run(orders, clients=clients, seconds=seconds)
            cursor.execute(TAKE_FROM_LOTS, began)
        return interval


@contextmanager
def serving_valmed(stand: Stand, name: str, request: Request) -> Iterator[Valmed]:
    """ValMed, started as an operator would, and asked with `request`."""
    settings = {"VALMED_DATABASE_URL": stand.config.database_url, "VALMED_WORKERS": str(stand.config.workers)}
    with _gunicorn(stand, name, "backend:create_app()", settings, ready="/readyz") as (port, master):
        yield Valmed(name, port, master, request)


@contextmanager
def serving_baseline(stand: Stand) -> Iterator[Baseline]:
    """The baseline under the same gunicorn."""
    settings = {
        "BASELINE_DATABASE_URL": stand.config.database_url,
        "BASELINE_ORGANIZATION_ID": str(stand.nurse.organization_id),
        "BASELINE_NURSE_ID": str(stand.nurse.user_id),
    }
    with _gunicorn(stand, "baseline", "load.baseline:create_app()", settings, ready="/healthz") as (port, master):
        yield Baseline(stand, port, master)


@contextmanager
def _gunicorn(
    stand: Stand, name: str, application: str, settings: Mapping[str, str], *, ready: str
) -> Iterator[tuple[int, int]]:
    """gunicorn with ValMed's own configuration; its port and process id. Raises RuntimeError when it does not start."""
    port = _free_port()
    log = stand.folder / f"{name}.log"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("VALMED_")}
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "backend/operations/gunicorn.conf.py",
        "-b",
        f"{HOST}:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-w", str(stand.config.workers), application],
            cwd=ROOT,
            env={**kept, "PYTHONPATH": str(ROOT), **settings},
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_ready(process, port, ready, log)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            _get(port, path)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"gunicorn did not start: {log.read_text(errors='replace')[-2000:]}")


def _get(port: int, path: str) -> str:
    """The body at `path`. Raises OSError, for an answer from 400 on as well."""
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        body: bytes = answer.read()
        return body.decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
