"""`valmed organization`, `ward` and `user`: setting a hospital up without the demo."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from marshmallow import Schema, ValidationError
from sqlalchemy import select

from backend.actor import Actor, Role
from backend.api.organization import OrganizationIn
from backend.api.users import UserIn
from backend.api.wards import WardIn
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.db import Database, Session, new_id
from backend.domain.identity import second_factors, users
from backend.domain.identity.ending_sign_ins import end_all, end_everywhere
from backend.domain.identity.first_passwords import FIRST_PASSWORD_DAYS
from backend.domain.identity.models import User
from backend.domain.identity.queries import UserNotFound
from backend.domain.identity.sign_in import totp
from backend.domain.identity.tokens import sign_in_lane
from backend.domain.organizations import hospitals
from backend.domain.organizations.models import WardKind
from backend.domain.organizations.wards import add_ward, find_ward

NOBODY = "nobody"  # as a role: the policy asks no role
_FIRST = f"within {FIRST_PASSWORD_DAYS} days, and choose a password of their own then."


class FieldOf(click.ParamType[Any]):
    """A parameter that is read as the field `field` of a request's body; what the field refuses is a usage error."""

    def __init__(self, body: type[Schema], field: str) -> None:
        self.name = field
        self._field = body().fields[field]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as the field reads it."""
        try:
            return self._field.deserialize(value)
        except ValidationError as error:
            self.fail(" ".join(str(message) for message in error.messages), param, ctx)


@click.group()
def organization() -> None:
    """Open a hospital and set its policies."""


@organization.command("create")
@click.argument("slug")
@click.option("--name", type=FieldOf(OrganizationIn, "name"), required=True)
@click.option("--time-zone", default="UTC", show_default=True, help="IANA name; lots expire by its calendar.")
@data_dir_option
def create_organization(slug: str, name: str, time_zone: str, data_dir: Path | None) -> None:
    """Open the hospital SLUG, the name its staff sign in with."""
    with configured(data_dir, as_owner=False) as config:
        new = new_id()
        open_database(config).transact(
            lambda session: hospitals.open_organization(
                session, organization_id=new, slug=slug, name=name, time_zone=time_zone
            ),
            actor=Actor.operator(new),
        )
    click.echo(f"{slug} is open.")


@organization.command("policy")
@click.argument("slug")
@click.option("--verification/--no-verification", default=None, help="A pharmacist verifies before a nurse fulfils.")
@click.option("--witness/--no-witness", default=None, help="A dose of a controlled drug needs a second person.")
@click.option(
    "--custody-witness/--no-custody-witness",
    default=None,
    help="So do its receipts and transfers.",
)
@click.option(
    "--second-factor",
    "roles",
    type=click.Choice([*(role.value for role in Role), NOBODY]),
    multiple=True,
    help="A role that signs in with a one-time code or a passkey; may be given again.",
)
@data_dir_option
def set_policy(
    slug: str,
    verification: bool | None,
    witness: bool | None,
    custody_witness: bool | None,
    roles: tuple[str, ...],
    data_dir: Path | None,
) -> None:
    """Set the policies of the hospital SLUG."""
    wanted: dict[str, Any] = {
        "verification_required": verification,
        "witness_required": witness,
        "custody_witness_required": custody_witness,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    if roles:
        changes["second_factor_roles"] = [role for role in roles if role != NOBODY]
    if not changes:
        raise click.UsageError(
            "name a policy: --verification, --witness or --custody-witness, the same with --no-, or --second-factor"
        )
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, slug))

        def work(session: Session) -> None:
            hospitals.change_organization(session, organization_id=actor.organization_id, **changes)

        database.transact(work, actor=actor)
    click.echo(", ".join(f"{name} = {value}" for name, value in changes.items()))


@click.group()
def ward() -> None:
    """Open wards."""


@ward.command("create")
@click.argument("organization")
@click.argument("name", type=FieldOf(WardIn, "name"))
@click.option("--kind", type=click.Choice([kind.value for kind in WardKind]), default="ward", show_default=True)
@data_dir_option
def create_ward(organization: str, name: str, kind: str, data_dir: Path | None) -> None:
    """Open the ward NAME in ORGANIZATION."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))
        ward_id = database.transact(
            lambda session: add_ward(session, organization_id=actor.organization_id, name=name, kind=WardKind(kind)),
            actor=actor,
        )
    click.echo(str(ward_id))


