"""The caller's second factors: the authenticator app and the passkeys."""

from dataclasses import dataclass
from typing import Any

from flask import request
from marshmallow import fields

from backend.actor import SecondFactorRequired
from backend.db import Database, Session
from backend.domain.identity import passkeys, queries, second_factors
from backend.domain.identity.passkeys import PasskeyNotFound
from backend.domain.identity.second_factors import SecondFactorChanged
from backend.domain.identity.sign_in import by_password, totp
from backend.domain.identity.sign_in.attempts import TooManyAttempts
from backend.domain.identity.sign_in.by_password import CodeWrong, PasswordWrong
from backend.domain.organizations import hospitals
from backend.web.authentication import origin_of
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Code, Password, Secret, Whole

resource = Resource("me")  # clients know these operations by the name that they share with backend/api/me.py


class PasswordIn(Body):
    """The caller's password, typed again."""

    password = Password(required=True)


class SecondFactorOut(Body):
    """Tell whether you have an authenticator app enrolled, how many passkeys they have, and whether their role must
    have one or the other."""

    enrolled = fields.Boolean()
    passkeys = fields.Integer()
    required = fields.Boolean()


class PasskeyOut(Body):
    """A passkey of the caller; `backed_up` where their device copies it to an account of theirs."""

    id = fields.UUID()
    name = fields.String()
    backed_up = fields.Boolean()
    created_at = fields.AwareDateTime()
    last_used_at = fields.AwareDateTime(allow_none=True)


class PasskeysOut(Body):
    """The caller's passkeys, the oldest first."""

    items = Whole(fields.Nested(PasskeyOut), because="a person has at most ten")


class SecretOut(Body):
    """A secret for an authenticator app; `uri` is what its QR code says."""

    secret = fields.String()
    uri = fields.String()


class SecondFactorIn(Body):
    """A secret with the code that the app shows for it; `password` where another one is enrolled."""

    secret = Secret(required=True)
    otp = Code(required=True)
    password = Password()


@resource.get("/me/second-factor", "My second factor", answer=SecondFactorOut())
def read_second_factor(session: Session, call: Call) -> Any:
    """Tell whether you have enrolled a second factor and whether your hospital asks your role for one."""
    return second_factors.standing(session, actor=call.actor)


@resource.post("/me/second-factor", "A secret to enrol", answer=SecretOut(), status=201, keyed=False)
def offer_second_factor(session: Session, call: Call) -> Any:
    """A new secret. Nothing is stored of it: it is enrolled by PUT, with the code that an app shows for it."""
    hospital = hospitals.get_organization(session, organization_id=call.organization_id)
    user_id = call.actor.user_id
    assert user_id is not None  # noqa: S101 - a token always belongs to a user
    user = queries.get_user(session, organization_id=call.organization_id, user_id=user_id)
    secret = totp.new_secret()
    return {"secret": secret, "uri": totp.uri_of(secret, email=user.email, hospital=hospital.name)}


@dataclass(frozen=True, slots=True)
class _Enrolment:
    """Hold what was checked before the transaction and found right."""

    step: int
    replacing: bool


def _check_enrolment(database: Database, call: Call) -> _Enrolment | None:
    """None where this very secret is enrolled already: the request is repeated."""
    origin, body = origin_of(database, request), call.body
    person = by_password.person_of(database, call.actor)
    if person.totp_secret == body["secret"]:
        return None
    replacing = by_password.has_second_factor(database, person)
    if replacing:
        if "password" not in body:
            raise PasswordWrong("Send your password to change the second factor that you have.")
        by_password.check_own_sign_in(database, call.actor, body["password"], origin)
    step = by_password.check_first_code(database, person, body["secret"], body["otp"], origin)
    return _Enrolment(step, replacing)


@resource.put(
    "/me/second-factor",
    "Enrol my second factor",
    body=SecondFactorIn(),
    answer=SecondFactorOut(),
    keyed=False,
    prepare=_check_enrolment,
    raises=(PasswordWrong, CodeWrong, SecondFactorChanged, SecondFactorRequired, TooManyAttempts),
)
def enrol_second_factor(session: Session, call: Call) -> Any:
    """Makes the secret the caller's second factor, from their next sign-in on. Who has one, or a passkey, has signed in
    with it and sends the password."""
    found: _Enrolment | None = call.prepared
    if found is not None:
        second_factors.enrol(
            session, actor=call.actor, secret=call.body["secret"], step=found.step, replacing=found.replacing
        )
    return second_factors.standing(session, actor=call.actor)


def _check_sign_in(database: Database, call: Call) -> None:
    by_password.check_own_sign_in(database, call.actor, call.body["password"], origin_of(database, request))


@resource.post(
    "/me/second-factor/remove",
    "Remove my second factor",
    body=PasswordIn(),
    answer=SecondFactorOut(),
    keyed=False,
    prepare=_check_sign_in,
    raises=(PasswordWrong, SecondFactorRequired, TooManyAttempts),
)
def remove_second_factor(session: Session, call: Call) -> Any:
    """The caller signs in with the password alone again, or with their passkeys. Refused where the hospital asks their
    role for more and they have no passkey."""
    second_factors.remove(session, actor=call.actor)
    return second_factors.standing(session, actor=call.actor)


@resource.get("/me/passkeys", "My passkeys", answer=PasskeysOut())
def list_passkeys(session: Session, call: Call) -> Any:
    """List the passkeys that you have added on the page /account. Only a browser can make one."""
    user_id = call.actor.user_id
    assert user_id is not None  # noqa: S101 - a token always belongs to a user
    mine = queries.list_passkeys(session, organization_id=call.organization_id, user_id=user_id)
    return {"items": mine}


@resource.post(
    "/me/passkeys/<uuid:passkey_id>/remove",
    "Remove a passkey of mine",
    body=PasswordIn(),
    answer=SecondFactorOut(),
    keyed=False,
    prepare=_check_sign_in,
    raises=(PasskeyNotFound, PasswordWrong, SecondFactorRequired, TooManyAttempts),
)
def remove_passkey(session: Session, call: Call) -> Any:
    """The passkey signs nobody in any more. Refused for the last second factor of a role that must have one."""
    passkeys.remove_passkey(session, actor=call.actor, passkey_id=call.path["passkey_id"])
    return second_factors.standing(session, actor=call.actor)
