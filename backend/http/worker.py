"""A gunicorn worker that takes a request up when all of it is there, so that no slow client holds it.

Decision: gunicorn's sync worker, with the bytes of unfinished requests collected by select() between two requests.
Because it reads by blocking calls: four clients who send a byte now and then would stop four workers, and so would four
who do not hang up after their answer. Cost: this module knows gunicorn's loop, and bodies wait in memory, BYTES_MAX of
them a worker.

A request that has not arrived after VALMED_REQUEST_SECONDS_MAX is cut off with 408. Its size is read here only to know
when it is whole: what HTTP may be is gunicorn's to judge.
"""

import errno
import re
import socket
import time
from typing import Any

from gunicorn.workers.sync import SyncWorker

from backend.config import Config

ARRIVALS_MAX = 200  # connections of one worker that are not answered yet: select() takes a thousand
BYTES_MAX = 67_108_864  # of all of them; then the oldest is cut off
HEAD_BYTES_MAX = 524_288  # more than gunicorn takes of headers, of a chunk's first line or of trailers
READ_BYTES = 262_144
LINGER_SECONDS = 2.0
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK = re.compile(rb"0*([0-9a-f]{1,15})[ \t]*[;\r]", re.IGNORECASE)


class Arrival:
    """A connection, and what has come of its request."""

    def __init__(self, listener: socket.socket, seconds: float, body_max: int) -> None:
        self.listener = listener
        self.client, self.address = listener.accept()
        self.client.setblocking(False)
        self.data = bytearray()
        self.ends = time.monotonic() + seconds
        self._body_max = body_max
        self._chunked = False
        self._needed: int | None = None  # bytes of head and body, as far as known

    def is_there(self) -> bool:
        """Reads what has come; whether the request is whole, or will never be: a client may be gone when told to go on,
        and gunicorn ends the worker for an error of a socket that comes up to it from here."""
        try:
            part = self.client.recv(READ_BYTES)
            self.data += part
            return not part or self._is_whole()
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _is_whole(self) -> bool:
        if self._needed is None:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return len(self.data) > HEAD_BYTES_MAX
            self._needed = self._read_head(end)
        if self._chunked:
            return self._has_last_chunk(self._needed)
        return len(self.data) >= self._needed

    def _read_head(self, end: int) -> int:
        """How many bytes must come at least. Tells who waits for it to go on."""
        head = bytes(self.data[: end + 2])
        expects = _EXPECTS.search(head)
        if expects:
            del self.data[expects.start() : expects.end()]
            end -= expects.end() - expects.start()
            self.client.send(GO_ON)
        self._chunked = _CHUNKED.search(head) is not None
        length = None if self._chunked else _LENGTH.search(head)
        body = int(length[1]) if length else 0
        return end + 4 + (body if body <= self._body_max else 0)

    def _has_last_chunk(self, start: int) -> bool:
        """Goes on from the chunk that begins at `start`. What is no chunk is gunicorn's to refuse."""
        while start < len(self.data) <= 2 * self._body_max:
            line = self.data.find(b"\r\n", start)
            if line < 0:
                return len(self.data) - start > HEAD_BYTES_MAX
            size = _CHUNK.match(self.data, start)
            if size is None:
                return True
            if int(size[1], 16) == 0:  # trailers may follow
                return self.data.find(b"\r\n\r\n", line) >= 0 or len(self.data) - line > HEAD_BYTES_MAX
            start = self._needed = line + 2 + int(size[1], 16) + 2
        return len(self.data) > 2 * self._body_max


class Received:
    """A socket whose request has been read; each piece of the answer is written within `seconds`."""

    def __init__(self, worker: "Worker", arrival: Arrival, seconds: float) -> None:
        self._worker = worker
        self._client = arrival.client
        self._data = arrival.data
        self._client.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        """Of what has been read; what is missing then will not come, and nobody waits for it."""
        part = bytes(self._data[:size])
        del self._data[:size]
        return part

    def sendall(self, data: bytes) -> None:
        """To a client who does not read it, as if they had gone."""
        try:
            self._client.sendall(data)
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from None

    def shutdown(self, how: int) -> None:
        """Ends the answer. What may still come is the worker's to drain, not that of the call in gunicorn."""
        self._client.shutdown(how)
        raise OSError(errno.ENOTCONN, "the worker lingers")

    def close(self) -> None:
        """Not at once: the client would lose the end of the answer where it has sent more than was read."""
        self._worker.linger(self._client)

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
        self._leaving: dict[socket.socket, float] = {}
        super().init_process()

    def run_for_one(self, timeout: float) -> None:
        """Until it is told to stop; then those are answered who are nearly there."""
        self.run_for_multiple(timeout)
        ends = time.monotonic() + 1
        while self._arrivals and time.monotonic() < ends:
            for ready in self.wait(0.1) or []:
                if ready in self._arrivals:
                    self.accept(ready)

    def accept(self, ready: socket.socket) -> None:
        """Goes on with `ready`: a listener, a request that is coming, or a client who has been answered."""
        if ready in self._leaving:
            self._drain(ready)
            return
        if ready not in self._arrivals and ready not in self.sockets:
            return  # cut off a moment ago
        arrival = self._arrivals.get(ready) or Arrival(ready, self._seconds, self._body_max)
        if arrival.is_there():
            self._arrivals.pop(arrival.client, None)
            self.handle(arrival.listener, Received(self, arrival, self._seconds), arrival.address)
        elif arrival.client is not ready:
            self._arrivals[arrival.client] = arrival
        while len(self._arrivals) > ARRIVALS_MAX or self._bytes() > BYTES_MAX:
            self._cut(next(iter(self._arrivals)))
        self._listen()

    def wait(self, timeout: float) -> Any:
        """Who is ready, of all of them; after `timeout` seconds nobody. Those whose time is up are cut off."""
        now = time.monotonic()
        for client in [client for client, arrival in self._arrivals.items() if arrival.ends <= now]:
            self._cut(client)
        for client in [client for client, ends in self._leaving.items() if ends <= now]:
            self._forget(client)
        ends = [*(arrival.ends for arrival in self._arrivals.values()), *self._leaving.values()]
        return super().wait(min([timeout, *(max(0.0, end - now) for end in ends)]))

    def _bytes(self) -> int:
        return sum(len(arrival.data) for arrival in self._arrivals.values())

    def linger(self, client: socket.socket) -> None:
        """Keeps an answered client until they hang up, for LINGER_SECONDS."""
        client.setblocking(False)
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
            if arrival.data:
                client.send(TOO_SLOW)
        except OSError:
            pass
        client.close()
        self._listen()

    def _listen(self) -> None:
        self.wait_fds = [*self.sockets, self.PIPE[0], *self._arrivals, *self._leaving]
