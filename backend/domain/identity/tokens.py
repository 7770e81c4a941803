"""Bearer tokens: `vmd_` and 256 random bits, of which the database keeps only the SHA-256.

Who makes a token for a password, and who ends every token with that password, takes the user's lane before the first
read. Because the second would else end only the tokens that its snapshot shows, and one made since would live on.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update

from backend.actor import Actor, Role
from backend.db import Database, Prepared, Session, lane_of, new_id
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.identity.models import AccessToken
from backend.domain.organizations.models import Organization
from backend.errors import NotAuthenticated, NotFound

TOKEN_LENGTH_MAX = 128

_PERSON = Prepared(
    "sign_in_person",
    """SELECT organization_id, user_id, role, name, password_hash, totp_secret, first_password, expired
    FROM sign_in_person(:organization::text, :email::text)""",
)
_AUTHENTICATE = Prepared(
    "authenticate",
    """SELECT organization_id, user_id, role, name, second_factor, ward_id, drug_id, clock_timestamp()
    FROM authenticate(:token_sha256::bytea, :order_id::uuid)""",
)


class SignInNotFound(NotFound):
    """There is no such sign-in of yours."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a person types to sign in."""

    organization: str
    email: str
    password: str = field(repr=False)
    otp: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an organization and an email name, with what proves that it is they.

    `first_password`: somebody else chose their password; `expired`: too long ago.
    """

    organization: str
    email: str
    organization_id: UUID
    user_id: UUID
    role: Role
    name: str
    password_hash: str = field(repr=False)
    totp_secret: str | None = field(repr=False)
    first_password: bool
    expired: bool

    @property
    def lane(self) -> int:
        """The lane of their sign-ins."""
        return sign_in_lane(self.organization_id, self.user_id)

    def actor(self, request_id: str, *, second_factor: bool) -> Actor:
        """Them, signed in."""
        return Actor(self.organization_id, self.user_id, self.role, self.name, request_id, second_factor)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """The token, shown once, and whose it is; `id` is that of the sign-in."""

    id: UUID
    token: str
    expires_at: datetime
    user_id: UUID
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class OrderPlace:
    """The ward and drug of an order: which shelf, and so which lane, it needs."""

    ward_id: UUID
    drug_id: UUID


def organization_slug(database: Database, actor: Actor) -> str:
    """The name by which the actor's organization signs in."""
    slug = select(Organization.slug).where(Organization.id == actor.organization_id)
    found: str = database.transact(lambda session: session.execute(slug).scalar_one(), actor=actor, read_only=True)
    return found


def find_person(database: Database, organization: str, email: str) -> Person | None:
    """Who the hospital `organization` knows by `email` and works there; asked before any tenant is known."""
    rows = database.lookup(_PERSON, organization=organization, email=email.lower())
    if not rows:
        return None
    organization_id, user_id, role, *rest = rows[0]
    return Person(organization, email, organization_id, user_id, Role(role), *rest)


def issue_token(session: Session, *, actor: Actor, now: datetime, hours: int) -> IssuedToken:
    """A new token for `actor`, valid for `hours`."""
    assert actor.user_id is not None  # noqa: S101 - an operator has no sign-in
    token = "vmd_" + secrets.token_urlsafe(32)
    expires_at = now + timedelta(hours=hours)
    token_id = new_id()
    session.execute(
        insert(AccessToken).values(
            organization_id=actor.organization_id,
            id=token_id,
            user_id=actor.user_id,
            token_sha256=_sha256(token),
            second_factor=actor.second_factor,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return IssuedToken(token_id, token, expires_at, actor.user_id, actor.name, actor.role)


def revoke_token(session: Session, *, actor: Actor, token: str, now: datetime) -> None:
    """Ends `token`; a second time changes nothing."""
    session.execute(
        update(AccessToken)
        .where(
            AccessToken.organization_id == actor.organization_id,
            AccessToken.token_sha256 == _sha256(token),
            AccessToken.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


def sign_in_lane(organization_id: UUID, user_id: UUID) -> int:
    """The lane of a user's sign-ins."""
    return lane_of(organization_id, user_id)


def revoke_tokens_of(session: Session, *, organization_id: UUID, user_id: UUID, now: datetime) -> None:
    """Ends every token of a user: after a new password, another role, or leaving."""
    session.execute(
        update(AccessToken)
        .where(
            AccessToken.organization_id == organization_id,
            AccessToken.user_id == user_id,
            AccessToken.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


def list_sign_ins(session: Session, *, actor: Actor, page: PageRequest) -> Page:
    """List the actor's sign-ins that have not ended, the latest first."""
    token = AccessToken
    living = (token.revoked_at.is_(None), token.expires_at > func.now())
    rows = select(token.id, token.created_at, token.expires_at, token.second_factor).where(*_own(actor), *living)
    return read_page(session, rows, page, token.created_at, token.id, descending=True)


def end_sign_in(session: Session, *, actor: Actor, token_id: UUID, now: datetime) -> None:
    """End one of the actor's sign-ins; a second time changes nothing. Raises SignInNotFound."""
    this = (*_own(actor), AccessToken.id == token_id)
    if session.execute(select(AccessToken.id).where(*this)).first() is None:
        raise SignInNotFound()
    session.execute(update(AccessToken).where(*this, AccessToken.revoked_at.is_(None)).values(revoked_at=now))


def authenticate(
    database: Database, token: str, *, request_id: str, order_id: UUID | None = None
) -> tuple[Actor, OrderPlace | None]:
    """Whose `token` this is and, for `order_id`, where that order lies: one round trip, before any transaction.

    The place is None for no order, an unknown one and another organization's. Raises NotAuthenticated.
    """
    if len(token) > TOKEN_LENGTH_MAX:
        raise NotAuthenticated()
    token_sha256, asked_at = _sha256(token), time.time()  # noqa: TID251 - the clock that is compared
    rows = database.lookup(_AUTHENTICATE, token_sha256=token_sha256, order_id=order_id)
    if not rows:
        raise NotAuthenticated("The token is unknown, has expired or was signed out.")
    organization_id, user_id, role, name, second_factor, ward_id, drug_id, now = rows[0]
    database.clock.compare(asked_at, now)
    actor = Actor(organization_id, user_id, Role(role), name, request_id, second_factor, token_sha256, now)
    return actor, OrderPlace(ward_id, drug_id) if ward_id else None


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _own(actor: Actor) -> tuple[Any, Any]:
    return AccessToken.organization_id == actor.organization_id, AccessToken.user_id == actor.user_id
