"""One process at a time creates, starts or stops a server, and one demo at a time works with it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import EmbeddedError

WAIT_SECONDS = 300.0  # longer than the longest start of somebody else


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Holds the lock file `path` for its block; the system lets go of it when this process dies.

    Raises EmbeddedError when others hold it for longer than WAIT_SECONDS.
    """
    descriptor = _take(path, time.monotonic() + WAIT_SECONDS)
    try:
        yield
    finally:
        # Said aloud, because a child forked meanwhile has the same lock and would keep it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def keep_lock(path: Path) -> bool:
    """Whether this process got the lock file `path`, which must never be removed; it keeps it until it ends.

    A lock of POSIX, unlike the above: it survives that the process becomes another program, and belongs to it alone,
    so that workers which outlive their killed master do not hold it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows both answers
        os.close(descriptor)
        return False
    os.set_inheritable(descriptor, True)
    return True


def _take(path: Path, deadline: float) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # `destroy` removes the file: a lock on a file that has lost its name excludes nobody.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise EmbeddedError(f"another process starts or stops the server and does not end ({path})")
        time.sleep(0.05)
