"""Signing in: the password, then the one-time code, with every failure counted.

`check_password` says who it is and nothing more. `finish` makes the token; between them a page may ask for the code.
What a page remembers of the first for the second is not the password but its `mark`, which a new password voids.
Who signs in with a first password (first_passwords.py) chooses another in between, after the factor that they have.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select

from backend.actor import Actor, SecondFactorRequired
from backend.db import Database, Session, bump
from backend.domain.identity import passwords, second_factors, users
from backend.domain.identity.first_passwords import (
    FirstPasswordExpired,
    PasswordChangeRequired,
    ensure_own,
    set_own_password,
)
from backend.domain.identity.models import User
from backend.domain.identity.passwords import is_password
from backend.domain.identity.queries import count_passkeys
from backend.domain.identity.sign_in import attempts, totp
from backend.domain.identity.sign_in.attempts import Attempt
from backend.domain.identity.tokens import Credentials, IssuedToken, Person, find_person, issue_token
from backend.domain.organizations.models import Organization
from backend.errors import Forbidden, NotAuthenticated, ValidationFailed

WRONG = "Organization, email or password is wrong."


class PasswordWrong(Forbidden):
    """The password that you sent is not yours."""


class CodeWrong(Forbidden):
    """The one-time code is wrong, has expired or was used. Wait for the next one."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The request in which somebody signs in."""

    address: str
    request_id: str
    now: datetime

    def attempt(self, person: Person | Credentials) -> Attempt:
        """What its failures are counted under."""
        return Attempt(person.organization, person.email, self.address)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who has signed in, and with what."""

    actor: Actor
    issued: IssuedToken


def check_password(database: Database, credentials: Credentials, origin: Origin) -> Person:
    """Whose organization, email and password these are. Raises NotAuthenticated, the same for every reason,
    TooManyAttempts, which no right password changes, and to who knows a password of old that it has expired.

    Where a code is still to come, a right password forgives no failure: else who knows it could guess codes for ever.
    """
    attempt = origin.attempt(credentials)
    attempts.ensure_allowed(database, attempt)
    person = find_person(database, credentials.organization, credentials.email)
    if not is_password(person.password_hash if person else None, credentials.password) or person is None:
        attempts.count_failure(database, attempt)
        raise NotAuthenticated(WRONG)
    attempts.ensure_allowed(database, attempt)
    if person.expired:
        raise FirstPasswordExpired()
    if person.totp_secret is None:
        attempts.forget_failures(database, attempt)
    return _up_to_date(database, person, credentials.password, origin)


def _up_to_date(database: Database, person: Person, password: str, origin: Origin) -> Person:
    """The person, whose hash is made anew where today's figures are others than those it was made with."""
    if not passwords.is_outdated(person.password_hash):
        return person
    new = passwords.hash_again(password)
    changed = (
        bump(User, password_hash=new)
        .where(User.organization_id == person.organization_id, User.id == person.user_id)
        .where(User.password_hash == person.password_hash)  # nobody has chosen another meanwhile
    )
    actor = person.actor(origin.request_id, second_factor=False)
    if database.transact(lambda session: session.execute(changed).rowcount, actor=actor) == 1:
        return replace(person, password_hash=new)
    again = find_person(database, person.organization, person.email)
    if again is None or not is_password(again.password_hash, password):
        raise NotAuthenticated(WRONG)
    return again


def has_second_factor(database: Database, person: Person) -> bool:
    """Whether somebody has an authenticator app or a passkey."""
    actor = person.actor("", second_factor=False)
    return database.transact(lambda session: _has_factor(session, person), actor=actor, read_only=True)


def _has_factor(session: Session, person: Person) -> bool:
    whose = {"organization_id": person.organization_id, "user_id": person.user_id}
    return person.totp_secret is not None or count_passkeys(session, **whose) > 0


def password_fingerprint(person: Person) -> str:
    """Return the hash of the stored hash of the password that was checked: it changes when the password does."""
    return hashlib.sha256(person.password_hash.encode()).hexdigest()


