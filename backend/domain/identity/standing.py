"""Whether the sign-in behind a request still stands, asked in the transaction that acts.

The token was looked up before the transaction, which may then have waited in a lane: meanwhile an admin may have
deactivated the person, or changed their role, or the person may have signed out. So the transaction asks again, in the
snapshot in which it decides.
"""

from backend.actor import Actor
from backend.db import Prepared, Session
from backend.errors import NotAuthenticated

ENDED = "Your sign-in ended while the request waited. Nothing was changed. Sign in again."


# The condition that a sign-in stands; without a token (the operator at the command line) it is true. A statement gets
# the values of its parameters from `standing_values`.
STANDS = """(:token_sha256::bytea IS NULL OR EXISTS (
    SELECT FROM access_tokens k JOIN users u ON u.organization_id = :organization_id::uuid AND u.id = k.user_id
    WHERE k.organization_id = :organization_id AND k.token_sha256 = :token_sha256 AND k.revoked_at IS NULL
      AND k.expires_at > clock_timestamp() AND u.active AND u.role::text = :role::text))"""
_STANDS = Prepared("sign_in_stands", f"SELECT clock_timestamp(), {STANDS}")


def standing_values(actor: Actor) -> dict[str, object]:
    """Make the values of the parameters of STANDS."""
    return {
        "organization_id": actor.organization_id,
        "role": actor.role.value,
        "token_sha256": actor.token_sha256,
    }


def ensure_stands(session: Session, actor: Actor) -> None:
    """Check the sign-in of `actor`, and read the transaction's time. Raises NotAuthenticated where it has ended."""
    ((now, standing),) = session.run(_STANDS, **standing_values(actor))
    session.keep_time(now)
    if not standing:
        raise NotAuthenticated(ENDED)
