"""A gunicorn worker that takes a request up when all of it is there, so that no slow client holds it.

Decision: gunicorn's sync worker, with select() between two requests, which collects the bytes of unfinished requests
and sends those of answers that are not read yet. Because it reads and writes by blocking calls: four clients who send a
byte now and then would stop four workers, and so would four who do not read their answer, or do not hang up after it.
Cost: this module knows gunicorn's loop, and bodies and answers wait in memory, BYTES_MAX of each a worker.

A request that has not arrived after VALMED_REQUEST_SECONDS_MAX is cut off with 408. Its size is read here only to know
when it is whole: what HTTP may be is gunicorn's to judge. An answer that the kernel does not take waits in an Outbox.
"""

import errno
import os
import re
import select
import socket
import time
from typing import IO, Any

from gunicorn.http.body import CHUNK_EXT_RE
from gunicorn.workers.sync import SyncWorker
from structlog.contextvars import get_contextvars

from backend.config import Config
from backend.observability import READERS_DROPPED, bind_contextvars, clear_contextvars, log
from backend.web.server.outbox import Outbox

ARRIVALS_MAX = 200  # connections of one worker that are not answered yet: select() takes a thousand
OUTBOXES_MAX = 200  # connections of one worker whose answer is not read yet
BYTES_MAX = 67_108_864  # of all of the one kind, and again of the other; then the oldest or slowest is cut off
ENDING_SECONDS = 5.0  # for answers that are not read yet when the worker ends; gunicorn kills it after graceful_timeout
HEAD_BYTES_MAX = 524_288  # more than gunicorn takes of headers or of trailers
CHUNK_LINE_BYTES_MAX = 20_000  # more than gunicorn takes of a chunk's first line
READ_BYTES = 262_144
LINGER_SECONDS = 2.0
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK = re.compile(rb"0*([0-9A-Fa-f]{1,15})" + CHUNK_EXT_RE.pattern + rb"\r\n")


class Arrival:
    """A connection, and what has come of its request."""

    def __init__(self, listener: socket.socket, seconds: float, body_max: int) -> None:
        self.listener = listener
        self.client, self.address = listener.accept()
        self.client.setblocking(False)
        self._data = bytearray()
        self.ends = time.monotonic() + seconds
        self._body_max = body_max
        self._chunked = False
        self._needed: int | None = None  # bytes of head and body, as far as known; of the head alone before chunks
        self._merged = bytearray()  # what the whole chunks at the beginning of the body hold

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return len(self._data) + len(self._merged)

    def is_there(self) -> bool:
        """Read what has come and tell whether the request is whole, or will never be.

        A client may be gone when told to go on, and gunicorn ends the worker for an error of a socket that comes up to
        it from here.
        """
        try:
            part = self.client.recv(READ_BYTES)
            searched = max(0, len(self._data) - 3)
            self._data += part
            return not part or self._is_whole(searched)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def take(self) -> bytearray:
        """Return all that has come, with the chunks that are whole as one: gunicorn takes 10 microseconds for each."""
        if self._merged and self._needed is not None:
            merged, self._merged = bytes(self._merged), bytearray()
            self._data[self._needed : self._needed] = b"%x\r\n%b\r\n" % (len(merged), merged)
        return self._data

    def _is_whole(self, searched: int) -> bool:
        if self._needed is None:
            end = self._data.find(b"\r\n\r\n", searched)
            if end < 0:
                return len(self._data) > HEAD_BYTES_MAX
            self._needed = self._read_head(end)
        return self._has_last_chunk(self._needed) if self._chunked else len(self._data) >= self._needed

    def _read_head(self, end: int) -> int:
        """How many bytes must come at least. Tells who waits for it to go on."""
        head = bytes(self._data[: end + 2])
        expects = _EXPECTS.search(head)
        if expects:
            del self._data[expects.start() : expects.end()]
            end -= expects.end() - expects.start()
            self.client.send(GO_ON)
        self._chunked = _CHUNKED.search(head) is not None
        length = None if self._chunked else _LENGTH.search(head)
        body = int(length[1]) if length else 0
        return end + 4 + (body if body <= self._body_max else 0)

    def _has_last_chunk(self, body: int) -> bool:
        """Tell whether the body, which begins at `body`, is whole, too large, or no chunks: gunicorn refuses those."""
        self._merge_chunks(body)
        data = self._data
        if len(self._merged) > self._body_max or len(data) > 2 * self._body_max:
            return True
        chunk = _CHUNK.match(data, body, body + CHUNK_LINE_BYTES_MAX)
        if chunk is None:
            return data.find(b"\r\n", body) >= 0 or len(data) - body > CHUNK_LINE_BYTES_MAX
        size = int(chunk[1], 16)
        if size:
            return len(data) >= chunk.end() + size + 2
        return data.find(b"\r\n\r\n", chunk.end() - 2) >= 0 or len(data) - body > HEAD_BYTES_MAX  # trailers may follow

    def _merge_chunks(self, body: int) -> None:
        """Move what the whole chunks hold from `body` on, the last one excepted, to `_merged`."""
        data, at = self._data, body
        while chunk := _CHUNK.match(data, at, at + CHUNK_LINE_BYTES_MAX):
            size = int(chunk[1], 16)
            end = chunk.end() + size
            if not size or data[end : end + 2] != b"\r\n":
                break
            self._merged += data[chunk.end() : end]
            at = end + 2
        del data[body:at]


