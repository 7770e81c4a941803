"""The witness of a request: a second person, whose own credentials come in the same body."""

from typing import Any

from flask import request

from backend.actor import Actor
from backend.api.sign_in import CredentialsIn
from backend.db import Database
from backend.db.idempotency import IdempotencyKey, find_answer
from backend.domain.identity import tokens
from backend.domain.identity.first_passwords import FirstPasswordExpired
from backend.domain.identity.sign_in import by_password
from backend.domain.identity.sign_in.attempts import TooManyAttempts
from backend.domain.identity.tokens import Credentials
from backend.domain.identity.witnesses import Witness, WitnessCodeRequired, WitnessRequired
from backend.errors import NotAuthenticated
from backend.web.authentication import origin_of
from backend.web.endpoint import Call

REFUSALS = (WitnessRequired, WitnessCodeRequired, TooManyAttempts)  # of every operation that takes a witness
_FIRST = "Somebody else chose the password of the witness, who signs in with it and chooses their own first."
_NO_APP = "The witness has no authenticator app set up, so that no one-time code can be theirs: leave it out."


class WitnessIn(CredentialsIn):
    """The second person's own credentials; the organization is the caller's."""

    class Meta(CredentialsIn.Meta):
        """marshmallow's options."""

        exclude = ("organization",)


def check_witness(database: Database, call: Call) -> Witness | None:
    """Find who the body's `witness` is, see `find_witness`."""
    given: dict[str, str] | None = call.body.get("witness")
    return find_witness(database, call.actor, call.key, given)


def find_witness(database: Database, actor: Actor, key: IdempotencyKey, given: dict[str, str] | None) -> Witness | None:
    """Find whose credentials were `given`, None where there are none. Their code is not used up yet: `admit_witness`
    does that in the transaction.

    None too for a request that is repeated: the transaction answers what is stored, and a code that was right then has
    expired or was used up since. Raises TooManyAttempts, and WitnessRequired when the credentials are wrong: a 401
    would tell the client that the caller is signed out.
    """
    if given is None or _is_repeated(database, actor, key):
        return None
    credentials = Credentials(organization=tokens.organization_slug(database, actor), **given)
    origin = origin_of(database, request)
    try:
        person = by_password.check_password(database, credentials, origin)
        if person.first_password:
            raise WitnessRequired(_FIRST)
        if credentials.otp is None:
            return Witness(person.user_id)
        if person.totp_secret is None:
            raise WitnessRequired(_NO_APP)
        return Witness(person.user_id, by_password.check_code(database, person, credentials.otp, origin))
    except NotAuthenticated:
        raise WitnessRequired("The witness's email, password or one-time code is wrong.") from None
    except FirstPasswordExpired:
        raise WitnessRequired("The password that the witness was given has expired. An admin gives another.") from None


def _is_repeated(database: Database, actor: Actor, key: IdempotencyKey) -> bool:
    """Tell whether this very request was answered before. Raises IdempotencyKeyReused."""
    wanted: dict[str, Any] = {"organization_id": actor.organization_id, "key": key}
    return database.transact(lambda session: find_answer(session, **wanted), actor=actor, read_only=True) is not None
