"""The one clock: PostgreSQL's. A node compares its own with it and warns, and decides nothing by it.

Decision: every time that orders, decides or expires something is the database's, read in the transaction after its
lanes (`Session.now`). Because a hospital has one database and many nodes, and a node whose clock is wrong would give
an expired lot, or a second dose too early. Cost: a transaction that begins with a prepared statement sends one message
more to learn the time, unless that statement reads the clock itself, as those of a fulfilment do.
"""

import time
from datetime import datetime

from backend.db.prepared import Prepared
from backend.observability import CLOCK_OFFSET, log

OFFSET_SECONDS_MAX = 1.0
COMPARED_EVERY_SECONDS = 5.0

CLOCK = Prepared("clock", "SELECT clock_timestamp()")


class ClockWatch:
    """How far the clock of this node is from the database's, as the last comparison found it."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0
        self._compared_at = -COMPARED_EVERY_SECONDS

    @property
    def is_off(self) -> bool:
        """Whether the two clocks differ by more than OFFSET_SECONDS_MAX."""
        return abs(self.offset_seconds) > OFFSET_SECONDS_MAX

    def compare(self, asked_at: float, told: datetime) -> None:
        """Compare the clocks, at most every few seconds.

        `told` is the database's time, which this node asked for at `asked_at` (seconds since 1970 by its own clock)
        and has just received. The database read its clock somewhere in between; only what lies outside of that
        interval is certain, and counts.
        """
        now = time.monotonic()
        if now - self._compared_at < COMPARED_EVERY_SECONDS:
            return
        self._compared_at = now
        truth = told.timestamp()
        self.offset_seconds = max(0.0, asked_at - truth) + min(0.0, time.time() - truth)  # noqa: TID251 - the clock that is compared
        CLOCK_OFFSET.set(self.offset_seconds)
        if self.is_off:
            log.warning("clock_off", offset_seconds=round(self.offset_seconds, 3))
