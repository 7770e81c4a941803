"""One HTTP request on a socket of its own, and what came of it: an answer, or no answer.

Decision: bare sockets. Because a client must be able to hang up after sending, and "no answer" must be told from every
answer; an HTTP library hides both behind retries and exceptions of its own.
"""

import contextlib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

READ_BYTES = 65_536
ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as they are written in paths and bodies
NO_CONTENT = b"204"  # has no body, and need not say so


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that arrived whole."""

    status: int
    replayed: bool
    body: bytes


class Exchange:
    """A request that has been sent. `hear` waits for its answer; `hang_up` does not."""

    def __init__(
        self, port: int, method: str, path: str, headers: Mapping[str, str], body: object, *, seconds: float
    ) -> None:
        """Sends it, or notes that it could not be sent: somebody who hears nothing does not know the difference."""
        self._socket = socket.socket()
        self._socket.settimeout(seconds)
        content = b"" if body is None else orjson.dumps(body)
        lines = {**headers, "Host": "localhost", "Content-Length": str(len(content)), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        with contextlib.suppress(OSError):
            self._socket.connect(("127.0.0.1", port))
            self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)

    def hang_up(self) -> None:
        """Leaves without the answer."""
        self._socket.close()

    def hear(self) -> Reply | None:
        """The answer, None where none came in time or it broke off."""
        parts = []
        with self._socket, contextlib.suppress(OSError):
            while part := self._socket.recv(READ_BYTES):
                parts.append(part)
        return _parse(b"".join(parts))


def _parse(answer: bytes) -> Reply | None:
    head, found, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    words = first.split(b" ", 2)
    if not found or len(words) < 2:
        return None
    if len(body) != int(headers.get(b"content-length", b"0" if words[1] == NO_CONTENT else b"-1")):
        return None
    return Reply(int(words[1]), headers.get(b"idempotent-replayed") == b"true", body)
