"""Whose data a transaction may see: settings that are local to it, sent in front of its first statement.

Row-level security compares every row with `app.organization_id`; the audit triggers read `app.user_id` and
`app.request_id`. Never `SELECT set_config(...)` here: it would take the snapshot before the lanes.
"""

from backend.actor import Actor
from backend.config import Config


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def prologue(actor: Actor, config: Config, *, read_only: bool) -> str:
    """BEGIN and the settings of one transaction, as one string of statements."""
    return (
        f"BEGIN ISOLATION LEVEL REPEATABLE READ{' READ ONLY' if read_only else ''};"
        f"SET LOCAL app.organization_id={_literal(actor.organization_id)};"
        f"SET LOCAL app.user_id={_literal(actor.user_id or '')};"
        f"SET LOCAL app.request_id={_literal(actor.request_id)};"
        f"{_timeouts(config)}"
    )


def increment_prologue(config: Config) -> str:
    """The same for a counter that is no hospital's."""
    return f"BEGIN ISOLATION LEVEL READ COMMITTED;{_timeouts(config)}"


def _timeouts(config: Config) -> str:
    return (
        f"SET LOCAL lock_timeout={config.lock_timeout_ms};"
        f"SET LOCAL statement_timeout={config.statement_timeout_ms};"
        f"SET LOCAL idle_in_transaction_session_timeout={config.idle_in_transaction_timeout_ms};"
    )
