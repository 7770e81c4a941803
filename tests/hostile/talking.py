"""Bytes to a server and bytes back, without an HTTP library that would put them right."""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 20.0
CLOSED = 0  # the status of no answer


@dataclass(frozen=True)
class Server:
    """Where it listens, and its log."""

    host: str
    port: int
    log: Path

    def connect(self, seconds: float = PATIENCE) -> socket.socket:
        """A connection on which nothing has been said."""
        return socket.create_connection((self.host, self.port), timeout=seconds)

    def tell(self, pieces: Iterable[bytes], *, pause: float = 0.0) -> bytes:
        """What it answers to `pieces`, sent one after the other; what it has answered so far where it hangs up."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(pause)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return hear(connection)


def hear(connection: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def status_of(answer: bytes) -> int:
    """The status of the first answer that is no 1xx, CLOSED for none."""
    while answer.startswith(b"HTTP/1.1 1"):
        answer = answer.partition(b"\r\n\r\n")[2]
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else CLOSED


def request(
    method: str = "GET",
    target: str | bytes = "/api/v1/me",
    *headers: str | bytes,
    body: bytes = b"",
    token: str = "",
    length: bool = True,
    kind: str = "application/json",
    version: str = "HTTP/1.1",
) -> bytes:
    """A request with these headers and what else it needs."""
    lines = [f"{method} ".encode() + _bytes(target) + f" {version}".encode(), b"Host: valmed.example"]
    lines += [f"Authorization: Bearer {token}".encode()] if token else []
    lines += [f"Content-Type: {kind}".encode()] if kind and body else []
    lines += [f"Content-Length: {len(body)}".encode()] if length and (body or method != "GET") else []
    return b"\r\n".join([*lines, *map(_bytes, headers), b"", b""]) + body


def chunked(*chunks: bytes) -> bytes:
    """A body in chunks, with its end."""
    return b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