@click.group()
def user() -> None:
    """Add members of staff and reset their passwords."""


@user.command("create")
@click.argument("organization")
@click.argument("email", type=FieldOf(UserIn, "email"))
@click.option("--name", type=FieldOf(UserIn, "name"), required=True)
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--ward", "wards", multiple=True, help="Name of a ward they work on; may be given again.")
@click.password_option(help="12 to 128 characters; asked for when not given.")
@data_dir_option
def create_user(
    organization: str, email: str, name: str, role: str, wards: tuple[str, ...], password: str, data_dir: Path | None
) -> None:
    """Add the member of staff EMAIL to ORGANIZATION.

    The password is a first one: they choose their own when they sign in, within seven days.
    """
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))

        def work(session: Session) -> None:
            users.add_user(
                session,
                organization_id=actor.organization_id,
                email=email,
                name=name,
                role=Role(role),
                password=password,
                ward_ids=_ward_ids(session, actor.organization_id, wards),
            )

        database.transact(work, actor=actor)
    click.echo(f"{email} may sign in to {organization} as {role}. They sign in {_FIRST}")


@user.command("reset-password")
@click.argument("organization")
@click.argument("email")
@click.password_option(help="12 to 128 characters; asked for when not given.")
@data_dir_option
def reset_password(organization: str, email: str, password: str, data_dir: Path | None) -> None:
    """Give EMAIL a new password and end every session of theirs.

    They choose their own when they sign in with it, within seven days.
    """
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))
        user_id = _user_id(database, actor, email.lower())
        where = actor.organization_id

        def work(session: Session) -> None:
            session.take_lanes([sign_in_lane(where, user_id)])
            users.change_user(session, organization_id=where, user_id=user_id, password=password, now=session.now)

        database.transact(work, actor=actor)
    click.echo(f"{email} has a new password and is signed out everywhere. They sign in with it {_FIRST}")


@user.command("reset-second-factor")
@click.argument("organization")
@click.argument("email")
@data_dir_option
def reset_second_factor(organization: str, email: str, data_dir: Path | None) -> None:
    """Take the second factor of EMAIL away, whose phone is lost, and end every session of theirs."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))
        user_id = _user_id(database, actor, email.lower())
        where = actor.organization_id

        def work(session: Session) -> None:
            session.take_lanes([sign_in_lane(where, user_id)])
            second_factors.reset(session, organization_id=where, user_id=user_id, now=session.now)

        database.transact(work, actor=actor)
    click.echo(f"{email} has no second factor and is signed out everywhere.")


@user.command("end-sign-ins")
@click.option("--organization", default="", help="Slug of the only hospital; all when not given.")
@data_dir_option
def end_sign_ins(organization: str, data_dir: Path | None) -> None:
    """End every sign-in and every first password: after a restore to a moment, or where tokens were stolen."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        ended = end_all(database, organization_id(database, organization)) if organization else end_everywhere(database)
        database.engine.dispose()
    click.echo(f"{ended.sign_ins} sign-ins and {ended.first_passwords} first passwords have ended.")


@user.command("code")
@click.argument("secret")
def show_code(secret: str) -> None:
    """Print the one-time code that an authenticator app shows for the base32 SECRET now."""
    try:
        click.echo(totp.code_of(secret, totp.step_at(datetime.now(UTC))))  # noqa: TID251 - an authenticator app has a clock of its own
    except ValueError:
        raise click.BadParameter("no base32 of 112 bits or more", param_hint="SECRET") from None


def _user_id(database: Database, actor: Actor, email: str) -> UUID:
    named = select(User.id).where(User.organization_id == actor.organization_id, User.email == email)
    found = database.transact(lambda session: session.execute(named).first(), actor=actor, read_only=True)
    if found is None:
        raise UserNotFound(f"There is no user {email}.")
    user_id: UUID = found[0]
    return user_id


def _ward_ids(session: Session, organization: UUID, names: tuple[str, ...]) -> list[UUID]:
    return [find_ward(session, organization_id=organization, name=name) for name in names]
