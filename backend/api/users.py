"""Staff."""

from typing import Any
from uuid import UUID

from marshmallow import fields, validate

from backend.actor import Role
from backend.db import Session
from backend.domain.identity import passwords, queries, second_factors, users
from backend.domain.identity.queries import UserNotFound
from backend.domain.identity.tokens import sign_in_lane
from backend.domain.identity.users import EmailTaken, LastAdmin
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Flag, Id, Line, PageQuery, Password, Search, Several, Whole

resource = Resource("users")
ADMIN = frozenset({Role.ADMIN})
WARDS_MAX = 200


class UserChangeIn(Body):
    """What an admin may change. A new password, another role or leaving ends every token.

    The password is a first one: whoever it is for chooses their own within seven days, when they sign in. `ward_ids`
    replaces the wards. Whoever works on more than one request can name gets them by several with `add_ward_ids`.
    """

    name = Line()
    role = Choice(Role)
    active = Flag()
    password = Password(least=passwords.LENGTH_MIN)
    ward_ids = Several(Id(), most=WARDS_MAX)
    add_ward_ids = Several(Id(), most=WARDS_MAX)
    remove_ward_ids = Several(Id(), most=WARDS_MAX)


class UserIn(Body):
    """A new member of staff. The password is a first one, as with a change."""

    email = Line(required=True, length=254, validate_also=validate.Email())
    name = Line(required=True)
    role = Choice(Role, required=True)
    password = Password(least=passwords.LENGTH_MIN, required=True)
    ward_ids = Several(Id(), most=WARDS_MAX, load_default=list)


class UserOut(Body):
    """A member of staff; `first_password_expires_at`, told to admins, until they have chosen a password themselves."""

    id = fields.UUID()
    email = fields.String()
    name = fields.String()
    role = fields.Enum(Role, by_value=True)
    active = fields.Boolean()
    first_password_expires_at = fields.AwareDateTime(allow_none=True)
    ward_ids = Whole(fields.UUID(), because="the wards of one person")


class UserQuery(PageQuery):
    """Which staff."""

    role = Choice(Role)
    ward_id = Id()
    q = Search(length=100)


@resource.get("/users", "Staff by email", query=UserQuery(), answer=UserOut(), page=cursors.BY_TEXT)
def list_users(session: Session, call: Call) -> Any:
    """Staff, of one role, of one ward and with `q` in name or email where given."""
    return queries.list_users(
        session,
        organization_id=call.organization_id,
        role=call.query.get("role"),
        ward_id=call.query.get("ward_id"),
        q=call.query.get("q"),
        page=call.page,
        to_admin=call.actor.role is Role.ADMIN,
    )


@resource.post(
    "/users",
    "Add a member of staff",
    body=UserIn(),
    answer=UserOut(),
    status=201,
    roles=ADMIN,
    raises=(EmailTaken,),
)
def add_user(session: Session, call: Call) -> Any:
    """A new member of staff, who works on `ward_ids`."""
    user_id = users.add_user(session, organization_id=call.organization_id, **call.body)
    return queries.get_user(session, organization_id=call.organization_id, user_id=user_id)


@resource.get("/users/<uuid:user_id>", "One member of staff", answer=UserOut(), raises=(UserNotFound,))
def read_user(session: Session, call: Call) -> Any:
    """One member of staff, also one who has left."""
    to_admin = call.actor.role is Role.ADMIN
    return queries.get_user(session, organization_id=call.organization_id, to_admin=to_admin, **call.path)


def _lanes_of(call: Call) -> tuple[int, ...]:
    return (sign_in_lane(call.organization_id, call.path["user_id"]),)


@resource.patch(
    "/users/<uuid:user_id>",
    "Change a member of staff",
    lanes=_lanes_of,
    body=UserChangeIn(),
    answer=UserOut(),
    roles=ADMIN,
    raises=(UserNotFound, LastAdmin),
)
def change_user(session: Session, call: Call) -> Any:
    """Name, role, wards, password; `active` false for somebody who left."""
    user_id: UUID = call.path["user_id"]
    users.change_user(session, organization_id=call.organization_id, user_id=user_id, now=session.now, **call.body)
    return queries.get_user(session, organization_id=call.organization_id, user_id=user_id)


@resource.delete(
    "/users/<uuid:user_id>/second-factor",
    "Reset somebody's second factor",
    lanes=_lanes_of,
    status=204,
    roles=ADMIN,
    raises=(UserNotFound,),
)
def reset_second_factor(session: Session, call: Call) -> Any:
    """For a phone that is lost. Ends every token of theirs; who must have one enrols at the next sign-in."""
    user_id: UUID = call.path["user_id"]
    second_factors.reset(session, organization_id=call.organization_id, user_id=user_id, now=session.now)
