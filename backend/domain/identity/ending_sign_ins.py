"""End every sign-in of every hospital: after a database came back from a backup, and where its tokens were stolen.

A restore brings back what had ended since the backup, and the database cannot know what that was. So all of it ends:

- tokens, and with them the sessions of the pages;
- first passwords, which somebody else chose and their owner may have exchanged since: an admin gives another;
- the one-time codes of this minute and the next, of which one may have been used.

What else comes back is for people to go through (README, Restore): passwords that were changed, second factors that
were taken away, and who has left. Two things need nobody: failed sign-ins that were counted before the backup ended
long ago with their window, and those since are forgotten; an answer of a passkey that was given in the last five
minutes could count once more, in the browser that it was made in.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update

from backend.actor import Actor
from backend.db import Database, Session, bump
from backend.domain.identity.models import AccessToken, User
from backend.domain.identity.sign_in import totp
from backend.domain.organizations.hospitals import list_organizations


@dataclass(frozen=True, slots=True)
class Ended:
    """How many tokens and first passwords were good until now."""

    sign_ins: int
    first_passwords: int


def end_everywhere(database: Database) -> Ended:
    """End the sign-ins of every hospital, each in a transaction of its own; the audit trail shows it. Raises Busy."""
    ended = [end_all(database, organization_id) for organization_id in list_organizations(database)]
    return Ended(sum(each.sign_ins for each in ended), sum(each.first_passwords for each in ended))


def end_all(database: Database, organization_id: UUID) -> Ended:
    """End the sign-ins of one hospital. Raises Busy."""

    def work(session: Session) -> Ended:
        ended = Ended(_end_tokens(session, organization_id), _end_first_passwords(session, organization_id))
        _use_up_codes(session, organization_id)
        return ended

    return database.transact(work, actor=Actor.operator(organization_id), repeatable=True, report=True)


def _end_tokens(session: Session, organization_id: UUID) -> int:
    living = (AccessToken.revoked_at.is_(None), AccessToken.expires_at > session.now)
    ended = update(AccessToken).where(AccessToken.organization_id == organization_id, *living)
    return session.execute(ended.values(revoked_at=session.now)).rowcount


def _end_first_passwords(session: Session, organization_id: UUID) -> int:
    good = (User.organization_id == organization_id, User.first_password_expires_at > session.now)
    ended = bump(User, first_password_expires_at=session.now).where(*good)
    return session.execute(ended).rowcount


def _use_up_codes(session: Session, organization_id: UUID) -> None:
    step = totp.step_at(session.now) + totp.WINDOW_STEPS
    enrolled = select(User.id).where(User.organization_id == organization_id, User.totp_secret.is_not(None))
    for user_id in session.execute(enrolled.order_by(User.id)).scalars().all():
        totp.begin_at(session, organization_id=organization_id, user_id=user_id, step=step)
