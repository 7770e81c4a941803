"""What the driver raises without an SQLSTATE: a connection that broke, or a mistake of ours."""

import psycopg2
import pytest

from backend.db.signals import Signal, signal_of

CLOSED = "server closed the connection unexpectedly"


@pytest.mark.parametrize(
    ("raised", "means"),
    [
        (psycopg2.OperationalError, Signal.LOST),
        (psycopg2.InterfaceError, Signal.LOST),
        (psycopg2.DatabaseError, Signal.LOST),  # found by `valmed prove`: a backend crashed while it was asked
        (psycopg2.ProgrammingError, Signal.BUG),
        (psycopg2.InternalError, Signal.BUG),
    ],
)
def test_without_a_state_the_class_tells_a_lost_connection_from_a_mistake(
    raised: type[psycopg2.Error], means: Signal
) -> None:
    assert signal_of(raised(CLOSED)) is means