def recall(database: Database, organization: str, email: str, mark: str) -> Person:
    """Whose password was checked a moment ago. Raises NotAuthenticated where it has changed or they have left."""
    person = find_person(database, organization, email)
    if person is None or not hmac.compare_digest(password_fingerprint(person), mark):
        raise NotAuthenticated("Sign in again.")
    return person


def check_code(database: Database, person: Person, otp: str, origin: Origin) -> int:
    """The step of a right code, not used up yet. Raises NotAuthenticated, TooManyAttempts."""
    attempt = origin.attempt(person)
    attempts.ensure_allowed(database, attempt)
    step = totp.step_of(person.totp_secret, otp, origin.now) if person.totp_secret else None
    if step is None:
        attempts.count_failure(database, attempt)
        raise NotAuthenticated("The one-time code is wrong or has expired.")
    attempts.ensure_allowed(database, attempt)
    return step


def use_code(database: Database, person: Person, otp: str, origin: Origin) -> None:
    """Uses up a right code of somebody who is to choose a password before they are signed in.

    Raises NotAuthenticated for a wrong or used one, TooManyAttempts.
    """
    step = check_code(database, person, otp, origin)
    whose = {"organization_id": person.organization_id, "user_id": person.user_id}
    actor = person.actor(origin.request_id, second_factor=True)
    taken = database.transact(lambda session: totp.take_step(session, step=step, **whose), actor=actor)
    _after_code(database, person, origin, taken=taken)


def _after_code(database: Database, person: Person, origin: Origin, *, taken: bool) -> None:
    attempt = origin.attempt(person)
    if not taken:
        attempts.count_failure(database, attempt)
        raise NotAuthenticated("This one-time code was used. Wait for the next one.")
    attempts.forget_failures(database, attempt)


def finish(
    database: Database,
    person: Person,
    otp: str | None,
    origin: Origin,
    *,
    new_password: str | None = None,
    factor_shown: bool = False,
) -> SignedIn:
    """The token of somebody whose password is right; a code in `otp` is used up with it, and a `new_password` takes the
    place of a first one. `factor_shown` before, on a page, a second factor needs no code.

    Raises NotAuthenticated for a wrong or used code, SecondFactorRequired without a needed one, TooManyAttempts,
    PasswordChangeRequired without a `new_password` for a first one, ValidationFailed for one that cannot be it.
    """
    new_hash = None if new_password is None else choice_of(database, person, new_password)
    if person.first_password and new_hash is None:
        raise PasswordChangeRequired()
    step = None if otp is None else check_code(database, person, otp, origin)
    actor = person.actor(origin.request_id, second_factor=factor_shown or step is not None)
    where = {"organization_id": person.organization_id}

    def work(session: Session) -> IssuedToken | None:
        session.take_lanes([person.lane])
        if not actor.second_factor and (
            second_factors.is_required(session, role=person.role, **where)
            or (new_hash is not None and _has_factor(session, person))
        ):
            raise SecondFactorRequired(enrolled=person.totp_secret is not None)
        if step is not None and not totp.take_step(session, user_id=person.user_id, step=step, **where):
            return None
        if new_hash is None:
            ensure_own(session, person)
        else:
            set_own_password(session, actor=actor, person=person, password_hash=new_hash, now=origin.now)
        return issue_token(session, actor=actor, now=origin.now, hours=database.config.token_hours)

    issued = database.transact(work, actor=actor)
    if step is not None:
        _after_code(database, person, origin, taken=issued is not None)
    assert issued is not None  # noqa: S101 - only a used code gives none
    return SignedIn(actor, issued)


def choose_password(
    database: Database, person: Person, new_password: str, origin: Origin, *, factor_shown: bool
) -> Person:
    """The person with the password that they have chosen instead of a first one, not signed in yet.

    Raises NotAuthenticated where it has changed meanwhile, SecondFactorRequired where they have a factor that was not
    shown, ValidationFailed.
    """
    new_hash = choice_of(database, person, new_password)
    actor = person.actor(origin.request_id, second_factor=factor_shown)

    def work(session: Session) -> None:
        session.take_lanes([person.lane])
        if not factor_shown and _has_factor(session, person):
            raise SecondFactorRequired(enrolled=person.totp_secret is not None)
        set_own_password(session, actor=actor, person=person, password_hash=new_hash, now=origin.now)

    database.transact(work, actor=actor)
    return replace(person, password_hash=new_hash, first_password=False)


