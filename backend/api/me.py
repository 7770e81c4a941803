"""The caller: who they are, their password, and signing out everywhere."""

from typing import Any

from flask import request
from marshmallow import fields

from backend.api.wards import WardOut
from backend.db import Database, Session
from backend.domain.identity import first_passwords, passwords, queries, tokens
from backend.domain.identity.sign_in import by_password
from backend.domain.identity.sign_in.attempts import TooManyAttempts
from backend.domain.identity.sign_in.by_password import PasswordWrong
from backend.domain.identity.tokens import Person
from backend.domain.organizations import hospitals
from backend.web.authentication import origin_of
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Password, Whole

resource = Resource("me")


class MeOut(Body):
    """Who asks, in which hospital, and on which wards they work."""

    id = fields.UUID()
    name = fields.String()
    email = fields.String()
    role = fields.String()
    organization = fields.String()
    organization_name = fields.String()
    second_factor = fields.Boolean()
    wards = Whole(fields.Nested(WardOut), because="the wards of one person")


class NewPasswordIn(Body):
    """The present password and the one that takes its place."""

    password = Password(required=True)
    new_password = Password(least=passwords.LENGTH_MIN, required=True)


@resource.get("/me", "Who am I", answer=MeOut())
def read_me(session: Session, call: Call) -> Any:
    """The caller with their wards."""
    organization_id, user_id = call.organization_id, call.actor.user_id
    assert user_id is not None  # noqa: S101 - a token always belongs to a user
    user = queries.get_user(session, organization_id=organization_id, user_id=user_id)
    hospital = hospitals.get_organization(session, organization_id=organization_id)
    wards = queries.wards_of(session, organization_id=organization_id, user_id=user_id)
    return {
        **user._asdict(),
        "organization": hospital.slug,
        "organization_name": hospital.name,
        "second_factor": call.actor.second_factor,
        "wards": wards,
    }


@resource.delete("/me/tokens", "Sign out everywhere", status=204, keyed=False)
def sign_out_everywhere(session: Session, call: Call) -> Any:
    """Ends every token of the caller, the one of this request too."""
    user_id = call.actor.user_id
    assert user_id is not None  # noqa: S101 - a token always belongs to a user
    tokens.revoke_tokens_of(session, organization_id=call.organization_id, user_id=user_id, now=session.now)


def _choose(database: Database, call: Call) -> tuple[Person, str]:
    person = by_password.check_own_password(database, call.actor, call.body["password"], origin_of(database, request))
    return person, by_password.new_hash_of(database, person, call.body["new_password"])


@resource.put(
    "/me/password",
    "Change my password",
    body=NewPasswordIn(),
    status=204,
    keyed=False,
    prepare=_choose,
    lanes=lambda call: (call.prepared[0].lane,),
    raises=(PasswordWrong, TooManyAttempts),
)
def change_password(session: Session, call: Call) -> Any:
    """Ends every token of the caller, the one of this request too."""
    person, password_hash = call.prepared
    first_passwords.set_own_password(
        session, actor=call.actor, person=person, password_hash=password_hash, now=session.now
    )
