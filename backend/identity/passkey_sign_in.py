"""Signing in by a passkey: after the password it is the second factor, alone it is two.

Alone it counts as two because the device makes sure who holds it, by a finger, a face or a PIN: an answer that does not
say so is refused. Failures count like those of passwords and codes, where nobody is named under the address alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar
from uuid import UUID

from webauthn.helpers.structs import AuthenticationCredential

from backend.db import Database, Prepared, Session
from backend.errors import NotAuthenticated
from backend.identity import attempts
from backend.identity.attempts import Attempt
from backend.identity.ceremonies import (
    PasskeyWrong,
    Shown,
    answer_of,
    owner_of,
    party_of,
    shown_by,
    take_challenge,
)
from backend.identity.passkeys import use_passkey
from backend.identity.signing_in import Origin, SignedIn
from backend.identity.tokens import IssuedToken, Person, find_person, issue_token

_NAMED = Prepared("passkey_named", ("uuid", "uuid", "bytea"), "SELECT * FROM passkey_named($1, $2, $3)")
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
    return known.person, _finish(database, known, shown, attempt, origin)


def finish_by_passkey(database: Database, person: Person, challenge: bytes, text: str, origin: Origin) -> SignedIn:
    """Somebody whose password is right, signed in. Raises NotAuthenticated, TooManyAttempts, PasskeysOff."""
    attempt = origin.attempt(person)
    answer = _read(database, attempt, challenge, text)
    owner = (person.organization_id, person.user_id)
    known = _refusing(database, attempt, lambda: _known(database, answer, owner))
    shown = _shown(database, attempt, challenge, answer, known, alone=False)
    return _finish(database, known, shown, attempt, origin)


def _read(database: Database, attempt: Attempt, challenge: bytes, text: str) -> AuthenticationCredential:
    """The answer, whose challenge is used up by it, right or wrong."""
    attempts.ensure_allowed(database, attempt)

    def read() -> AuthenticationCredential:
        take_challenge(database, challenge)
        return answer_of(text)

    return _refusing(database, attempt, read)


def _known(database: Database, answer: AuthenticationCredential, owner: tuple[UUID, UUID]) -> _Known:
    """The passkey of `owner` that the answer names. Raises PasskeyWrong."""
    rows = database.lookup(_NAMED, (*owner, answer.raw_id))
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


def _finish(database: Database, known: _Known, shown: Shown, attempt: Attempt, origin: Origin) -> SignedIn:
    actor = known.person.actor(origin.request_id, second_factor=True)

    def work(session: Session) -> IssuedToken | None:
        if not use_passkey(session, actor=actor, passkey_id=known.passkey_id, shown=shown, now=origin.now):
            return None
        return issue_token(session, actor=actor, now=origin.now, hours=database.config.token_hours)

    issued = database.transact(work, actor=actor)
    if issued is None:
        _refuse(database, attempt, _REFUSED)
    attempts.forget_failures(database, attempt)
    return SignedIn(actor, issued)


def _refusing(database: Database, attempt: Attempt, act: Callable[[], T]) -> T:
    try:
        return act()
    except PasskeyWrong as wrong:
        _refuse(database, attempt, wrong.detail)


def _refuse(database: Database, attempt: Attempt, detail: str) -> NoReturn:
    attempts.count_failure(database, attempt)
    raise NotAuthenticated(detail)
