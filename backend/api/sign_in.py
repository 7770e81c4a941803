"""Signing in and out, and the caller's own sign-ins, for who thinks that somebody else is signed in as they are."""

from typing import Any
from uuid import UUID

from flask import g, request
from marshmallow import fields

from backend.actor import Actor, SecondFactorRequired
from backend.db import Database, Session
from backend.domain.identity import passwords, tokens
from backend.domain.identity.first_passwords import FirstPasswordExpired, PasswordChangeRequired
from backend.domain.identity.sign_in import by_password
from backend.domain.identity.sign_in.attempts import TooManyAttempts
from backend.domain.identity.tokens import Credentials, IssuedToken, Person, SignInNotFound
from backend.errors import NotAuthenticated
from backend.web import cursors
from backend.web.authentication import bearer_of, origin_of
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Line, PageQuery, Password

resource, sign_ins = Resource("tokens"), Resource("sign_ins")
UNLESS_SAID = 100  # sign-ins, where no `limit` is given: what the first release answered


class CredentialsIn(Body):
    """What a person types to sign in; `otp` where a second factor is enrolled and wanted."""

    organization = Line(required=True, length=63)
    email = Line(required=True, length=254)
    password = Password(required=True)
    otp = Line(length=6)


class SignInIn(CredentialsIn):
    """What a person types to sign in, and `new_password` where somebody else chose the present one."""

    new_password = Password(least=passwords.LENGTH_MIN)


class SignedInOut(Body):
    """Who signed in."""

    id = fields.UUID()
    name = fields.String()
    role = fields.String()


class TokenOut(Body):
    """The token, shown once."""

    token = fields.String()
    expires_at = fields.AwareDateTime()
    user = fields.Nested(SignedInOut)


def _check(database: Database, body: dict[str, Any]) -> tuple[Actor, Person]:
    typed = Credentials(body["organization"], body["email"], body["password"])
    person = by_password.check_password(database, typed, origin_of(database, request))
    return person.actor(g.audit_request_id, second_factor=False), person


def _sign_in(database: Database, call: Call) -> IssuedToken:
    otp, new_password = call.body.get("otp"), call.body.get("new_password")
    return by_password.finish(
        database, call.prepared, otp, origin_of(database, request), new_password=new_password
    ).issued


@resource.post(
    "/tokens",
    "Sign in",
    body=SignInIn(),
    answer=TokenOut(),
    status=201,
    identify=_check,
    prepare=_sign_in,
    keyed=False,
    raises=(
        *(NotAuthenticated, SecondFactorRequired, TooManyAttempts),
        *(PasswordChangeRequired, FirstPasswordExpired),
    ),
)
def sign_in(session: Session, call: Call) -> Any:
    """A bearer token for the credentials. It is shown once: only its SHA-256 is stored. A one-time code works once.

    A password that somebody else chose signs nobody in: `new_password` takes its place with the same request, which
    brings the one-time code where one is enrolled, and ends every other sign-in.
    """
    issued: IssuedToken = call.prepared
    user = {"id": issued.user_id, "name": issued.name, "role": issued.role}
    return {"token": issued.token, "expires_at": issued.expires_at, "user": user}


@resource.delete("/tokens/current", "Sign out", status=204, keyed=False)
def sign_out(session: Session, call: Call) -> Any:
    """Ends the token of this request."""
    tokens.revoke_token(session, actor=call.actor, token=bearer_of(request), now=session.now)


class SignInOut(Body):
    """When it began, when it ends by itself, and whether it was made with a second factor."""

    id = fields.UUID()
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    second_factor = fields.Boolean()


class SignInsOut(Body):
    """A page of them, the latest first: a hundred where no `limit` is given."""

    sign_ins = fields.List(fields.Nested(SignInOut))
    next_cursor = fields.String(allow_none=True)


@sign_ins.get("/me/tokens", "My sign-ins", query=PageQuery(), answer=SignInsOut())
def list_sign_ins(session: Session, call: Call) -> Any:
    """List your sign-ins that have not ended, this one too. ValMed shows no token, because it stores none."""
    limit, cursor = call.query.get("limit"), call.query.get("cursor")
    page = tokens.list_sign_ins(
        session,
        actor=call.actor,
        page=cursors.page_request(limit, cursor, cursors.BY_TIME, unless_said=UNLESS_SAID),
    )
    return {"sign_ins": page.items, "next_cursor": cursors.encode(page.next_key)}


@sign_ins.delete(
    "/me/tokens/<uuid:token_id>", "End one of my sign-ins", status=204, keyed=False, raises=(SignInNotFound,)
)
def end_sign_in(session: Session, call: Call) -> Any:
    """Its token opens nothing from now on."""
    token_id: UUID = call.path["token_id"]
    tokens.end_sign_in(session, actor=call.actor, token_id=token_id, now=session.now)
