"""Sort the errors of the driver: which transactions run again, and what the caller of the others gets."""

from enum import Enum

import psycopg2
from sqlalchemy.exc import DBAPIError

FEATURE, REPLANNING = "0A000", "RevalidateCachedQuery"
INTERNAL, DROPPED = "XX000", ("cache lookup failed for ", "could not open relation with OID ")


class Signal(Enum):
    """What happened to the transaction, and with it what `transact` does next."""

    ROLLED_BACK = "rolled_back"  # 40001, 40P01, a schema in change: run the whole transaction again
    OVERLOADED = "overloaded"  # lock or statement timeout, out of connections: 503
    DUPLICATE = "duplicate"  # 23505: someone was first; run again once, it replays or answers 409
    REFUSED = "refused"  # 23xxx: a check of the domain was missed; 409 or 422, logged as a bug
    BAD_DATA = "bad_data"  # 22xxx: a value no column takes; 422, logged as a bug
    LOST = "lost"  # the connection is gone: before COMMIT rolled back, from COMMIT unknown
    UNPREPARED = "unprepared"  # what is prepared on the connection is of no use: another connection, run again
    BUG = "bug"  # anything else: 500


_BY_STATE = {
    "40001": Signal.ROLLED_BACK,
    "40P01": Signal.ROLLED_BACK,
    "55P03": Signal.OVERLOADED,
    "57014": Signal.OVERLOADED,
    "25P03": Signal.LOST,
    "23505": Signal.DUPLICATE,
    "26000": Signal.UNPREPARED,  # EXECUTE of what is not prepared: somebody's DEALLOCATE
    "42P05": Signal.UNPREPARED,  # PREPARE of what is: an interrupt came before we took note of it
}
_BY_CLASS = {
    "08": Signal.LOST,
    "22": Signal.BAD_DATA,
    "23": Signal.REFUSED,
    "53": Signal.OVERLOADED,
    "57": Signal.LOST,
    "58": Signal.LOST,
}


def driver_error(error: BaseException) -> psycopg2.Error | None:
    """The psycopg2 error inside `error`, raised bare or wrapped by SQLAlchemy; None when there is none."""
    if isinstance(error, DBAPIError):
        error = error.orig if error.orig is not None else error
    return error if isinstance(error, psycopg2.Error) else None


def signal_of(error: psycopg2.Error) -> Signal:
    """What `error` means. An operational error without SQLSTATE is a connection that broke.

    So is a bare DatabaseError without one: psycopg2 raises it instead where the server crashed while it was asked, and
    its sub-classes for mistakes of ours.

    Two errors mean a schema that changed meanwhile, and only where PostgreSQL says so. FEATURE that was raised where it
    plans a prepared statement anew: the result has other types now (told by the place, for the message is in the
    server's language). INTERNAL of something DROPPED: what the statement had found is gone, perhaps replaced (told by
    the message, which is never translated).
    """
    state = error.pgcode
    if state == INTERNAL and (error.diag.message_primary or "").startswith(DROPPED):
        return Signal.ROLLED_BACK
    if state == FEATURE and error.diag.source_function == REPLANNING:
        return Signal.UNPREPARED
    if state is None:
        lost = isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))
        broken = lost or type(error) is psycopg2.DatabaseError
        return Signal.LOST if broken else Signal.BUG
    return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], Signal.BUG)


def constraint_of(error: psycopg2.Error) -> str:
    """The name of the violated constraint, or an empty string."""
    return error.diag.constraint_name or ""
