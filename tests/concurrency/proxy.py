"""A PostgreSQL proxy on a unix socket that breaks the connection around COMMIT.

It copies bytes both ways and looks for the driver's `COMMIT` message. `BEFORE` drops both sides instead of handing
the message on: nothing is committed. `AFTER` hands it on, waits for the server's answer and drops both sides
instead of handing that back: it is committed. To the client the two look the same.
"""

import contextlib
import socket
import threading
from enum import Enum
from pathlib import Path

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Cut(Enum):
    """Where the next connection that commits is broken."""

    NOT = "not"
    BEFORE = "before"
    AFTER = "after"


class Proxy:
    """Listens like a server in `folder`; `cuts` is how many of the next COMMITs are broken, `cut` where."""

    def __init__(self, folder: Path, port: int, upstream: str | tuple[str, int]) -> None:
        self.cut, self.cuts = Cut.NOT, 0
        self._upstream = upstream
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{port}"))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET)
                try:
                    server.connect(self._upstream)
                except OSError:  # the server's queue is full: this client is turned away, the next is not
                    client.close()
                    continue
                link = _Link(self, client, server)
                threading.Thread(target=link.to_server, daemon=True).start()
                threading.Thread(target=link.to_client, daemon=True).start()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._muted, self._answered = False, threading.Event()

    def to_server(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(65_536):
                if COMMIT in data and self._proxy.cuts > 0:
                    self._proxy.cuts -= 1
                    if self._proxy.cut is Cut.AFTER:
                        self._muted = True
                        self._server.sendall(data)
                        self._answered.wait(5)
                    break
                self._server.sendall(data)
        self._drop()

    def to_client(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(65_536):
                if self._muted:
                    self._answered.set()
                    return
                self._client.sendall(data)
        self._drop()

    def _drop(self) -> None:
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
