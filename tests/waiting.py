"""Waiting for what another process does."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool]) -> None:
    """Half a minute at most."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
