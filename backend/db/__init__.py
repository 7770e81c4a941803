"""The database module: engine and pool, sessions, the one transaction, lanes, tenancy and idempotency."""

from backend.db.base import (
    Base,
    Numbered,
    Rows,
    Tenant,
    Timestamped,
    belongs_to,
    bump,
    new_id,
    of_organization,
    pg_enum,
)
from backend.db.lanes import lane_of, report_lane_of
from backend.db.prepared import Prepared
from backend.db.session import Session
from backend.db.transaction import Database
from backend.db.use_cases import change, read

__all__ = [
    "Base",
    "Database",
    "Numbered",
    "Prepared",
    "Rows",
    "Session",
    "Tenant",
    "Timestamped",
    "belongs_to",
    "bump",
    "change",
    "lane_of",
    "new_id",
    "of_organization",
    "pg_enum",
    "read",
    "report_lane_of",
]
