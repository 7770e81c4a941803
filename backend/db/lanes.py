"""Lanes: the wait that comes before the snapshot.

Under REPEATABLE READ a transaction that waits for a row lock gets 40001 when the row's owner commits, since its
snapshot is older than the row. LOCK TABLE takes no snapshot. So a writer first locks the lanes of the shelves it will
change: empty tables `lanes.lane_000 ... lane_255`, in ascending order, before its first SELECT.

Decision: 256 lanes, fixed by migration 0001. Because 32 clients on different shelves then meet by accident in fewer
than one lock of eight, and a hot shelf is served first come first served. Cost: two shelves that share a lane wait for
each other. A writer that forgets its lane is still held by the row locks and the retry. Reports, which take seconds and
not milliseconds, have 16 lanes of their own, from migration 0044.
"""

from collections.abc import Iterable
from uuid import UUID
from zlib import crc32

LANES = 256
REPORT_LANES = 16  # after those of the shelves: a ward never waits for a report, one report of a hospital for another


def lane_of(*key: UUID) -> int:
    """The lane of whatever `key` names: for a shelf (organization, ward, drug)."""
    return crc32(b"".join(part.bytes for part in key)) % LANES


def report_lane_of(organization_id: UUID) -> int:
    """The lane of a hospital's reports."""
    return LANES + crc32(organization_id.bytes) % REPORT_LANES


def lock_lanes(lanes: Iterable[int]) -> str:
    """The LOCK TABLE statement for `lanes`, ascending, each once; empty for none."""
    ordered = sorted(set(lanes))
    if not ordered:
        return ""
    tables = ", ".join(f"lanes.lane_{lane:03d}" for lane in ordered)
    return f"LOCK TABLE {tables} IN EXCLUSIVE MODE;"
