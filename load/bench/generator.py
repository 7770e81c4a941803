"""Closed-loop HTTP clients in one process: each sends its next request when its answer has come.

Decision: our own, on bare sockets, instead of wrk. Because sync workers close every connection, so a request is one
connect, send, receive and close, which costs little even in Python; and wrk cannot say what each client got, which is
what starvation means. Cost: 0.10 ms of CPU a request, where wrk takes 0.09, beside 2.3 ms of ValMed's and
PostgreSQL's.

Run as a program of its own: a job as JSON on standard input, the completions as JSON on standard output.
"""

import gc
import json
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from load.bench.samples import Completion, Interval

READ_BYTES = 65_536
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """`clients` ask `host`:`port` for `seconds`; a request is `head`, one of `orders`, `tail`, each order once."""

    host: str
    port: int
    clients: int
    seconds: float
    head: str
    tail: str
    orders: Sequence[str]


def generate(job: Job) -> Interval:
    """Runs `job` in a process of its own. Raises RuntimeError when it fails, or when the orders run out."""
    done = subprocess.run(
        [sys.executable, "-m", "load.bench.generator"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the generator failed: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout)
    return Interval([Completion(*row) for row in answer["completions"]], client_cpu_seconds=answer["cpu_seconds"])


class _Clients:
    """The sockets of one job and what came of them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._address = (job.host, job.port)
        self._head, self._tail = job.head.encode(), job.tail.encode()
        self._orders = iter([order.encode() for order in job.orders])
        self._poll = select.epoll()
        self._open: dict[int, tuple[socket.socket, int, float, list[bytes]]] = {}
        self._began = 0.0
        self.completions: list[tuple[int, float, float, bool]] = []

    def run(self) -> None:
        """Until the time is over and every answer has come. Raises TimeoutError, RuntimeError."""
        self._began = time.perf_counter()
        ends = self._began + self._job.seconds
        for client in range(self._job.clients):
            self._ask(client)
        while self._open:
            ready = self._poll.poll(PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError(f"no answer within {PATIENCE_SECONDS:.0f} s")
            for handle, _ in ready:
                heard = self._hear(handle)
                if heard is not None and time.perf_counter() < ends:
                    self._ask(heard)

    def _ask(self, client: int) -> None:
        order = next(self._orders, None)
        if order is None:
            raise RuntimeError("there are no more orders to fulfil")
        asked_at = time.perf_counter()
        connection = socket.socket()
        connection.connect(self._address)
        connection.sendall(self._head + order + self._tail)
        handle = connection.fileno()
        self._open[handle] = (connection, client, asked_at, [])
        self._poll.register(handle, select.EPOLLIN)

    def _hear(self, handle: int) -> int | None:
        """The client whose answer is complete, or None."""
        connection, client, asked_at, parts = self._open[handle]
        try:
            part = connection.recv(READ_BYTES)
        except ConnectionError:
            part = b""
        parts.append(part)
        answer = b"".join(parts)
        if part and not _is_complete(answer):
            return None
        now = time.perf_counter()
        self.completions.append((client, now - self._began, (now - asked_at) * 1000, answer[9:12] == b"200"))
        connection.close()  # which takes it out of the poll as well
        del self._open[handle]
        return client


def _is_complete(answer: bytes) -> bool:
    """Whether the body is as long as the header says; a header without a length lasts until the connection closes."""
    header, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    _, found, length = header.lower().partition(b"content-length:")
    return bool(found) and len(body) >= int(length.split(b"\r\n", 1)[0])


def main() -> None:
    """Reads the job, runs it, writes what came of it."""
    job: dict[str, Any] = json.load(sys.stdin)
    clients = _Clients(Job(**job))
    gc.collect()
    gc.disable()
    before = resource.getrusage(resource.RUSAGE_SELF)
    clients.run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    json.dump({"cpu_seconds": spent, "completions": clients.completions}, sys.stdout)


if __name__ == "__main__":
    main()
