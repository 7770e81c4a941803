"""The caller's sign-ins: what a person looks at who thinks that somebody else is signed in as they are."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.db import Session
from backend.http.endpoint import Call, Resource
from backend.http.fields import Body
from backend.identity import sign_ins
from backend.identity.sign_ins import SignInNotFound

resource = Resource("sign_ins")


class SignInOut(Body):
    """When it began, when it ends by itself, and whether it was made with a second factor."""

    id = fields.UUID()
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    second_factor = fields.Boolean()


class SignInsOut(Body):
    """The latest hundred, the latest first."""

    sign_ins = fields.List(fields.Nested(SignInOut))


@resource.get("/me/tokens", "My sign-ins", answer=SignInsOut())
def list_sign_ins(session: Session, call: Call) -> Any:
    """Those of the caller that have not ended, the one of this request too. No token is shown: none is stored."""
    return {"sign_ins": sign_ins.list_sign_ins(session, actor=call.actor)}


@resource.delete(
    "/me/tokens/<uuid:token_id>", "End one of my sign-ins", status=204, keyed=False, raises=(SignInNotFound,)
)
def end_sign_in(session: Session, call: Call) -> Any:
    """Its token opens nothing from now on."""
    token_id: UUID = call.path["token_id"]
    sign_ins.end_sign_in(session, actor=call.actor, token_id=token_id, now=session.now)
