"""What an application sends to its database."""

from typing import Any

import psycopg2.extensions
from flask import Flask
from sqlalchemy import event

PING = "SELECT 1"


def statements_of(app: Flask) -> list[str]:
    """Every statement that the application sends from now on, as it sends it: SQLAlchemy's and the prepared ones of
    the driver's own path. But for the pool's ping of a connection that was idle for long, as on a busy machine."""
    sent: list[str] = []
    engine = app.extensions["valmed"].engine
    engine.dispose()  # what is noted is noted of new connections

    class NotingCursor(psycopg2.extensions.cursor):
        def execute(self, query: Any, values: Any = None) -> None:
            if query != PING:
                sent.append(str(query))
            super().execute(query, values)

    @event.listens_for(engine, "connect")
    def note(connection: Any, _record: Any) -> None:
        connection.cursor_factory = NotingCursor

    return sent