class Received:
    """A socket whose request has been read, and whose answer is written without waiting for the client."""

    def __init__(self, worker: "Worker", arrival: Arrival, seconds: float) -> None:
        self._worker = worker
        self._client = arrival.client
        self._data = arrival.take()
        self._outbox = Outbox(arrival.client, seconds)
        self._is_closed = False

    def recv(self, size: int) -> bytes:
        """Of what has been read; what is missing then will not come, and nobody waits for it."""
        part = bytes(self._data[:size])
        del self._data[:size]
        return part

    def sendall(self, data: bytes) -> None:
        """Write to the client, without waiting. Raises OSError when the client has gone, or reads far too little."""
        self._outbox.write(data)

    def sendfile(self, file: IO[bytes], offset: int, count: int) -> None:
        """Write `count` bytes of `file` from `offset`. Raises OSError as `sendall` does."""
        file.seek(offset)
        self._outbox.write(file.read(count))

    def shutdown(self, how: int) -> None:
        """Do nothing: the end of the answer may still wait. Raises OSError, so that gunicorn waits for nobody."""
        raise OSError(errno.ENOTCONN, "the worker ends the answer")

    def close(self) -> None:
        """Leave the client to the worker's loop. gunicorn closes twice where the application failed in the middle."""
        if not self._is_closed:
            self._is_closed = True
            self._worker.end_answer(self._outbox)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Worker(SyncWorker):  # type: ignore[misc]
    """Answers one request after the other, each when it is there as a whole."""

    def init_process(self) -> None:
        """Begins to work."""
        config = Config.from_env()
        self._seconds = config.request_seconds_max
        self._body_max = max(config.body_bytes_max, config.claims_bytes_max)
        self._arrivals: dict[socket.socket, Arrival] = {}
        self._outboxes: dict[socket.socket, Outbox] = {}
        self._leaving: dict[socket.socket, float] = {}
        super().init_process()

    def run(self) -> None:
        """Answer until told to stop. Then finish the requests and answers that are nearly complete."""
        super().run()
        self.sockets: list[socket.socket] = []
        self._listen()
        began = time.monotonic()
        while self._is_wanted(time.monotonic() - began):
            for ready in self.wait(0.1) or []:
                self.accept(ready)

    def _is_wanted(self, seconds: float) -> bool:
        """Tell whether somebody still waits for the worker `seconds` after it was told to stop."""
        return bool(self._arrivals and seconds < 1) or bool(self._outboxes and seconds < ENDING_SECONDS)

    def run_for_one(self, timeout: float) -> None:
        """Select, with one listener too: gunicorn's loop for one would not look at the clients."""
        self.run_for_multiple(timeout)

    def accept(self, ready: socket.socket) -> None:
        """Go on with `ready`: a listener, a request that is coming, an answer that waits, or an answered client."""
        if ready in self._outboxes:
            self._send_on(self._outboxes[ready])
            return
        if ready in self._leaving:
            self._drain(ready)
            return
        if ready not in self._arrivals and ready not in self.sockets:
            return  # cut off a moment ago
        arrival = self._arrivals.get(ready) or Arrival(ready, self._seconds, self._body_max)
        if arrival.is_there():
            self._arrivals.pop(arrival.client, None)
            clear_contextvars()
            self.handle(arrival.listener, Received(self, arrival, self._seconds), arrival.address)
        elif arrival.client is not ready:
            self._arrivals[arrival.client] = arrival
        while len(self._arrivals) > ARRIVALS_MAX or self._bytes() > BYTES_MAX:
            self._cut(next(iter(self._arrivals)))
        self._listen()

    def wait(self, timeout: float) -> list[Any]:
        """Wait for `timeout` seconds at most, and return who is ready. Cut off those whose time is up."""
        self.notify()
        now = time.monotonic()
        for client in [client for client, arrival in self._arrivals.items() if arrival.ends <= now]:
            self._cut(client)
        for outbox in [outbox for outbox in self._outboxes.values() if outbox.is_late(now)]:
            self._drop(outbox, "slow")
        for client in [client for client, ends in self._leaving.items() if ends <= now]:
            self._forget(client)
        ends = [*(arrival.ends for arrival in self._arrivals.values()), *self._leaving.values()]
        ends += [outbox.ends for outbox in self._outboxes.values()]
        timeout = min([timeout, *(max(0.0, end - now) for end in ends)])
        readable, writable, _ = select.select(self.wait_fds, self._outboxes, [], timeout)
        if self.PIPE[0] in readable:
            os.read(self.PIPE[0], 1)
        return [*writable, *readable]  # a client that gets more only after a long request would look late

    def end_answer(self, outbox: Outbox) -> None:
        """Let go of a client whose answer is written: at once, or when it has read enough of it."""
        if outbox.is_overfull:
            self._drop(outbox, "answer_too_large")
        elif not outbox:
            self._linger(outbox.client)
        else:
            outbox.begin_to_wait()
            outbox.context = get_contextvars()
            self._outboxes[outbox.client] = outbox
            self._make_room()

    def _send_on(self, outbox: Outbox) -> None:
        try:
            outbox.flush()
        except OSError:  # the client has gone
            outbox.reset()
            del self._outboxes[outbox.client]
            return
        if not outbox:
            del self._outboxes[outbox.client]
            self._linger(outbox.client)
            self._listen()

    def _make_room(self) -> None:
        """Drop the slowest readers, of those the one that has waited longest, until the others fit."""
        while len(self._outboxes) > OUTBOXES_MAX or sum(map(len, self._outboxes.values())) > BYTES_MAX:
            now = time.monotonic()
            self._drop(min(self._outboxes.values(), key=lambda outbox: outbox.speed(now)), "too_many")

    def _drop(self, outbox: Outbox, reason: str) -> None:
        self._outboxes.pop(outbox.client, None)
        READERS_DROPPED.labels(reason).inc()
        clear_contextvars()
        bind_contextvars(**outbox.context)
        log.warning("reader_dropped", reason=reason, bytes_left=len(outbox), seconds=outbox.waited())
        clear_contextvars()
        outbox.reset()

    def _bytes(self) -> int:
        return sum(arrival.size for arrival in self._arrivals.values())

    def _linger(self, client: socket.socket) -> None:
        """Keep an answered client until it hangs up, for LINGER_SECONDS.

        Closed at once, it would lose the end of the answer where it has sent more than was read.
        """
        try:
            client.shutdown(socket.SHUT_WR)
        except OSError:  # gone
            client.close()
            return
        self._leaving[client] = time.monotonic() + LINGER_SECONDS
        self._drain(client)
        if len(self._leaving) > ARRIVALS_MAX:
            self._forget(next(iter(self._leaving)))

    def _drain(self, client: socket.socket) -> None:
        try:
            if client.recv(READ_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        del self._leaving[client]
        client.close()
        self._listen()

    def _cut(self, client: socket.socket) -> None:
        arrival = self._arrivals.pop(client)
        try:
            if arrival.size:
                client.send(TOO_SLOW)
        except OSError:
            pass
        client.close()
        self._listen()

    def _listen(self) -> None:
        self.wait_fds = [*self.sockets, self.PIPE[0], *self._arrivals, *self._leaving]
