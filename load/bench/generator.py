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
FULFILLED = '"status":"completed"'  # once for each order that an answer says is fulfilled: the bench's have one dose
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sends: `head`, the ids of `size` orders with `separator` between them, `tail`. A right answer holds
    `mark` once for each of them. A read has something else in the place of the order."""

    head: str
    tail: str
    size: int = 1
    separator: str = ""
    mark: str = FULFILLED


@dataclass(frozen=True, slots=True)
class Job:
    """`clients` send `request` to `host`:`port` for `seconds`, each of `orders` once."""

    host: str
    port: int
    clients: int
    seconds: float
    request: Request
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
        request, size = job.request, job.request.size
        chosen = (job.orders[start : start + size] for start in range(0, len(job.orders) - size + 1, size))
        self._requests = iter([(request.head + request.separator.join(ids) + request.tail).encode() for ids in chosen])
        self._mark = request.mark.encode()
        self._poll = select.epoll()
        self._open: dict[int, tuple[socket.socket, int, float, list[bytes]]] = {}
        self._began = 0.0
        self.completions: list[Completion] = []

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
        request = next(self._requests, None)
        if request is None:
            raise RuntimeError("there are no more orders to fulfil")
        asked_at = time.perf_counter()
        connection = socket.socket()
        connection.connect(self._address)
        connection.sendall(request)
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
        fulfilled = answer.count(self._mark) if answer[9:12] == b"200" else 0
        failed = self._job.request.size - fulfilled
        self.completions.append(Completion(client, now - self._began, (now - asked_at) * 1000, fulfilled, failed))
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
    clients = _Clients(Job(**{**job, "request": Request(**job["request"])}))
    gc.collect()
    gc.disable()
    before = resource.getrusage(resource.RUSAGE_SELF)
    clients.run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    json.dump({"cpu_seconds": spent, "completions": clients.completions}, sys.stdout)


if __name__ == "__main__":
    main()