def choice_of(database: Database, person: Person, new_password: str) -> str:
    """The hash of what somebody has chosen instead of a first password. Raises ValidationFailed, at `new_password`."""
    if not person.first_password:
        raise ValidationFailed.of("new_password", "your password is your own: change it with PUT /me/password")
    return new_hash_of(database, person, new_password)


def new_hash_of(database: Database, person: Person, new_password: str) -> str:
    """The hash of somebody's next password. Raises ValidationFailed, at `new_password`, for one that can be guessed,
    and for a first one that would stay."""
    whose = {"organization_id": person.organization_id, "user_id": person.user_id}
    actor = person.actor("", second_factor=False)
    about = database.transact(lambda session: users.known_of(session, **whose), actor=actor, read_only=True)
    if person.first_password and is_password(person.password_hash, new_password):
        raise ValidationFailed.of("new_password", "choose another: somebody else knows this one")
    return passwords.hash_password(new_password, about=about, field="new_password")


def enrol_and_finish(database: Database, person: Person, secret: str, otp: str, origin: Origin) -> SignedIn:
    """Enrols the first second factor of somebody whose password is right, and signs them in with it.

    Raises CodeWrong, SecondFactorChanged, TooManyAttempts, PasswordChangeRequired.
    """
    step = check_first_code(database, person, secret, otp, origin)
    actor = person.actor(origin.request_id, second_factor=True)

    def work(session: Session) -> IssuedToken:
        session.take_lanes([person.lane])
        second_factors.enrol(session, actor=actor, secret=secret, step=step, replacing=False)
        ensure_own(session, person)
        return issue_token(session, actor=actor, now=origin.now, hours=database.config.token_hours)

    return SignedIn(actor, database.transact(work, actor=actor))


def check_first_code(database: Database, person: Person, secret: str, otp: str, origin: Origin) -> int:
    """The step of a right code of a secret that is not enrolled yet. Raises CodeWrong, TooManyAttempts."""
    attempt = origin.attempt(person)
    attempts.ensure_allowed(database, attempt)
    step = totp.step_of(secret, otp, origin.now)
    if step is None:
        attempts.count_failure(database, attempt)
        raise CodeWrong()
    return step


def check_own_password(database: Database, actor: Actor, password: str, origin: Origin) -> Person:
    """The actor, who has typed their password again. Raises PasswordWrong, TooManyAttempts."""
    try:
        return check_password(database, _credentials_of(database, actor, password), origin)
    except NotAuthenticated:
        raise PasswordWrong() from None
    except FirstPasswordExpired as expired:
        raise PasswordWrong(expired.detail) from None


def check_own_sign_in(database: Database, actor: Actor, password: str, origin: Origin) -> Person:
    """The actor, who may change their second factors: they have typed their own password again and, where they have a
    factor, signed in with one. Else a stolen password would be enough to put another in its place.

    Raises PasswordWrong, TooManyAttempts, SecondFactorRequired.
    """
    person = check_own_password(database, actor, password, origin)
    if person.first_password:
        raise PasswordWrong("Somebody else chose this password. Choose your own first.")
    if not actor.second_factor and has_second_factor(database, person):
        raise SecondFactorRequired("Sign in with the second factor that you have before you change it.")
    return person


def person_of(database: Database, actor: Actor) -> Person:
    """The actor, with what proves who they are. Raises NotAuthenticated where they have left."""
    known = _credentials_of(database, actor, "")
    person = find_person(database, known.organization, known.email)
    if person is None:
        raise NotAuthenticated()
    return person


def _credentials_of(database: Database, actor: Actor, password: str) -> Credentials:
    """What the actor would type to sign in."""
    names = (
        select(Organization.slug, User.email)
        .join(User, User.organization_id == Organization.id)
        .where(Organization.id == actor.organization_id, User.id == actor.user_id)
    )
    slug, email = database.transact(lambda session: session.execute(names).one(), actor=actor, read_only=True)
    return Credentials(slug, email, password)
