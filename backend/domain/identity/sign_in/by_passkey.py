"""Signing in by a passkey: after the password it is the second factor, alone it is two.

Alone it counts as two because the device makes sure who holds it, by a finger, a face or a PIN: an answer that does not
say so is refused. Failures count like those of passwords and codes, where nobody is named under the address alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar
from uuid import UUID

from webauthn.helpers.structs import AuthenticationCredential

from backend.actor import Actor
from backend.db import Database, Prepared, Session
from backend.domain.identity.first_passwords import ensure_own
from backend.domain.identity.passkeys import use_passkey
from backend.domain.identity.sign_in import attempts
from backend.domain.identity.sign_in.attempts import Attempt
from backend.domain.identity.sign_in.by_password import Origin, SignedIn
from backend.domain.identity.sign_in.webauthn import (
    PasskeyWrong,
    Shown,
    answer_of,
    owner_of,
    party_of,
    shown_by,
    take_challenge,
)
from backend.domain.identity.tokens import Person, find_person, issue_token
from backend.errors import NotAuthenticated

_NAMED = Prepared(
    "passkey_named",
    """SELECT id, public_key, organization, email
    FROM passkey_named(:organization_id::uuid, :user_id::uuid, :credential_id::bytea)""",
)
_REFUSED = "The passkey was not accepted."
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known:
    """A passkey that an answer names, and whose it is."""

    passkey_id: UUID
    public_key: bytes
    person: Person


def sign_in_alone(database: Database, challenge: bytes, text: str, origin: Origin) -> tuple[Person, SignedIn]:
    """Who holds the device that answers `text`, signed in. Raises NotAuthenticated, TooManyAttempts, PasskeysOff."""
    attempt = Attempt("", "", origin.address)
    answer = _read(database, attempt, challenge, text)
    known = _refusing(database, attempt, lambda: _known(database, answer, owner_of(answer)))
    attempt = origin.attempt(known.person)
    attempts.ensure_allowed(database, attempt)
    shown = _shown(database, attempt, challenge, answer, known, alone=True)
    return known.person, _signed_in(database, known, shown, attempt, origin, lambda session: None)


def finish_by_passkey(database: Database, person: Person, challenge: bytes, text: str, origin: Origin) -> SignedIn:
    """Somebody whose password is right, and their own, signed in.

    Raises NotAuthenticated, TooManyAttempts, PasskeysOff, PasswordChangeRequired.
    """
    known, shown, attempt = _second(database, person, challenge, text, origin)
    return _signed_in(database, known, shown, attempt, origin, lambda session: ensure_own(session, person))


def show_passkey(database: Database, person: Person, challenge: bytes, text: str, origin: Origin) -> None:
    """Uses the passkey of somebody who is to choose a password before they are signed in.

    Raises NotAuthenticated, TooManyAttempts, PasskeysOff.
    """
    known, shown, attempt = _second(database, person, challenge, text, origin)
    _use(database, known, shown, attempt, origin, lambda session, actor: True)


def _second(
    database: Database, person: Person, challenge: bytes, text: str, origin: Origin
) -> tuple[_Known, Shown, Attempt]:
    """A right answer of one of the person's passkeys, after their password."""
    attempt = origin.attempt(person)
    answer = _read(database, attempt, challenge, text)
    owner = (person.organization_id, person.user_id)
    known = _refusing(database, attempt, lambda: _known(database, answer, owner))
    return known, _shown(database, attempt, challenge, answer, known, alone=False), attempt


def _read(database: Database, attempt: Attempt, challenge: bytes, text: str) -> AuthenticationCredential:
    """The answer, whose challenge is used up by it, right or wrong."""
    attempts.ensure_allowed(database, attempt)

    def read() -> AuthenticationCredential:
        take_challenge(database, challenge)
        return answer_of(text)

    return _refusing(database, attempt, read)


def _known(database: Database, answer: AuthenticationCredential, owner: tuple[UUID, UUID]) -> _Known:
    """The passkey of `owner` that the answer names. Raises PasskeyWrong."""
    organization_id, user_id = owner
    rows = database.lookup(_NAMED, organization_id=organization_id, user_id=user_id, credential_id=answer.raw_id)
    if not rows:
        raise PasskeyWrong()
    passkey_id, public_key, organization, email = rows[0]
    person = find_person(database, organization, email)
    if person is None:
        raise PasskeyWrong()
    return _Known(passkey_id, bytes(public_key), person)


def _shown(
    database: Database,
    attempt: Attempt,
    challenge: bytes,
    answer: AuthenticationCredential,
    known: _Known,
    *,
    alone: bool,
) -> Shown:
    party = party_of(database.config)
    shown = _refusing(
        database,
        attempt,
        lambda: shown_by(party, challenge, answer, public_key=known.public_key, alone=alone),
    )
    attempts.ensure_allowed(database, attempt)
    return shown


def _signed_in(
    database: Database,
    known: _Known,
    shown: Shown,
    attempt: Attempt,
    origin: Origin,
    ensure: Callable[[Session], None],
) -> SignedIn:
    """The passkey used and the token made in one transaction, unless `ensure` refuses."""

    def issue(session: Session, actor: Actor) -> SignedIn:
        ensure(session)
        return SignedIn(actor, issue_token(session, actor=actor, now=origin.now, hours=database.config.token_hours))

    return _use(database, known, shown, attempt, origin, issue)


def _use(
    database: Database,
    known: _Known,
    shown: Shown,
    attempt: Attempt,
    origin: Origin,
    then: Callable[[Session, Actor], T],
) -> T:
    """What `then` makes in the transaction that uses the passkey."""
    actor = known.person.actor(origin.request_id, second_factor=True)

    def work(session: Session) -> T | None:
        session.take_lanes([known.person.lane])
        if not use_passkey(session, actor=actor, passkey_id=known.passkey_id, shown=shown, now=origin.now):
            return None
        return then(session, actor)

    made = database.transact(work, actor=actor)
    if made is None:
        _refuse(database, attempt, _REFUSED)
    attempts.forget_failures(database, attempt)
    return made


def _refusing(database: Database, attempt: Attempt, act: Callable[[], T]) -> T:
    try:
        return act()
    except PasskeyWrong as wrong:
        _refuse(database, attempt, wrong.detail)


def _refuse(database: Database, attempt: Attempt, detail: str) -> NoReturn:
    attempts.count_failure(database, attempt)
    raise NotAuthenticated(detail)
