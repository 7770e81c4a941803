"""Clients that read their answer slowly, or not at all, over a network like a ward's.

Loopback's segments of 64 KB let the kernel take a large answer at once, so that nobody would wait for these clients.
With small segments and a small window it takes about as much as it does over a real network.
"""

import errno
import socket
import time
from contextlib import ExitStack, closing

from tests.hostile.talking import PATIENCE, Server, hear

SEGMENT_BYTES, WINDOW_BYTES = 1_000, 4_096
STEP_BYTES = 8_192


def ask(server: Server, stack: ExitStack, said: bytes) -> socket.socket:
    """A connection on which `said` was said and nothing is read yet."""
    connection = stack.enter_context(closing(socket.socket()))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    connection.settimeout(PATIENCE)
    connection.connect((server.host, server.port))
    connection.sendall(said)
    return connection


def read_steadily(connection: socket.socket, bytes_per_second: float) -> bytes:
    """The whole answer, read no faster than `bytes_per_second`. Raises ConnectionResetError when it is cut off."""
    began, answer = time.monotonic(), bytearray()
    while part := connection.recv(STEP_BYTES):
        answer += part
        ahead = len(answer) / bytes_per_second - (time.monotonic() - began)
        time.sleep(max(0.0, ahead))
    return bytes(answer)


def is_cut_off(connection: socket.socket, seconds: float, *, pause: float = 1.0) -> bool:
    """Whether the server resets the connection within `seconds`, while one byte is read every `pause` seconds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET:
            return True
        if not connection.recv(1):  # the whole answer has come
            return False
        time.sleep(pause)
    return False


def body_of(answer: bytes) -> bytes:
    """The body of an answer that has the length its headers promise, or fails."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert len(body) == length
    return body


def quickly(server: Server, said: bytes) -> tuple[bytes, float]:
    """The answer to a client that reads as fast as it can, and the seconds that it took."""
    asked = time.monotonic()
    with server.connect() as connection:
        connection.sendall(said)
        answer = hear(connection)
    return answer, time.monotonic() - asked
