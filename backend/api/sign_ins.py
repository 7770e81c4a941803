"""The caller's sign-ins: what a person looks at who thinks that somebody else is signed in as they are."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from backend.db import Session
from backend.domain.identity import sign_ins
from backend.domain.identity.sign_ins import SignInNotFound
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, PageQuery

resource = Resource("sign_ins")
UNLESS_SAID = 100  # sign-ins, where no `limit` is given: what the first release answered


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


@resource.get("/me/tokens", "My sign-ins", query=PageQuery(), answer=SignInsOut())
def list_sign_ins(session: Session, call: Call) -> Any:
    """Those of the caller that have not ended, the one of this request too. No token is shown: none is stored."""
    limit, cursor = call.query.get("limit"), call.query.get("cursor")
    page = sign_ins.list_sign_ins(
        session,
        actor=call.actor,
        page=cursors.page_request(limit, cursor, cursors.BY_TIME, unless_said=UNLESS_SAID),
    )
    return {"sign_ins": page.items, "next_cursor": cursors.encode(page.next_key)}


@resource.delete(
    "/me/tokens/<uuid:token_id>", "End one of my sign-ins", status=204, keyed=False, raises=(SignInNotFound,)
)
def end_sign_in(session: Session, call: Call) -> Any:
    """Its token opens nothing from now on."""
    token_id: UUID = call.path["token_id"]
    sign_ins.end_sign_in(session, actor=call.actor, token_id=token_id, now=session.now)
