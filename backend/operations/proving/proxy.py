"""A PostgreSQL proxy on a unix socket that can stall, cut, and lie in wait for a COMMIT.

It copies bytes both ways, reads each connection's backend process id from the start-up messages, looks for the driver's
`COMMIT` message, and notes which requests have arrived (arrivals.py). To the client a COMMIT that was cut before it
went out and one whose answer was withheld look the same: nothing comes back.
"""

import contextlib
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from backend.operations.proving.arrivals import Arrivals

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
BACKEND_KEY = b"K\x00\x00\x00\x0c"  # BackendKeyData of protocol 3.0: the process id follows
IN_COMMIT_SECONDS_MAX = 0.003  # about as long as a COMMIT takes: the strike falls before, into or after the flush
ANSWER_SECONDS_MAX = 5.0


class Moment(StrEnum):
    """When a COMMIT is struck: before the server has it, while it works on it, after it has answered."""

    BEFORE = "before"
    IN = "in"
    AFTER = "after"


@dataclass
class Ambush:
    """What awaits the next COMMIT: `strike` gets the backend's process id; without one the connection is cut."""

    moment: Moment
    strike: Callable[[int], object] | None = None
    struck: threading.Event = field(default_factory=threading.Event)
    over: bool = False  # it strikes no more, even where it waits for its moment


class Proxy:
    """Listens like a server in `folder` and hands on to `upstream`, a unix socket's path or a host and port."""

    def __init__(self, folder: Path, port: int, upstream: str | tuple[str, int]) -> None:
        self._upstream = upstream
        self.arrivals = Arrivals()
        self._ambushes: deque[Ambush] = deque()
        self._flowing = threading.Event()
        self._flowing.set()
        self._links: set[_Link] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{port}"))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stops listening and drops every connection."""
        self._listener.close()
        self._flowing.set()
        for link in list(self._links):
            link.drop()

    def lie_in_wait(self, *ambushes: Ambush) -> None:
        """The next COMMITs are struck, one by each of `ambushes`."""
        self._ambushes.extend(ambushes)

    def call_off(self, *ambushes: Ambush) -> None:
        """No further COMMIT is struck."""
        self._ambushes.clear()
        for ambush in ambushes:
            ambush.over = True

    def stall(self, seconds: float) -> None:
        """Nothing passes for `seconds`, in either direction."""
        self._flowing.clear()
        try:
            time.sleep(seconds)
        finally:
            self._flowing.set()

    def cut(self, share: float, chance: random.Random) -> int:
        """Drops that share of the connections, whatever is under way on them; how many."""
        links = sorted(self._links, key=lambda link: link.backend)
        chosen = chance.sample(links, round(len(links) * share))
        for link in chosen:
            link.drop()
        return len(chosen)

    def next_ambush(self) -> Ambush | None:
        """Takes the ambush that awaits this COMMIT, if one does."""
        with contextlib.suppress(IndexError):
            return self._ambushes.popleft()
        return None

    def wait_until_flowing(self) -> None:
        """Returns at once unless the line is stalled."""
        self._flowing.wait()

    def forget(self, link: "_Link") -> None:
        """The connection is gone."""
        self._links.discard(link)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET)
                try:
                    server.connect(self._upstream)
                except OSError:  # the server is down or its queue is full: this client is turned away, the next is not
                    client.close()
                    server.close()
                    continue
                link = _Link(self, client, server)
                self._links.add(link)
                threading.Thread(target=link.to_server, daemon=True).start()
                threading.Thread(target=link.to_client, daemon=True).start()


class _Link:
    """One connection through the proxy; `backend` is the process that serves it, 0 until it has said so."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._withheld, self._answered = False, threading.Event()
        self.backend = 0

    def to_server(self) -> None:
        """Hands on what the client says until one of them goes."""
        with contextlib.suppress(OSError):
            while data := self._client.recv(65_536):
                self._proxy.arrivals.note(data)
                self._proxy.wait_until_flowing()
                ambush = self._proxy.next_ambush() if COMMIT in data else None
                if ambush is None:
                    self._server.sendall(data)
                else:
                    self._spring(ambush, data)
        self.drop()

    def to_client(self) -> None:
        """Hands on what the server says until one of them goes."""
        with contextlib.suppress(OSError):
            while data := self._server.recv(65_536):
                self._proxy.wait_until_flowing()
                if not self.backend:
                    self._find_backend(data)
                if self._withheld:
                    self._withheld = False
                    self._answered.set()
                    continue
                self._client.sendall(data)
        self.drop()

    def drop(self) -> None:
        """Closes both sides."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
        self._proxy.forget(self)

    def _spring(self, ambush: Ambush, commit: bytes) -> None:
        if ambush.moment is Moment.BEFORE:
            self._strike(ambush)
        self._withheld = ambush.moment is Moment.AFTER
        self._server.sendall(commit)
        if ambush.moment is Moment.IN:
            time.sleep(random.uniform(0, IN_COMMIT_SECONDS_MAX))
            self._strike(ambush)
        elif ambush.moment is Moment.AFTER:
            self._answered.wait(ANSWER_SECONDS_MAX)
            self._strike(ambush)

    def _strike(self, ambush: Ambush) -> None:
        if ambush.over:
            return
        if ambush.strike is not None and self.backend:
            ambush.strike(self.backend)
        else:
            self.drop()
        ambush.struck.set()

    def _find_backend(self, data: bytes) -> None:
        place = data.find(BACKEND_KEY)
        if place >= 0 and len(data) >= place + 9:
            (self.backend,) = struct.unpack_from("!i", data, place + 5)
