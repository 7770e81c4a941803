"""The part of an answer that the kernel has not taken, kept for a client that reads slowly.

Decision: an answer waits in memory while its client reads at least BYTES_PER_SECOND_MIN. Because a limit of the whole
time would cut off a ward behind a slow line in the middle of a large answer, and a limit of the time between two pieces
would let a client that reads a byte a second stay for ever. Cost: memory, which the worker limits
(web/server/worker.py).
"""

import errno
import fcntl
import socket
import struct
import sys
import termios
import time
from contextlib import suppress

BYTES_PER_SECOND_MIN = 4_096
ANSWER_BYTES_MAX = 33_554_432  # of one answer; no answer of the API comes near
_RESET = struct.pack("ii", 1, 0)  # of SO_LINGER: close() resets the connection


class Outbox:
    """An answer on its way to `client`, a socket that does not block."""

    def __init__(self, client: socket.socket, seconds: float) -> None:
        """Nothing is written yet. In each `seconds` the client must receive a share of what waits for it."""
        self.client = client
        self.is_overfull = False
        self.context: dict[str, object] = {}  # of the log lines about this answer
        self._pending = bytearray()
        self._seconds = seconds
        self._handed = self._handed_before = 0  # bytes that the kernel has taken: by now, and before the client's time
        self._received_at_mark = 0
        self._began = self._ends = 0.0

    def __len__(self) -> int:
        """Return the number of bytes that wait here."""
        return len(self._pending)

    def write(self, data: bytes) -> None:
        """Hand `data` to the kernel and keep what it does not take.

        Raises OSError when the client has gone, BrokenPipeError when too much waits.
        """
        if self._pending:
            self.flush()
        rest = data if self._pending else memoryview(data)[self._hand_over(data) :]
        if len(self._pending) + len(rest) > ANSWER_BYTES_MAX:
            self.is_overfull = True
            raise BrokenPipeError(errno.EPIPE, "the answer is too large to wait for its client")
        self._pending += rest

    def flush(self) -> None:
        """Hand over as much as the kernel takes now. Raises OSError when the client has gone."""
        del self._pending[: self._hand_over(self._pending)]

    def begin_to_wait(self) -> None:
        """Start the client's time."""
        self._handed_before, self._received_at_mark = self._handed, self._received()
        self._began = time.monotonic()
        self._ends = self._began + self._seconds

    @property
    def ends(self) -> float:
        """When `is_late` is to be asked again: seconds of the monotonic clock."""
        return self._ends

    def is_late(self, now: float) -> bool:
        """Tell whether the time is up. A client that reads fast enough is given the same time again.

        So is a client that has received all that was handed over: then it waits for the worker.
        """
        if now < self._ends:
            return False
        queued = _queued(self.client)
        received = self._handed - queued
        if queued and received - self._received_at_mark < self._seconds * BYTES_PER_SECOND_MIN:
            return True
        self._received_at_mark, self._ends = received, now + self._seconds
        return False

    def speed(self, now: float) -> float:
        """Return how fast the client has read since it is waited for, in bytes a second.

        What the kernel had taken by then does not count: it may lie in a buffer of the client's kernel, unread.
        """
        return max(0, self._received() - self._handed_before) / max(1.0, now - self._began)

    def waited(self) -> float:
        """Return for how many seconds the client has been waited for."""
        return round(time.monotonic() - self._began, 3) if self._began else 0.0

    def reset(self) -> None:
        """Close the connection so that the client sees an error, never a short answer that looks complete.

        The kernel throws away what it holds for the client.
        """
        with suppress(OSError):  # some systems refuse it where the client has gone
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.client.close()

    def _received(self) -> int:
        return self._handed - _queued(self.client)

    def _hand_over(self, data: bytes | bytearray) -> int:
        try:
            taken = self.client.send(data)
        except BlockingIOError:
            return 0
        self._handed += taken
        return taken


def _queued(client: socket.socket) -> int:
    """Return how many bytes the kernel holds that `client` has not received; 1 where the system does not tell."""
    try:
        found: bytes = fcntl.ioctl(client, termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 1
    return int.from_bytes(found, sys.byteorder)
