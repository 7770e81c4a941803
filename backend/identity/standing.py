"""Whether the sign-in behind a request still stands, asked in the transaction that acts.

The token was looked up before the transaction, which may then have waited in a lane: meanwhile an admin may have
deactivated the person, or changed their role, or the person may have signed out. So the transaction asks again, in the
snapshot in which it decides.
"""

from backend.actor import Actor
from backend.db import Prepared, Session
from backend.errors import NotAuthenticated

ENDED = "Your sign-in ended while the request waited. Nothing was changed. Sign in again."


def stands(*, organization: str, role: str, sha256: str) -> str:
    """Write the SQL condition that a sign-in stands; the arguments are parameters of the statement, such as `$1`.

    Without a token (the operator at the command line) it is true.
    """
    return f"""({sha256}::bytea IS NULL OR EXISTS (
    SELECT FROM access_tokens k JOIN users u ON u.organization_id = {organization} AND u.id = k.user_id
    WHERE k.organization_id = {organization} AND k.token_sha256 = {sha256} AND k.revoked_at IS NULL
      AND k.expires_at > clock_timestamp() AND u.active AND u.role::text = {role}))"""


_STANDS = Prepared(
    "sign_in_stands",
    ("uuid", "text", "bytea"),
    f"SELECT clock_timestamp(), {stands(organization='$1', role='$2', sha256='$3')}",
)


def ensure_stands(session: Session, actor: Actor) -> None:
    """Check the sign-in of `actor`, and read the transaction's time. Raises NotAuthenticated where it has ended."""
    ((now, standing),) = session.run(_STANDS, (actor.organization_id, actor.role.value, actor.token_sha256))
    session.keep_time(now)
    if not standing:
        raise NotAuthenticated(ENDED)
